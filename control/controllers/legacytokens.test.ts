import { afterEach, expect, test } from "bun:test";
import type { ConfigMap, Pod, Secret, ServiceAccount, Stored } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { TestCluster } from "./cluster.suite.ts";
import { CONFIG_MAP, POD, SECRET, SERVICE_ACCOUNT } from "./kinds.ts";
import { fateOf, legacyTokenCleaner } from "./legacytokens.ts";

const DAY_MS = 24 * 3_600_000;
const PERIOD_MS = 10 * DAY_MS;
const START = Date.parse("2026-01-01T00:00:00Z");
const INVALID = "kubernetes.io/legacy-token-invalid-since";
let cluster: TestCluster;
afterEach(() => cluster?.stop());

const aToken = (name: string, labels: Record<string, string> = {}): Secret => ({ metadata: { name, namespace: "default", labels, annotations: { "kubernetes.io/service-account.name": "robot" } }, type: "kubernetes.io/service-account-token" });

/** Lets days pass, each with time to do what there is to do on it. */
async function pass(clock: FakeClock, days: number): Promise<void> {
  for (let day = 0; day < days; day++) {
    await clock.advance(DAY_MS);
    await Bun.sleep(5);
  }
}

test("a token made for an account is marked when it was long unused, and deleted when it was long marked; others stay", async () => {
  const clock = new FakeClock(START);
  cluster = new TestCluster({ clock, settings: { legacyTokenCleanUpMs: PERIOD_MS } });
  await cluster.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "kube-apiserver-legacy-service-account-token-tracking", namespace: "kube-system" }, data: { since: "2026-01-01" } });
  await cluster.create<ServiceAccount>(SERVICE_ACCOUNT, { metadata: { name: "robot", namespace: "default" }, secrets: [{ name: "unused" }, { name: "mounted" }] });
  for (const name of ["unused", "mounted", "by-hand"]) await cluster.create<Secret>(SECRET, aToken(name));
  await cluster.create<Pod>(POD, { metadata: { name: "p", namespace: "default" }, spec: { containers: [{ name: "c", image: "i" }], volumes: [{ name: "v", secret: { secretName: "mounted" } }] } });
  await cluster.start(legacyTokenCleaner);
  const names = async (): Promise<string[]> => (await cluster.list<Secret>(SECRET, "default")).map(({ metadata }) => metadata.name).toSorted();
  const invalidSince = async (name: string): Promise<string | undefined> => (await cluster.get<Secret>(SECRET, name)).metadata.labels?.[INVALID];

  await pass(clock, 10);
  expect(await invalidSince("unused")).toBeUndefined();
  await pass(clock, 2);
  expect(await invalidSince("unused")).toMatch(/^2026-01-1[123]$/);
  await pass(clock, 20);
  expect(await names()).toEqual(["by-hand", "mounted"]);
  expect([await invalidSince("mounted"), await invalidSince("by-hand")]).toEqual([undefined, undefined]);
});

test.each<[string, Record<string, string>, string | undefined]>([
  ["was never used", {}, "mark"],
  ["was used long ago", { "kubernetes.io/legacy-token-last-used": "2025-01-01" }, "mark"],
  ["was used lately", { "kubernetes.io/legacy-token-last-used": "2026-01-01" }, undefined],
  ["was used nobody can tell when", { "kubernetes.io/legacy-token-last-used": "yesterday" }, undefined],
  ["was marked lately", { [INVALID]: "2026-01-01" }, undefined],
  ["was marked long ago", { [INVALID]: "2025-12-31" }, "delete"],
  ["was marked nobody can tell when", { [INVALID]: "x" }, "mark"],
])("a token that %s", (_, labels, fate) => {
  const secret = { ...aToken("t", labels), metadata: { ...aToken("t", labels).metadata, uid: "u", resourceVersion: "1", creationTimestamp: "2024-01-01T00:00:00Z" } } as Stored<Secret>;
  const account = { metadata: { name: "robot", namespace: "default" }, secrets: [{ name: "t" }] } as unknown as Stored<ServiceAccount>;
  expect(fateOf(secret, { account, keepFrom: START })).toBe(fate as never);
  expect(fateOf(secret, { account: undefined, keepFrom: START })).toBeUndefined();
});

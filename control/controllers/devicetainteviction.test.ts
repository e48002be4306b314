import { afterEach, beforeEach, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, ResourceClaim, ResourceSlice } from "../../api/types.ts";
import { FakeClock, timestamp } from "../../lib/clock.ts";
import { becomes, TestCluster } from "./cluster.suite.ts";
import { deviceTaintEvictionController } from "./devicetainteviction.ts";
import { POD } from "./kinds.ts";
import { RESOURCE_CLAIM as CLAIM } from "./resourceclaim.ts";

const SLICE = builtinKind("resource.k8s.io", "v1", "ResourceSlice");
const NOW = Date.parse("2026-03-01T12:00:00Z");
type Tolerations = NonNullable<NonNullable<NonNullable<NonNullable<ResourceClaim["status"]>["allocation"]>["devices"]>["results"]>[number]["tolerations"];

let cluster: TestCluster;
let clock: FakeClock;
beforeEach(async () => {
  clock = new FakeClock(NOW);
  cluster = new TestCluster({ clock });
  await cluster.start(deviceTaintEvictionController);
});
afterEach(() => cluster.stop());

async function podWithDevice(tolerations?: Tolerations): Promise<void> {
  const pod = await cluster.create<Pod>(POD, { metadata: { name: "p", namespace: "default" }, spec: { nodeName: "n", containers: [{ name: "c", image: "i" }], resourceClaims: [{ name: "gpu", resourceClaimName: "c" }] } });
  const results = [{ request: "r", driver: "d", pool: "n", device: "gpu-0", ...(tolerations && { tolerations }) }];
  await cluster.create<ResourceClaim>(CLAIM, { metadata: { name: "c", namespace: "default" }, spec: {}, status: { allocation: { devices: { results } }, reservedFor: [{ resource: "pods", name: "p", uid: pod.metadata.uid }] } });
}
const slice = (effect?: string): ResourceSlice => ({ metadata: { name: "s" }, spec: { driver: "d", nodeName: "n", pool: { name: "n", generation: 1, resourceSliceCount: 1 }, devices: [{ name: "gpu-0", ...(effect && { taints: [{ key: "broken", effect, timeAdded: timestamp(NOW) }] }) }] } });
const pods = async (): Promise<number> => (await cluster.list<Pod>(POD)).filter(({ metadata }) => !metadata.deletionTimestamp).length;

test("a pod whose device is to be left at once is deleted, and told why", async () => {
  await podWithDevice();
  await cluster.create(SLICE, slice("NoSchedule"));
  await cluster.change<ResourceSlice>(SLICE, "s", (found) => { found.spec = slice("NoExecute").spec; });
  await becomes(pods, 0);
  expect(cluster.events).toEqual(["DeviceTaintManagerEviction: Marking for deletion"]);
});

test("a pod whose claim tolerates the taint for a while stays that long", async () => {
  await podWithDevice([{ key: "broken", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }]);
  await cluster.create(SLICE, slice("NoExecute"));
  await clock.advance(50_000);
  expect(await pods()).toBe(1);
  await clock.advance(20_000);
  await becomes(pods, 0);
});

test("a taint that goes in time is forgotten", async () => {
  await podWithDevice([{ key: "broken", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }]);
  await cluster.create(SLICE, slice("NoExecute"));
  await clock.advance(10_000);
  await cluster.change<ResourceSlice>(SLICE, "s", (found) => { found.spec = slice().spec; });
  await becomes(() => cluster.events, ["DeviceTaintManagerEviction: Cancelling deletion"]);
  await clock.advance(60_000);
  expect(await pods()).toBe(1);
});

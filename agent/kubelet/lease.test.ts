// The node's heartbeat in bad weather.
import { afterEach, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Lease } from "../../api/types.ts";
import { FakeClock, microTimestamp } from "../../lib/clock.ts";
import { FakeApi } from "./fakeapi.ts";
import { keepLease } from "./lease.ts";

const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const NAME = { namespace: "kube-node-lease", name: "n1" };
const HOUR_MS = 3_600_000;
const BEGIN = Date.parse("2026-01-31T12:00:00Z");

/** An API server that may be away. */
class Weather extends FakeApi {
  isAway = false;
  calls = 0;

  override get: FakeApi["get"] = (kind, name) => this.#reach(() => super.get(kind, name));
  override create: FakeApi["create"] = (kind, object) => this.#reach(() => super.create(kind, object));
  override update: FakeApi["update"] = (kind, object) => this.#reach(() => super.update(kind, object));

  renewedAt(): Promise<string | undefined> {
    return super.get<Lease>(LEASE, NAME).then(({ spec }) => spec?.renewTime);
  }

  #reach<T>(call: () => Promise<T>): Promise<T> {
    this.calls++;
    return this.isAway ? Promise.reject(new Error("connect ECONNREFUSED")) : call();
  }
}

let stop: AbortController;
afterEach(() => stop.abort());

async function renewing(): Promise<{ api: Weather; clock: FakeClock }> {
  const [api, clock] = [new Weather(), new FakeClock(BEGIN)];
  stop = new AbortController();
  void keepLease({ client: api, clock, nodeName: "n1", nodeUid: () => "uid-n1" }, stop.signal);
  await clock.advance(0);
  return { api, clock };
}

test("after an hour without an API server the lease is renewed within a second of its return, and the server was not stormed", async () => {
  const { api, clock } = await renewing();
  expect(await api.renewedAt()).toBe(microTimestamp(BEGIN));
  api.isAway = true;
  api.calls = 0;
  await clock.advance(HOUR_MS);
  expect(api.calls).toBeLessThanOrEqual(HOUR_MS / 1000);
  api.isAway = false;
  await clock.advance(1_000);
  expect(Date.parse((await api.renewedAt()) ?? "")).toBeGreaterThanOrEqual(BEGIN + HOUR_MS);
});

test("a lease that was deleted while the server was away is made again, still the node's", async () => {
  const { api, clock } = await renewing();
  api.isAway = true;
  await clock.advance(60_000);
  await api.delete(LEASE, NAME);
  api.isAway = false;
  await clock.advance(2_000);
  expect((await api.get<Lease>(LEASE, NAME)).metadata.ownerReferences).toMatchObject([{ kind: "Node", name: "n1", uid: "uid-n1" }]);
});

test.each([["forward", HOUR_MS], ["back", -HOUR_MS]])("a date set an hour %s changes what the lease says, not when it is renewed", async (_direction, jumpMs) => {
  const { api, clock } = await renewing();
  clock.jump(jumpMs);
  await clock.advance(10_000);
  expect(await api.renewedAt()).toBe(microTimestamp(BEGIN + jumpMs + 10_000));
});

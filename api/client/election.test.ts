import { describe, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { builtinKind } from "../registry.ts";
import type { Lease } from "../types.ts";
import { LeaderElector } from "./election.ts";
import { MemoryClient } from "./testing.ts";

const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const lease = { namespace: "kube-system", name: "controllers" };
const SPEED = 200;
/** Time that passes two hundred times as fast. */
const fast = { now: () => Date.now() * SPEED, monotonic: () => performance.now() * SPEED, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / SPEED, signal) };

function aCandidate(client: MemoryClient, identity: string, log: string[]): { stop: () => Promise<void> } {
  const controller = new AbortController();
  const elector = new LeaderElector({
    client, lease, identity, clock: fast,
    lead: async (signal) => {
      log.push(`${identity} leads`);
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      log.push(`${identity} stops`);
    },
  });
  const running = elector.run(controller.signal);
  return { stop: () => (controller.abort(), running) };
}
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000 && !condition(); turn++) await Bun.sleep(2);
  expect(condition()).toBe(true);
}

describe("leader election", () => {
  test("one candidate leads; the next takes over when it steps down", async () => {
    const client = new MemoryClient();
    const log: string[] = [];
    const a = aCandidate(client, "a", log);
    await until(() => log.length === 1);
    const b = aCandidate(client, "b", log);
    await Bun.sleep(50);
    expect(log).toEqual(["a leads"]);
    await a.stop();
    await until(() => log.length === 3);
    expect(log).toEqual(["a leads", "a stops", "b leads"]);
    expect((await client.get<Lease>(LEASE, lease)).spec).toMatchObject({ holderIdentity: "b" });
    await b.stop();
  });

  test("a leader that cannot renew stops before another begins", async () => {
    const client = new MemoryClient();
    const log: string[] = [];
    const a = aCandidate(client, "a", log);
    await until(() => log.length === 1);
    const b = aCandidate(client, "b", log);
    await Bun.sleep(30);
    client.intercept = ({ verb, body }) => {
      const writer = (body as Lease | undefined)?.spec?.holderIdentity;
      if (verb === "update" && writer !== "b") throw new Error("a is cut off");
    };
    await until(() => log.length === 3);
    expect(log).toEqual(["a leads", "a stops", "b leads"]);
    await a.stop();
    await b.stop();
  });
});

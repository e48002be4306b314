import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import { builtinKind } from "../registry.ts";
import type { Lease } from "../types.ts";
import { LeaderElector } from "./election.ts";
import { MemoryClient } from "./testing.ts";

const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const lease = { namespace: "kube-system", name: "controllers" };
const clock = new FakeClock(1_800_000_000_000);

function aCandidate(client: MemoryClient, identity: string, log: string[]): { stop: () => Promise<void> } {
  const controller = new AbortController();
  const elector = new LeaderElector({
    client, lease, identity, clock,
    lead: async (signal) => {
      log.push(`${identity} leads`);
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      log.push(`${identity} stops`);
    },
  });
  const running = elector.run(controller.signal);
  return { stop: () => (controller.abort(), running) };
}
/** Time passes in steps, each with as many turns of the event loop as those who wake need. */
async function pass(seconds: number): Promise<void> {
  for (let half = 0; half < seconds * 2; half++) {
    await clock.advance(500);
    await Bun.sleep(0);
  }
}
async function until(condition: () => boolean): Promise<void> {
  await eventually("the next leader", async () => {
    await pass(1);
    return condition();
  }, 0);
}

describe("leader election", () => {
  test("one candidate leads; the next takes over when it steps down", async () => {
    const client = new MemoryClient();
    const log: string[] = [];
    const a = aCandidate(client, "a", log);
    await until(() => log.length === 1);
    const b = aCandidate(client, "b", log);
    await pass(60);
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
    await pass(30);
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

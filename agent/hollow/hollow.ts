// Many simulated nodes in one process: real API traffic, no containers, no network, nothing of the machine touched.
import type { Client } from "../../api/client/client.ts";
import type { Informers } from "../../api/client/informer.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { HollowNodes } from "./nodes.ts";
import { HollowPods } from "./pods.ts";

export interface HollowOptions {
  /** May do what nodes may, for all of them. */
  readonly client: Client;
  /** Started by this component. */
  readonly informers: Informers;
  readonly clock: Clock;
  readonly count: number;
  /** Nodes are `<namePrefix>-0` and on. */
  readonly namePrefix: string;
  readonly version: string;
  /** What the nodes register with beside their own labels. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly startLatencyMs?: number;
  /** The share of container starts that fail, 0 to 1. */
  readonly failureRate?: number;
  readonly random?: () => number;
}

/** The nodes as a component; started once all are registered. Stopping leaves their objects, the next start adopts them. */
export function createHollow({ count, namePrefix, version, startLatencyMs = 0, failureRate = 0, random = Math.random, ...shared }: HollowOptions): Component {
  const nodeNames = Array.from({ length: count }, (_, index) => `${namePrefix}-${index}`);
  const running = new AbortController();
  const nodes = new HollowNodes({ ...shared, nodeNames, version });
  const pods = new HollowPods({ ...shared, nodeNames, startLatencyMs, failureRate, random });
  return {
    name: "hollow nodes",
    async start() {
      shared.informers.start(running.signal);
      void pods.run(running.signal);
      await nodes.start(running.signal);
    },
    async stop() {
      running.abort();
    },
  };
}

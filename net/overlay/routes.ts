// Pod routes as a component of the node: follows Node objects, keeps routes and tunnel in step.
// What goes where is decided in `plan.ts`.
import type { Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node } from "../../api/types.ts";
import { systemClock, type Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { Loop } from "../loop.ts";
import { applyRoutes, findUplink } from "./apply.ts";
import { planRoutes, routeSignature, type OverlayMode } from "./plan.ts";

export interface PodRoutesOptions {
  /** Started by whoever composes, before this component is. */
  readonly informers: Informers;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly exec: Exec;
  readonly clock?: Clock;
  readonly mode?: OverlayMode;
}

const log = logger("pod-routes");

/** Routes to other nodes' pods; `start` resolves once those known are in place. Stopping leaves them, so that a restart cuts nobody off. */
export function createPodRoutes({ informers, nodeName, nodeIp, exec, clock = systemClock, mode = "auto" }: PodRoutesOptions): Component {
  const nodes = informers.for<Node>(builtinKind("", "v1", "Node"));
  const sync = async (): Promise<void> => {
    const uplink = await findUplink(exec, nodeName, nodeIp);
    await applyRoutes(exec, planRoutes(nodes.lister.list(), uplink, mode), uplink);
  };
  const loop = new Loop({ body: sync, clock, log, repairMs: 60_000 });
  nodes.addHandler({
    add: () => loop.kick(),
    delete: () => loop.kick(),
    // Every node reports its status all the time; that is none of our business.
    update: (node, old) => { if (routeSignature(node) !== routeSignature(old)) loop.kick(); },
  });
  return {
    name: "pod-routes",
    async start() {
      await informers.waitForSync(loop.signal);
      await loop.start();
    },
    stop: () => loop.stop(),
  };
}

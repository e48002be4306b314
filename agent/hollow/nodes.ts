// The Node objects of hollow nodes: registered, reported every five minutes, each with a heartbeat of its own.
import { isAlreadyExists, isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { runWorkers } from "../../api/client/workers.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, NodeStatus, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { keepLease, RENEW_MS } from "../kubelet/lease.ts";
import { newNode, nodeLabels, nodeStatus } from "../kubelet/nodestatus.ts";
import { addressOf } from "./pods.ts";
import type { MachineFacts } from "../kubelet/machine.ts";

export interface HollowNodesOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodeNames: readonly string[];
  /** As nodeInfo shows it: `v1.36.2`. */
  readonly version: string;
  /** What the nodes register with beside their own labels. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** Finds hollow nodes: `kubectl get nodes -l minik8s.io/hollow=true`. */
export const HOLLOW_LABEL = "minik8s.io/hollow";
const NODE = builtinKind("", "v1", "Node");
const REPORT_MS = 300_000;
const WORKERS = 16;
const GIGABYTE = 2 ** 30;
const MACHINE: Omit<MachineFacts, "machineId" | "systemUuid" | "bootId"> = {
  cores: 32, memoryBytes: 256 * GIGABYTE, swapBytes: 0, hugepages: {}, kernelVersion: "hollow", osImage: "hollow", architecture: process.arch === "arm64" ? "arm64" : "amd64",
};

export class HollowNodes {
  readonly #options: HollowNodesOptions;
  readonly #queue: WorkQueue;
  readonly #registered = new Map<string, Stored<Node>>();
  readonly #allRegistered = Promise.withResolvers<void>();

  constructor(options: HollowNodesOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({ clock: options.clock, backoff: { baseMs: 100, maxMs: 5_000 } });
  }

  /** Resolves once every node is registered, or the signal aborts; the heartbeats go on until then. */
  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#allRegistered.resolve(), { once: true });
    for (const name of this.#options.nodeNames) this.#queue.add(name);
    void runWorkers({ name: "hollow-nodes", queue: this.#queue, workers: WORKERS, signal, reconcile: (name) => this.#reconcile(name, signal) });
    await this.#allRegistered.promise;
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const known = this.#registered.get(name);
    const node = known ? await this.#report(known) : await this.#register(name);
    this.#registered.set(name, node);
    this.#queue.addAfter(name, REPORT_MS);
    if (known) return;
    void this.#heartbeat(name, signal);
    if (this.#registered.size === this.#options.nodeNames.length) this.#allRegistered.resolve();
  }

  /** Spread over the renewal's period, or a thousand nodes would all knock in the same moment. */
  async #heartbeat(name: string, signal: AbortSignal): Promise<void> {
    const { client, clock, nodeNames } = this.#options;
    await clock.sleep((nodeNames.indexOf(name) / nodeNames.length) * RENEW_MS, signal);
    await keepLease({ client, clock, nodeName: name, nodeUid: () => this.#registered.get(name)?.metadata.uid ?? "" }, signal);
  }

  async #register(name: string): Promise<Stored<Node>> {
    const { client } = this.#options;
    const labels = nodeLabels(name, machineOf(name), { ...this.#options.labels, [HOLLOW_LABEL]: "true" });
    try {
      return await client.create<Node>(NODE, newNode(name, { labels, taints: [], status: this.#status(name, undefined) }));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    return this.#report(await client.get<Node>(NODE, { name }));
  }

  async #report(node: Stored<Node>): Promise<Stored<Node>> {
    const { name } = node.metadata;
    try {
      return await this.#options.client.patch<Node>(NODE, { name }, { status: this.#status(name, node) }, { type: "strategic", subresource: "status" });
    } catch (error) {
      // Somebody deleted it: it is still here, so it comes back.
      if (isNotFound(error)) return this.#register(name);
      throw error;
    }
  }

  #status(name: string, node: Stored<Node> | undefined): NodeStatus {
    const { clock, version, nodeNames } = this.#options;
    return nodeStatus({
      nodeName: name, nodeIp: addressOf(nodeNames.indexOf(name), 0), port: 0, version, machine: machineOf(name), now: clock.now(),
      disk: { capacityBytes: 100 * GIGABYTE, availableBytes: 90 * GIGABYTE, inodes: 1e7, inodesFree: 9e6 },
      runtime: { version: "fake://1.0.0", runtimeReady: true, networkReady: true, message: "", cgroupDriver: "cgroupfs", handlers: [] },
      images: [], pressure: { memory: false, disk: false, pid: false }, maxPods: 110, reserved: {}, keptFree: { memoryBytes: 0, diskBytes: 10 * GIGABYTE }, old: node?.status?.conditions ?? [],
    });
  }
}

function machineOf(name: string): MachineFacts {
  return { ...MACHINE, machineId: name, systemUuid: name, bootId: name };
}

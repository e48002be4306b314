// The pods of all hollow nodes: one watch for all of them, and a queue of those about which there is something to say.
// What a pod does and how that looks is `life.ts` and `status.ts`; here it is written to the API, and deleted pods are let go.
import { isApiError, isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { keyOf, type Informer, type Informers } from "../../api/client/informer.ts";
import { runWorkers } from "../../api/client/workers.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, Stored } from "../../api/types.ts";
import { nthAddress } from "../../lib/addresses.ts";
import type { Clock } from "../../lib/clock.ts";
import { statusPatch } from "../kubelet/status.ts";
import { adopted, advance, isOver, stopped, wakeAt, type PodLife } from "./life.ts";
import { hollowStatus } from "./status.ts";

export interface HollowPodsOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  /** Their order decides their pods' addresses. */
  readonly nodeNames: readonly string[];
  readonly startLatencyMs: number;
  /** The share of container starts that fail, 0 to 1. */
  readonly failureRate: number;
  readonly random: () => number;
}

const POD = builtinKind("", "v1", "Pod");
/** Shared address space (RFC 6598), which no cluster's own ranges use by default; nothing answers there. */
const ADDRESSES = "100.64.0.0/10";
const ADDRESSES_PER_NODE = 256;
const WORKERS = 32;

interface HollowNode {
  readonly index: number;
  readonly used: Set<number>;
}

interface Entry {
  readonly node: HollowNode;
  readonly slot: number;
  life: PodLife;
}

export class HollowPods {
  readonly #options: HollowPodsOptions;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #nodes: ReadonlyMap<string, HollowNode>;
  readonly #entries = new Map<string, Entry>();

  constructor(options: HollowPodsOptions) {
    this.#options = options;
    this.#nodes = new Map(options.nodeNames.map((name, index) => [name, { index, used: new Set<number>() }]));
    this.#queue = new WorkQueue({ clock: options.clock, backoff: { baseMs: 100, maxMs: 10_000 } });
    this.#pods = options.informers.for<Pod>(POD, { fieldSelector: "spec.nodeName!=" });
    const enqueue = (pod: Stored<Pod>): void => {
      if (this.#nodes.has(pod.spec?.nodeName ?? "")) this.#queue.add(keyOf(pod));
    };
    this.#pods.addHandler({ add: enqueue, update: enqueue, delete: enqueue });
  }

  /** Keeps the pods going until the signal aborts. */
  run(signal: AbortSignal): Promise<void> {
    return runWorkers({ name: "hollow-pods", queue: this.#queue, workers: WORKERS, signal, reconcile: (key) => this.#reconcile(key) });
  }

  async #reconcile(key: string): Promise<void> {
    const pod = this.#pods.lister.get(key);
    const known = this.#entries.get(key);
    if (known && known.life.uid !== pod?.metadata.uid) this.#forget(key, known);
    if (!pod) return;
    const isLeaving = pod.metadata.deletionTimestamp !== undefined;
    const isFinished = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    const stillRuns = !isFinished && (await this.#live(pod, isLeaving));
    if (isLeaving && !stillRuns) await this.#delete(pod);
  }

  /** Whether anything of the pod runs still. */
  async #live(pod: Stored<Pod>, isLeaving: boolean): Promise<boolean> {
    const { clock, failureRate, random, client } = this.#options;
    const now = clock.now();
    const entry = this.#entryOf(pod, now);
    entry.life = isLeaving ? stopped(entry.life, pod, now) : advance(entry.life, pod, { now, fails: () => random() < failureRate });
    const isTerminal = isLeaving && isOver(entry.life, now);
    const status = hollowStatus({ pod, life: entry.life, hostIp: addressOf(entry.node.index, 0), isTerminal, now });
    const patch = statusPatch(pod, pod.status ?? {}, status);
    if (patch) await client.patch<Pod>(POD, nameOf(pod), patch, { type: "strategic", subresource: "status" }).catch(unlessGone);
    const at = isTerminal ? undefined : wakeAt(entry.life, pod, now);
    if (at !== undefined) this.#queue.addAfter(keyOf(pod), Math.max(1, at - now));
    return !isTerminal;
  }

  #entryOf(pod: Stored<Pod>, now: number): Entry {
    const key = keyOf(pod);
    const known = this.#entries.get(key);
    if (known) return known;
    const node = this.#nodes.get(pod.spec?.nodeName ?? "") as HollowNode;
    const slot = freeSlot(node);
    node.used.add(slot);
    const entry = { node, slot, life: adopted(pod, { ip: addressOf(node.index, slot), startAt: now + this.#options.startLatencyMs }) };
    this.#entries.set(key, entry);
    return entry;
  }

  #forget(key: string, { node, slot }: Entry): void {
    node.used.delete(slot);
    this.#entries.delete(key);
  }

  async #delete(pod: Stored<Pod>): Promise<void> {
    await this.#options.client.delete(POD, nameOf(pod), { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } }).catch(unlessGone);
  }
}

/** The first slot no pod of the node has; 0 is the node's own. */
function freeSlot({ used }: HollowNode): number {
  let slot = 1;
  while (used.has(slot) && slot < ADDRESSES_PER_NODE - 1) slot++;
  return slot;
}

/** The address in one of a node's slots; 0 is the node's own. */
export function addressOf(node: number, slot: number): string {
  return nthAddress(ADDRESSES, node * ADDRESSES_PER_NODE + slot);
}

function nameOf({ metadata }: Stored<Pod>): { name: string; namespace?: string | undefined } {
  return { name: metadata.name, namespace: metadata.namespace };
}

/** A conflict says that another pod has the name by now. */
function unlessGone(error: unknown): void {
  if (!isNotFound(error) && !isApiError(error, 409)) throw error;
}

// The pods waiting for a node: ready ones by priority, ones resting after a failure, ones waiting for the cluster to change.
// An event wakes only the pods some plugin of theirs says it could help; what to do with a pod is the scheduler's business.
import type { Clock } from "../../lib/clock.ts";
import type { Cluster } from "./cluster.ts";
import type { ClusterEvent, Plugin, Status } from "./framework.ts";
import { Heap } from "./heap.ts";
import { isAlike, profileNameOf, type PodInfo } from "./podinfo.ts";
import { CAUSES, comesFirst, eventLabel, newcomer, restMs, type QueuedPod, type QueueName } from "./queuedpod.ts";
import { WaitingPods } from "./waiting.ts";

export interface QueueOptions {
  readonly clock: Clock;
  readonly cluster: Cluster;
  /** The plugins that judge this pod, by its profile. */
  pluginsOf(info: PodInfo): readonly Plugin[];
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Called whenever a pod may have become ready. */
  onReady(): void;
  /** Called for every pod that comes to a queue, with why it does. */
  onIncoming?(queue: QueueName, cause: string): void;
}

/** A pod no event has helped for this long is tried again anyway. */
const MAX_UNSCHEDULABLE_MS = 5 * 60_000;

/** Events remembered for one pod; later ones wake it as they wake others. */
const MAX_REMEMBERED = 10_000;

/** The scheduling queue. A pod is in exactly one place, or out (being scheduled, or gone). */
export class SchedulingQueue {
  readonly #active = new Heap<QueuedPod>((q) => q.info.uid, comesFirst);
  readonly #backoff = new Heap<QueuedPod>((q) => q.info.uid, (a, b) => a.readyAt < b.readyAt || (a.readyAt === b.readyAt && comesFirst(a, b)));
  readonly #waiting = new WaitingPods();
  /** Pods taken out and not yet placed or given back. */
  readonly #inFlight = new Map<string, QueuedPod>();

  /** Pods no event may bring back for now, and which one would have. */
  readonly #held = new Map<string, string>();
  #meanwhile: ClusterEvent[] | undefined;
  #turns = 0;

  constructor(private readonly options: QueueOptions) {}

  /** How many pods are where, as upstream's `scheduler_pending_pods` counts them. */
  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number } {
    return { active: this.#active.size, backoff: this.#backoff.size, unschedulable: this.#waiting.rejectedCount, gated: this.#waiting.gatedCount };
  }

  /** How many pods each plugin keeps waiting, by the profile they ask for. */
  get rejections(): readonly { readonly plugin: string; readonly profile: string; readonly count: number }[] {
    return [...this.#waiting.groups()].flatMap(([plugin, pods]) => {
      const counts = new Map<string, number>();
      for (const { info } of pods.values()) counts.set(profileNameOf(info), (counts.get(profileNameOf(info)) ?? 0) + 1);
      return plugin === "" ? [] : [...counts].map(([profile, count]) => ({ plugin, profile, count }));
    });
  }

  /** A pod without a node appeared or changed. */
  put(info: PodInfo): void {
    const known = this.#find(info.uid);
    if (!known) {
      this.#admit(newcomer(info, this.#now()), CAUSES.added);
      return;
    }
    const old = known.info;
    if (!known.gate && isAlike(old, info)) {
      // Status and annotations change without changing where the pod may go.
      old.pod = info.pod;
      return;
    }
    known.info = info;
    if (this.#active.get(info.uid)) this.#active.push(known);
    else if (this.#waiting.get(info.uid)) this.#wakeOnOwnUpdate(known, old);
  }

  /** The pod got a node or is gone. */
  remove(uid: string): void {
    this.#active.remove(uid);
    this.#backoff.remove(uid);
    this.#waiting.remove(uid);
    this.#held.delete(uid);
    this.#inFlight.delete(uid);
  }

  /**
   * The next pod to try: by priority, then by age. When none is ready, pods resting after a
   * rejection are taken early; those resting after an error never are.
   */
  pop(): QueuedPod | undefined {
    this.#moveRested();
    const next = this.#active.pop() ?? this.#popEarly();
    if (!next) return undefined;
    next.attempts++;
    this.#inFlight.set(next.info.uid, next);
    return next;
  }

  /** True when `pop` would give a pod. */
  get hasNext(): boolean {
    this.#moveRested();
    return this.#active.size > 0 || this.#earlyCandidate() !== undefined;
  }

  /** When something will be ready by itself: the end of a rest, or the longest wait. */
  get nextReadyAt(): number | undefined {
    const rested = this.#backoff.peek()?.readyAt ?? Infinity;
    const forgotten = (this.#waiting.oldest?.since ?? Infinity) + MAX_UNSCHEDULABLE_MS;
    const next = Math.min(rested, forgotten);
    return next === Infinity ? undefined : Math.min(next, this.#now() + MAX_UNSCHEDULABLE_MS);
  }

  /** The pod was placed: its history ends. */
  done(uid: string): void {
    this.#inFlight.delete(uid);
  }

  /** Trying the pod taken out last takes a while: what happens meanwhile is held against its waiting. */
  rememberEvents(): void {
    this.#meanwhile = [];
  }

  /** No node took it: it waits for an event that helps. */
  waitForEvent(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    if (!this.#inFlight.delete(queued.info.uid)) return;
    queued.unschedulableCount++;
    queued.errorCount = 0;
    queued.rejectedBy = rejectedBy;
    this.#stamp(queued);
    this.#wait(queued, CAUSES.failed);
    for (const event of this.#meanwhile?.splice(0) ?? []) if (this.#waiting.get(queued.info.uid) === queued) this.#wakeIfHelped(queued, event);
    this.#meanwhile = undefined;
  }

  #wakeIfHelped(queued: QueuedPod, event: ClusterEvent): void {
    const hints = [...queued.rejectedBy].map((name) => (name === "" ? true : this.#hintOf(name, queued.info)));
    const isHelped = hints.some((hint) => hint === true || (hint?.on.includes(event.type) && hint.helps(event, queued.info, this.options.cluster)));
    if (isHelped) this.#wakeOne(queued, eventLabel(event));
  }

  /** Trying failed for no fault of the pod: it rests, then is tried again. */
  retryLater(queued: QueuedPod): void {
    if (!this.#inFlight.delete(queued.info.uid)) return;
    queued.errorCount++;
    queued.rejectedBy = new Set();
    this.#meanwhile = undefined;
    this.#rest(queued, CAUSES.failed);
    this.options.onReady();
  }

  /** Wakes the waiting pods this event may help. */
  wake(event: ClusterEvent): void {
    if (this.#meanwhile && this.#meanwhile.length < MAX_REMEMBERED) this.#meanwhile.push(event);
    const helped = new Set<QueuedPod>();
    for (const [name, pods] of this.#waiting.groups()) {
      for (const queued of pods.values()) {
        const hint = this.#hintOf(name, queued.info);
        // All pods of a group share the plugin: one that does not listen spares looking at the rest.
        if (name !== "" && !hint?.on.includes(event.type)) break;
        if (!helped.has(queued) && (!hint || hint.helps(event, queued.info, this.options.cluster))) helped.add(queued);
      }
    }
    for (const queued of helped) this.#wakeOne(queued, eventLabel(event));
    if (helped.size > 0) this.options.onReady();
  }

  /** From now on events do not bring the pod back, until it is released. */
  hold(uid: string): void {
    this.#held.set(uid, "");
  }

  /** Events bring the pod back again; one that came meanwhile does so now. */
  release(uid: string): void {
    const helpedBy = this.#held.get(uid);
    this.#held.delete(uid);
    const queued = this.#waiting.get(uid);
    if (!helpedBy || !queued) return;
    this.#wakeOne(queued, helpedBy);
    this.options.onReady();
  }

  /** Tries these pods again now, whatever they wait for. */
  activate(uids: Iterable<string>): void {
    for (const uid of uids) {
      if (this.#waiting.get(uid)?.gate) continue;
      const queued = this.#waiting.remove(uid) ?? this.#backoff.remove(uid);
      if (queued) this.#activate(queued, CAUSES.asked);
    }
    this.options.onReady();
  }

  /** Tries again what no event has helped for too long. */
  flushForgotten(): void {
    const now = this.#now();
    const isForgotten = ({ since }: QueuedPod): boolean => since + MAX_UNSCHEDULABLE_MS <= now || since > now;
    for (let queued = this.#waiting.oldest; queued && isForgotten(queued); queued = this.#waiting.oldest) {
      this.#waiting.remove(queued.info.uid);
      this.#activate(queued, CAUSES.forgotten);
    }
  }

  #now(): number {
    return this.options.clock.now();
  }

  #stamp(queued: QueuedPod): void {
    queued.since = this.#now();
    queued.turn = ++this.#turns;
  }

  #find(uid: string): QueuedPod | undefined {
    return this.#active.get(uid) ?? this.#backoff.get(uid) ?? this.#waiting.get(uid) ?? this.#inFlight.get(uid);
  }

  /** Into the active queue, unless a plugin keeps it out. */
  #admit(queued: QueuedPod, cause: string): void {
    queued.gate = this.#gateOf(queued.info);
    this.#stamp(queued);
    if (queued.gate) {
      queued.rejectedBy = new Set([queued.gate.plugin]);
      return this.#wait(queued, cause);
    }
    this.#activate(queued, cause);
    this.options.onReady();
  }

  #gateOf(info: PodInfo): Status | undefined {
    for (const plugin of this.options.pluginsOf(info)) {
      const status = plugin.preEnqueue?.(info);
      if (status) return status;
    }
    return undefined;
  }

  #wakeOnOwnUpdate(queued: QueuedPod, old: PodInfo): void {
    const event: ClusterEvent = { type: "PodUpdate", pod: queued.info, old };
    const names = [...queued.rejectedBy];
    const isHelped = names.length === 0 || names.some((name) => this.#hintOf(name, queued.info)?.helps(event, queued.info, this.options.cluster));
    if (!isHelped) return;
    this.#wakeOne(queued, CAUSES.updated);
    this.options.onReady();
  }

  #wakeOne(queued: QueuedPod, cause: string): void {
    const { uid } = queued.info;
    if (this.#held.has(uid)) {
      this.#held.set(uid, cause);
      return;
    }
    this.#waiting.remove(uid);
    // A gated pod has not failed yet, so it owes no rest.
    if (queued.gate || queued.attempts === 0) this.#admit(queued, cause);
    else this.#rest(queued, cause);
  }

  #hintOf(name: string, info: PodInfo): Plugin["hint"] {
    return this.options.pluginsOf(info).find((plugin) => plugin.name === name)?.hint;
  }

  #rest(queued: QueuedPod, cause: string): void {
    queued.readyAt = (queued.errorCount > 0 ? this.#now() : queued.since) + restMs(queued, this.options);
    if (queued.readyAt <= this.#now()) return this.#activate(queued, cause);
    this.#backoff.push(queued);
    this.options.onIncoming?.("backoff", cause);
  }

  #activate(queued: QueuedPod, cause: string): void {
    this.#active.push(queued);
    this.options.onIncoming?.("active", cause);
  }

  #wait(queued: QueuedPod, cause: string): void {
    this.#waiting.add(queued);
    this.options.onIncoming?.("unschedulable", cause);
  }

  #moveRested(): void {
    const now = this.#now();
    // A rest that ends later than any rest can means that the clock was set back.
    const isOver = ({ readyAt }: QueuedPod): boolean => readyAt <= now || readyAt > now + this.options.maxBackoffMs;
    for (let next = this.#backoff.peek(); next && isOver(next); next = this.#backoff.peek()) {
      this.#backoff.pop();
      this.#activate(next, CAUSES.rested);
    }
  }

  #popEarly(): QueuedPod | undefined {
    const early = this.#earlyCandidate();
    if (early) this.options.onIncoming?.("active", CAUSES.early);
    return early && this.#backoff.remove(early.info.uid);
  }

  #earlyCandidate(): QueuedPod | undefined {
    const first = this.#backoff.peek();
    if (!first || first.errorCount === 0) return first;
    for (const queued of this.#backoff.values()) if (queued.errorCount === 0) return queued;
    return undefined;
  }
}

// Runs one pod of a DaemonSet on every node that fits, now and when nodes come.
// Which pods these are is `plan.ts`'s business, which nodes fit `nodes.ts`'s.
import { isNamespaceTerminating } from "../../../api/errors.ts";
import type { Client } from "../../../api/client/client.ts";
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import type { EventRecorder } from "../../../api/client/recorder.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { ControllerRevision, DaemonSet, DaemonSetStatus, Node, Pod, Stored } from "../../../api/types.ts";
import { delayOf } from "../../../lib/backoff.ts";
import type { Clock } from "../../../lib/clock.ts";
import { LruMap } from "../../../lib/lru.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { beyondLimit, deleteRevisions, POD_REVISION, snapshot, sortRevisions } from "../history.ts";
import { CONTROLLER_REVISION, DAEMON_SET, NODE, POD } from "../kinds.ts";
import { claim, controllerRefOf, indexByController, ownedAndOrphans, resolveController } from "../owners.ts";
import { createPod, deletePod, podFromTemplate, slowStart } from "../podcontrol.ts";
import { nextAvailability } from "../pods.ts";
import { isSame } from "../template.ts";
import { PendingWrites } from "../writes.ts";
import { targetNode, templateFor, verdictOn } from "./nodes.ts";
import { byNode, planPods, planRollout, statusOf, type ByNode, type DaemonPlan } from "./plan.ts";

const NAME = "daemonset-controller";
const BURST = 250;
const FAILED_BACKOFF = { baseMs: 1000, maxMs: 15 * 60_000 };
const MAX_FAILED_NODES = 10_000;

export function daemonSetController(deps: ControllerDeps): Controller {
  return new DaemonSetController(deps).controller;
}

class DaemonSetController {
  readonly controller: Controller;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #clock: Clock;
  readonly #sets: Informer<DaemonSet>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #queue: WorkQueue;
  readonly #pending: PendingWrites;
  /** How often a pod failed on a node lately, and when it may be replaced next. */
  readonly #failures = new LruMap<string, { count: number; notBefore: number }>(MAX_FAILED_NODES);

  constructor(deps: ControllerDeps) {
    this.#client = deps.clientFor("daemon-set-controller");
    this.#recorder = deps.recorderFor(NAME);
    this.#clock = deps.clock;
    this.#sets = deps.informers.for<DaemonSet>(DAEMON_SET);
    this.#pods = deps.informers.for<Pod>(POD);
    this.#nodes = deps.informers.for<Node>(NODE);
    this.#revisions = deps.informers.for<ControllerRevision>(CONTROLLER_REVISION);
    this.#queue = new WorkQueue({ clock: deps.clock });
    this.#pending = new PendingWrites(deps.clock, this.#pods.lister);
    indexByController(this.#pods);
    indexByController(this.#revisions);
    this.#listen();
    this.controller = controllerOf({ name: NAME, queue: this.#queue, informers: deps.informers, workers: 2, reconcile: (key) => this.#reconcile(key), subject: { recorder: this.#recorder, find: (key) => this.#sets.lister.get(key) } });
  }

  #listen(): void {
    const enqueue = (set: Stored<DaemonSet>): void => this.#queue.add(keyOf(set));
    this.#sets.addHandler({ add: enqueue, update: enqueue, delete: enqueue });
    this.#pods.addHandler({
      add: (pod) => this.#podChanged(pod, false),
      update: (pod, old) => {
        if (controllerRefOf(old)?.uid !== controllerRefOf(pod)?.uid) this.#podChanged(old, false);
        this.#podChanged(pod, false);
      },
      delete: (pod) => this.#podChanged(pod, true),
    });
    const enqueueAll = (): void => this.#sets.lister.list().forEach(enqueue);
    this.#nodes.addHandler({
      add: (node) => this.#sets.lister.list().forEach((set) => (verdictOn(set, node).stays ? enqueue(set) : undefined)),
      update: (node, old) => {
        if (isSame([node.metadata.labels, node.spec?.taints], [old.metadata.labels, old.spec?.taints])) return;
        for (const set of this.#sets.lister.list()) if (!isSame(verdictOn(set, node), verdictOn(set, old))) enqueue(set);
      },
      delete: enqueueAll,
    });
  }

  #podChanged(pod: Stored<Pod>, isGone: boolean): void {
    const owner = resolveController(this.#sets, pod);
    if (owner) {
      this.#pending.observed(keyOf(owner), pod, isGone);
      return this.#queue.add(keyOf(owner));
    }
    if (controllerRefOf(pod)) return;
    for (const set of this.#sets.lister.inNamespace(pod.metadata.namespace ?? "")) {
      if (matcherOf(set.spec?.selector).matches(pod.metadata.labels)) this.#queue.add(keyOf(set));
    }
  }

  async #reconcile(key: Key): Promise<void> {
    const set = this.#sets.lister.get(key);
    if (!set?.spec?.template) return;
    const matcher = matcherOf(set.spec.selector);
    if (matcher.isEmpty) return this.#recorder.event(set, "Warning", "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.");
    if (set.metadata.deletionTimestamp) return;
    const pods = await claim({ client: this.#client, owner: set, ownerKind: DAEMON_SET, kind: POD, matcher, candidates: ownedAndOrphans(this.#pods, set) });
    const revisions = sortRevisions(await claim({ client: this.#client, owner: set, ownerKind: DAEMON_SET, kind: CONTROLLER_REVISION, matcher, candidates: ownedAndOrphans(this.#revisions, set) }));
    const { revision, collisionCount } = await snapshot({ client: this.#client, kind: DAEMON_SET, owner: set, template: set.spec.template, collisionCount: set.status?.collisionCount ?? 0, hashLabel: POD_REVISION }, revisions);
    const hash = revision.metadata.labels?.[POD_REVISION] ?? "";
    const situation = byNode({ set, nodes: this.#nodes.lister.list(), pods, hash, now: this.#clock.now() });
    const failure = await this.#act(key, situation);
    const collisions = collisionCount > 0 ? { collisionCount } : {};
    await this.#writeStatus(set, { ...statusOf(situation), ...collisions, observedGeneration: failure === undefined ? set.metadata.generation : set.status?.observedGeneration });
    if (failure !== undefined) throw failure;
    const live = new Set([revision.metadata.name, ...revisions.filter((old) => pods.some((pod) => pod.metadata.labels?.[POD_REVISION] === old.metadata.labels?.[POD_REVISION])).map((old) => old.metadata.name)]);
    await deleteRevisions(this.#client, beyondLimit(revisions, live, set.spec.revisionHistoryLimit ?? 10));
    const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, situation.now);
    if (wait !== undefined) this.#queue.addAfter(key, wait);
  }

  /** Makes and deletes pods, unless the cache is behind; returns what went wrong. */
  async #act(key: Key, situation: ByNode): Promise<unknown> {
    if (this.#pending.isBehind(key)) {
      this.#queue.addAfter(key, 1000);
      return undefined;
    }
    const plan = planPods(situation);
    const replaced = plan.ended.filter((pod) => this.#mayReplace(key, situation, pod));
    const failure = await this.#apply(key, situation, { ...plan, delete: [...plan.delete, ...replaced] });
    const isSettled = plan.create.length === 0 && plan.delete.length === 0 && replaced.length === 0;
    if (failure !== undefined || !isSettled || situation.set.spec?.updateStrategy?.type !== "RollingUpdate") return failure;
    return this.#apply(key, situation, planRollout(situation));
  }

  /** Failed pods are replaced ever more slowly, node by node. */
  #mayReplace(key: Key, { set, now }: ByNode, pod: Stored<Pod>): boolean {
    const { name, namespace } = pod.metadata;
    const node = targetNode(pod);
    if (pod.status?.phase === "Succeeded") {
      this.#recorder.event(set, "Normal", "SucceededDaemonPod", `Found succeeded daemon pod ${namespace}/${name} on node ${node}, will try to delete it`);
      return true;
    }
    const id = `${set.metadata.uid}/${node}`;
    const known = this.#failures.get(id);
    if (known && now < known.notBefore) {
      this.#queue.addAfter(key, known.notBefore - now);
      return false;
    }
    const isRecent = known && now < known.notBefore + 2 * FAILED_BACKOFF.maxMs;
    const count = isRecent ? known.count + 1 : 0;
    this.#failures.set(id, { count, notBefore: now + delayOf(FAILED_BACKOFF, count) });
    this.#recorder.event(set, "Warning", "FailedDaemonPod", `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`);
    return true;
  }

  async #apply(key: Key, { set, hash }: ByNode, plan: DaemonPlan): Promise<unknown> {
    const by = { client: this.#client, recorder: this.#recorder, kind: DAEMON_SET, owner: set };
    const { error } = await slowStart(Math.min(plan.create.length, BURST), async (index) => {
      this.#pending.wrote(key, await createPod(by, podFromTemplate(DAEMON_SET, set, templateFor(set, plan.create[index] as string, hash))));
    });
    const deletions = await Promise.allSettled(plan.delete.slice(0, BURST).map(async (pod) => {
      this.#pending.deleted(key, pod);
      try {
        await deletePod(by, pod);
      } catch (failure) {
        this.#pending.observed(key, pod, true);
        throw failure;
      }
    }));
    if (plan.create.length > BURST || plan.delete.length > BURST) this.#queue.add(key);
    if (error !== undefined && !isNamespaceTerminating(error)) return error;
    return deletions.find((result) => result.status === "rejected")?.reason;
  }

  async #writeStatus(set: Stored<DaemonSet>, status: DaemonSetStatus): Promise<void> {
    if (isSame(withoutZeros(set.status ?? {}), withoutZeros(status))) return;
    await this.#client.update<DaemonSet>(DAEMON_SET, { ...set, status }, { subresource: "status" });
  }
}

function withoutZeros(status: object): object {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0));
}

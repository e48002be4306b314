// Runs one pod of a DaemonSet on every node that fits, now and when nodes come.
// Which pods these are is `plan.ts`'s business, which nodes fit `nodes.ts`'s.
import { isNamespaceTerminating } from "../../../api/errors.ts";
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { ControllerRevision, DaemonSet, DaemonSetStatus, Node, Pod, Stored } from "../../../api/types.ts";
import { delayOf } from "../../../lib/backoff.ts";
import { LruMap } from "../../../lib/lru.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { beyondLimit, deleteRevisions, POD_REVISION, snapshot, sortRevisions } from "../history.ts";
import { CONTROLLER_REVISION, DAEMON_SET, NODE, POD } from "../kinds.ts";
import { claim, indexByController, ownedAndOrphans } from "../owners.ts";
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
  return new DaemonSetController(deps);
}

class DaemonSetController extends KindController<DaemonSet> {
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #pending: PendingWrites;
  /** How often a pod failed on a node lately, and when it may be replaced next. */
  readonly #failures = new LruMap<string, { count: number; notBefore: number }>(MAX_FAILED_NODES);

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: DAEMON_SET, client: "daemon-set-controller", workers: 2 });
    this.#pods = deps.informers.for<Pod>(POD);
    this.#nodes = deps.informers.for<Node>(NODE);
    this.#revisions = deps.informers.for<ControllerRevision>(CONTROLLER_REVISION);
    this.#pending = new PendingWrites(deps.clock, this.#pods.lister);
    indexByController(this.#revisions);
    this.follow(this.#pods, (set, pod) => matcherOf(set.spec?.selector).matches(pod.metadata.labels));
    this.#followNodes();
  }

  #followNodes(): void {
    const enqueue = (set: Stored<DaemonSet>): void => this.queue.add(keyOf(set));
    this.#nodes.addHandler({
      add: (node) => this.objects.lister.list().forEach((set) => (verdictOn(set, node).stays ? enqueue(set) : undefined)),
      update: (node, old) => {
        if (isSame([node.metadata.labels, node.spec?.taints], [old.metadata.labels, old.spec?.taints])) return;
        for (const set of this.objects.lister.list()) if (!isSame(verdictOn(set, node), verdictOn(set, old))) enqueue(set);
      },
      delete: () => this.objects.lister.list().forEach(enqueue),
    });
  }

  protected async reconcile(key: Key): Promise<void> {
    const set = this.objects.lister.get(key);
    if (!set?.spec?.template) return;
    const matcher = matcherOf(set.spec.selector);
    if (matcher.isEmpty) return this.recorder.event(set, "Warning", "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.");
    if (set.metadata.deletionTimestamp) return;
    // Asked before the pods are read: what shows up while they are being claimed is not among them.
    const isBehind = this.#pending.isBehind(key);
    if (isBehind) this.queue.addAfter(key, 1000);
    const pods = await claim({ client: this.client, owner: set, ownerKind: DAEMON_SET, kind: POD, matcher, candidates: ownedAndOrphans(this.#pods, set) });
    const revisions = sortRevisions(await claim({ client: this.client, owner: set, ownerKind: DAEMON_SET, kind: CONTROLLER_REVISION, matcher, candidates: ownedAndOrphans(this.#revisions, set) }));
    const { revision, collisionCount } = await snapshot({ client: this.client, kind: DAEMON_SET, owner: set, template: set.spec.template, collisionCount: set.status?.collisionCount ?? 0, hashLabel: POD_REVISION }, revisions);
    const hash = revision.metadata.labels?.[POD_REVISION] ?? "";
    const situation = byNode({ set, nodes: this.#nodes.lister.list(), pods, hash, now: this.clock.now() });
    const failure = isBehind ? undefined : await this.#act(key, situation);
    const collisions = collisionCount > 0 ? { collisionCount } : {};
    await this.#writeStatus(set, { ...statusOf(situation), ...collisions, observedGeneration: failure === undefined ? set.metadata.generation : set.status?.observedGeneration });
    if (failure !== undefined) throw failure;
    const live = new Set([revision.metadata.name, ...revisions.filter((old) => pods.some((pod) => pod.metadata.labels?.[POD_REVISION] === old.metadata.labels?.[POD_REVISION])).map((old) => old.metadata.name)]);
    await deleteRevisions(this.client, beyondLimit(revisions, live, set.spec.revisionHistoryLimit ?? 10));
    const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, situation.now);
    if (wait !== undefined) this.queue.addAfter(key, wait);
  }

  /** Makes and deletes pods; returns what went wrong. */
  async #act(key: Key, situation: ByNode): Promise<unknown> {
    const plan = planPods(situation);
    const replaced = plan.ended.filter((pod) => this.#mayReplace(key, situation, pod));
    const failure = await this.#apply(key, situation, { ...plan, delete: [...plan.delete, ...replaced] });
    const isSettled = plan.create.length === 0 && plan.delete.length === 0 && replaced.length === 0;
    if (failure !== undefined || !isSettled || situation.set.spec?.updateStrategy?.type !== "RollingUpdate") return failure;
    return this.#apply(key, situation, planRollout(situation));
  }

  /** Failed pods are replaced ever more slowly, node by node. */
  #mayReplace(key: Key, { set }: ByNode, pod: Stored<Pod>): boolean {
    const now = this.clock.monotonic();
    const { name, namespace } = pod.metadata;
    const node = targetNode(pod);
    if (pod.status?.phase === "Succeeded") {
      this.recorder.event(set, "Normal", "SucceededDaemonPod", `Found succeeded daemon pod ${namespace}/${name} on node ${node}, will try to delete it`);
      return true;
    }
    const id = `${set.metadata.uid}/${node}`;
    const known = this.#failures.get(id);
    if (known && now < known.notBefore) {
      this.queue.addAfter(key, known.notBefore - now);
      return false;
    }
    const isRecent = known && now < known.notBefore + 2 * FAILED_BACKOFF.maxMs;
    const count = isRecent ? known.count + 1 : 0;
    this.#failures.set(id, { count, notBefore: now + delayOf(FAILED_BACKOFF, count) });
    this.recorder.event(set, "Warning", "FailedDaemonPod", `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`);
    return true;
  }

  async #apply(key: Key, { set, hash }: ByNode, plan: DaemonPlan): Promise<unknown> {
    const by = { client: this.client, recorder: this.recorder, kind: DAEMON_SET, owner: set };
    const { error } = await slowStart(Math.min(plan.create.length, BURST), async (index) => {
      this.#pending.wrote(key, await createPod(by, podFromTemplate(DAEMON_SET, set, templateFor(set, plan.create[index] as string, hash))));
    });
    const deletions = await Promise.allSettled(plan.delete.slice(0, BURST).map((pod) => this.#pending.deleting(key, pod, () => deletePod(by, pod))));
    if (plan.create.length > BURST || plan.delete.length > BURST) this.queue.add(key);
    if (error !== undefined && !isNamespaceTerminating(error)) return error;
    return deletions.find((result) => result.status === "rejected")?.reason;
  }

  async #writeStatus(set: Stored<DaemonSet>, status: DaemonSetStatus): Promise<void> {
    if (isSame(withoutZeros(set.status ?? {}), withoutZeros(status))) return;
    await this.client.update<DaemonSet>(DAEMON_SET, { ...set, status }, { subresource: "status" });
  }
}

function withoutZeros(status: object): object {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0));
}

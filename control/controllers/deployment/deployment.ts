// Rolls a Deployment's pods from one template to the next by sizing ReplicaSets, and tells how far it is.
// The arithmetic is in `replicasets.ts` and `status.ts`; rolling back is a client's patch of the template.
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from "../../../api/errors.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { Deployment, DeploymentStatus, Pod, ReplicaSet, Stored } from "../../../api/types.ts";
import { findCondition, withCondition } from "../conditions.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { DEPLOYMENT, POD, REPLICA_SET } from "../kinds.ts";
import { claim, indexByController, isControlledBy, newControllerRef, ownedAndOrphans, ownedBy, resolveController } from "../owners.ts";
import { PendingWrites } from "../writes.ts";
import { hashTemplate, isSame, isSameTemplate, POD_TEMPLATE_HASH } from "../template.ts";
import {
  allOf, beyondHistory, divide, isInUse, isRollingUpdate, isScalingEvent, newSetAnnotations, newSetSize, nextRevision,
  replicasOf, rescale, REVISION, rollDown, sizeAnnotations, sum, type Scaling, type Sets,
} from "./replicasets.ts";
import { countsOf, hasProgressDeadline, isComplete, newCondition, progressCheckIn, rolloutStatus } from "./status.ts";

const NAME = "deployment-controller";
const MAX_NAME = 253;

/** One pass over one Deployment: the object as last written, and its sets. */
interface Pass extends Sets {
  readonly deployment: Stored<Deployment>;
}

export function deploymentController(deps: ControllerDeps): Controller {
  return new DeploymentController(deps);
}

class DeploymentController extends KindController<Deployment> {
  readonly #sets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #pending: PendingWrites;

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: DEPLOYMENT });
    this.#sets = deps.informers.for<ReplicaSet>(REPLICA_SET);
    this.#pods = deps.informers.for<Pod>(POD);
    this.#pending = new PendingWrites(deps.clock, this.#sets.lister);
    this.follow(this.#sets, (deployment, set) => matcherOf(deployment.spec?.selector).matches(set.metadata.labels));
    indexByController(this.#pods);
    // A Recreate rollout waits for the last old pod to be gone.
    this.#pods.addHandler({ delete: (pod) => this.#podGone(pod) });
  }

  #podGone(pod: Stored<Pod>): void {
    const set = resolveController(this.#sets, pod);
    const owner = set && resolveController(this.objects, set);
    if (owner && !isRollingUpdate(owner)) this.queue.add(keyOf(owner));
  }

  protected async reconcile(key: Key): Promise<void> {
    const deployment = this.objects.lister.get(key);
    if (!deployment) return;
    if (this.#pending.isBehind(key)) return this.queue.addAfter(key, 1000);
    const matcher = matcherOf(deployment.spec?.selector);
    if (matcher.isEmpty) return this.#refuseSelectingAll(deployment);
    const sets = await claim({ client: this.client, owner: deployment, ownerKind: DEPLOYMENT, kind: REPLICA_SET, matcher, candidates: ownedAndOrphans(this.#sets, deployment) });
    if (deployment.metadata.deletionTimestamp) return this.#writeCounts({ deployment, ...divide(deployment, sets) });
    const current = await this.#markPaused(deployment);
    const pass = await this.#syncRevision({ deployment: current, ...divide(current, sets) });
    // Recreate knows no proportions: of several sets in use all but one go first, whatever the size.
    const isToBeSpread = isScalingEvent(current, pass) && (isRollingUpdate(current) || allOf(pass).filter(isInUse).length <= 1);
    if (current.spec?.paused || isToBeSpread) return this.#resize(pass);
    return isRollingUpdate(current) ? this.#rollingUpdate(pass) : this.#recreate(pass);
  }

  async #refuseSelectingAll(deployment: Stored<Deployment>): Promise<void> {
    this.recorder.event(deployment, "Warning", "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.");
    const { generation } = deployment.metadata;
    if ((deployment.status?.observedGeneration ?? 0) < (generation ?? 0)) await this.#updateStatus(deployment, { ...deployment.status, observedGeneration: generation });
  }

  /** Being paused and being resumed are marked, so that the time in between never counts as lack of progress. */
  async #markPaused(deployment: Stored<Deployment>): Promise<Stored<Deployment>> {
    const { conditions } = deployment.status ?? {};
    const condition = findCondition(conditions, "Progressing");
    if (!hasProgressDeadline(deployment) || condition?.reason === "ProgressDeadlineExceeded") return deployment;
    const isPaused = deployment.spec?.paused === true;
    if (isPaused === (condition?.reason === "DeploymentPaused")) return deployment;
    const [reason, message] = isPaused ? ["DeploymentPaused", "Deployment is paused"] : ["DeploymentResumed", "Deployment is resumed"];
    const marked = newCondition(this.clock.now(), { type: "Progressing", status: "Unknown", reason: reason as string, message: message as string });
    return this.#updateStatus(deployment, { ...deployment.status, conditions: withCondition(conditions, marked) });
  }

  /** Gives the new set, if it is there, the highest revision and the Deployment's annotations, and the Deployment its number. */
  async #syncRevision(pass: Pass): Promise<Pass> {
    const { deployment, newSet, oldSets } = pass;
    if (!newSet) return pass;
    const annotations = newSetAnnotations(deployment, newSet.metadata.annotations ?? {}, nextRevision(oldSets));
    const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
    let updated = newSet;
    if (!isSame(annotations, newSet.metadata.annotations ?? {}) || (newSet.spec?.minReadySeconds ?? 0) !== minReadySeconds) {
      updated = await this.#writeSet(deployment, { ...newSet, metadata: { ...newSet.metadata, annotations }, spec: { ...newSet.spec, minReadySeconds } as ReplicaSet["spec"] });
    }
    const found = newCondition(this.clock.now(), { type: "Progressing", status: "True", reason: "FoundNewReplicaSet", message: `Found new replica set "${updated.metadata.name}"` });
    const isProgressKnown = findCondition(deployment.status?.conditions, "Progressing") !== undefined;
    return { deployment: await this.#record(deployment, annotations[REVISION], isProgressKnown ? undefined : found), newSet: updated, oldSets };
  }

  /** Writes the revision and a condition where they are not there yet. */
  async #record(deployment: Stored<Deployment>, revision: string | undefined, condition: ReturnType<typeof newCondition> | undefined): Promise<Stored<Deployment>> {
    const wanted = hasProgressDeadline(deployment) ? condition : undefined;
    const { annotations } = deployment.metadata;
    if (!wanted && (revision === undefined || annotations?.[REVISION] === revision)) return deployment;
    const status = wanted ? { ...deployment.status, conditions: withCondition(deployment.status?.conditions, wanted) } : deployment.status;
    const metadata = { ...deployment.metadata, annotations: { ...annotations, ...(revision !== undefined && { [REVISION]: revision }) } };
    return this.#updateStatus({ ...deployment, metadata }, status ?? {});
  }

  async #resize(pass: Pass): Promise<void> {
    const scaled = await this.#scaleAll(pass, rescale(pass.deployment, pass), true);
    if (scaled.deployment.spec?.paused) await this.#cleanUp(scaled);
    await this.#writeCounts(scaled);
  }

  async #rollingUpdate(begin: Pass): Promise<void> {
    let pass = await this.#withNewSet(begin);
    const { deployment, newSet } = pass;
    if (!newSet) return;
    const size = replicasOf(newSet) > replicasOf(deployment) ? replicasOf(deployment) : newSetSize(deployment, allOf(pass), replicasOf(newSet));
    if (size !== replicasOf(newSet)) return this.#writeRollout(await this.#scaleAll(pass, [{ set: newSet, replicas: size }], false));
    const down = rollDown(deployment, pass);
    if (down.length > 0) pass = await this.#scaleAll(pass, down, false);
    else if (isComplete(deployment, deployment.status)) await this.#cleanUp(pass);
    await this.#writeRollout(pass);
  }

  async #recreate(begin: Pass): Promise<void> {
    const { deployment, oldSets } = begin;
    const down = oldSets.filter(isInUse).map((set) => ({ set, replicas: 0 }));
    if (down.length > 0) return this.#writeRollout(await this.#scaleAll(begin, down, false));
    if (this.#hasOldPods(begin)) return this.#writeRollout(begin);
    let pass = await this.#withNewSet(begin);
    if (pass.newSet) pass = await this.#scaleAll(pass, [{ set: pass.newSet, replicas: replicasOf(deployment) }], false);
    if (isComplete(deployment, deployment.status)) await this.#cleanUp(pass);
    await this.#writeRollout(pass);
  }

  #hasOldPods({ oldSets }: Sets): boolean {
    if (sum(oldSets, (set) => set.status?.replicas) > 0) return true;
    const pods = oldSets.flatMap((set) => ownedBy(this.#pods, set.metadata.uid));
    return pods.some((pod) => pod.status?.phase !== "Failed" && pod.status?.phase !== "Succeeded");
  }

  async #withNewSet(pass: Pass): Promise<Pass> {
    return pass.newSet ? pass : this.#createNewSet(pass);
  }

  async #createNewSet({ deployment, oldSets }: Pass): Promise<Pass> {
    const wanted = this.#newSetOf(deployment, oldSets);
    const { name } = wanted.metadata;
    const revision = wanted.metadata.annotations?.[REVISION];
    let newSet: Stored<ReplicaSet>;
    try {
      newSet = await this.client.create<ReplicaSet>(REPLICA_SET, wanted);
      this.#pending.wrote(keyOf(deployment), newSet);
    } catch (error) {
      const existing = isAlreadyExists(error) ? await this.#existingNewSet(deployment, name as string) : undefined;
      if (!existing) throw await this.#reportCreateFailure(deployment, name as string, error);
      return { deployment: await this.#record(deployment, revision, undefined), newSet: existing, oldSets };
    }
    if (replicasOf(newSet) > 0) this.#scaled(deployment, newSet, 0, replicasOf(newSet));
    const created = newCondition(this.clock.now(), { type: "Progressing", status: "True", reason: "NewReplicaSetCreated", message: `Created new replica set "${name}"` });
    return { deployment: await this.#record(deployment, revision, created), newSet, oldSets };
  }

  #newSetOf(deployment: Stored<Deployment>, oldSets: readonly Stored<ReplicaSet>[]): ReplicaSet {
    const { name, namespace } = deployment.metadata;
    const { template = {}, selector, minReadySeconds } = deployment.spec ?? {};
    const hash = hashTemplate(template, deployment.status?.collisionCount);
    const labels = { ...template.metadata?.labels, [POD_TEMPLATE_HASH]: hash };
    return {
      apiVersion: "apps/v1", kind: "ReplicaSet",
      metadata: {
        name: `${name.slice(0, MAX_NAME - 1 - hash.length)}-${hash}`, namespace, labels,
        ownerReferences: [newControllerRef(DEPLOYMENT, deployment)],
        annotations: { ...newSetAnnotations(deployment, {}, nextRevision(oldSets)), ...sizeAnnotations(deployment) },
      },
      spec: {
        replicas: newSetSize(deployment, oldSets, 0),
        ...(minReadySeconds !== undefined && { minReadySeconds }),
        selector: { ...selector, matchLabels: { ...selector?.matchLabels, [POD_TEMPLATE_HASH]: hash } },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    };
  }

  /** The set of that name, when it is ours and of the same template; otherwise the hash collided and the next one is tried. */
  async #existingNewSet(deployment: Stored<Deployment>, name: string): Promise<Stored<ReplicaSet> | undefined> {
    const set = await this.client.get<ReplicaSet>(REPLICA_SET, { name, namespace: deployment.metadata.namespace });
    const isOurs = isControlledBy(set, deployment) && set.spec?.template && deployment.spec && isSameTemplate(set.spec.template, deployment.spec.template);
    if (isOurs) return set;
    await this.#updateStatus(deployment, { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 });
    return undefined;
  }

  async #reportCreateFailure(deployment: Stored<Deployment>, name: string, error: unknown): Promise<unknown> {
    if (isAlreadyExists(error) || isNamespaceTerminating(error)) return error;
    const message = `Failed to create new replica set "${name}": ${(error as Error).message}`;
    this.recorder.event(deployment, "Warning", "ReplicaSetCreateError", message);
    if (!hasProgressDeadline(deployment)) return error;
    const failed = newCondition(this.clock.now(), { type: "Progressing", status: "False", reason: "ReplicaSetCreateError", message });
    const conditions = withCondition(deployment.status?.conditions, failed);
    await this.#updateStatus(deployment, { ...deployment.status, conditions }).catch(() => undefined);
    return error;
  }

  /** Applies sizes; `always` also brings the size annotations of sets whose size stays up to date. */
  async #scaleAll(pass: Pass, scalings: readonly Scaling[], always: boolean): Promise<Pass> {
    let { newSet, oldSets } = pass;
    for (const { set, replicas } of scalings) {
      const updated = await this.#scale(pass.deployment, { set, replicas }, always);
      if (set === newSet) newSet = updated;
      else oldSets = oldSets.map((old) => (old === set ? updated : old));
    }
    return { deployment: pass.deployment, newSet, oldSets };
  }

  async #scale(deployment: Stored<Deployment>, { set, replicas }: Scaling, always: boolean): Promise<Stored<ReplicaSet>> {
    const before = replicasOf(set);
    const annotations = { ...set.metadata.annotations, ...sizeAnnotations(deployment) };
    if (replicas === before && !(always && !isSame(annotations, set.metadata.annotations))) return set;
    const updated = await this.#writeSet(deployment, { ...set, metadata: { ...set.metadata, annotations }, spec: { ...set.spec, replicas } as ReplicaSet["spec"] });
    if (replicas !== before) this.#scaled(deployment, set, before, replicas);
    return updated;
  }

  async #writeSet(deployment: Stored<Deployment>, set: Stored<ReplicaSet>): Promise<Stored<ReplicaSet>> {
    const updated = await this.client.update<ReplicaSet>(REPLICA_SET, set);
    this.#pending.wrote(keyOf(deployment), updated);
    return updated;
  }

  // The two sizes belong together.
  #scaled(deployment: Stored<Deployment>, set: Stored<ReplicaSet>, before: number, replicas: number): void {
    const direction = replicas > before ? "up" : "down";
    this.recorder.event(deployment, "Normal", "ScalingReplicaSet", `Scaled ${direction} replica set ${set.metadata.name} from ${before} to ${replicas}`);
  }

  async #cleanUp({ deployment, oldSets }: Pass): Promise<void> {
    for (const { metadata: { name, namespace } } of beyondHistory(deployment, oldSets)) {
      try {
        await this.client.delete(REPLICA_SET, { name, namespace });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  }

  async #writeCounts(pass: Pass): Promise<void> {
    const status = countsOf(pass.deployment, pass, this.clock.now());
    if (!isSameStatus(pass.deployment.status, status)) await this.#updateStatus(pass.deployment, status);
  }

  async #writeRollout(pass: Pass): Promise<void> {
    const { deployment } = pass;
    const now = this.clock.now();
    const status = rolloutStatus(deployment, pass, now);
    if (!isSameStatus(deployment.status, status)) {
      await this.#updateStatus(deployment, status);
      return;
    }
    const check = progressCheckIn(deployment, status, now);
    if (check !== undefined) this.queue.addAfter(keyOf(deployment), check + 1000);
  }

  #updateStatus(deployment: Stored<Deployment>, status: DeploymentStatus): Promise<Stored<Deployment>> {
    return this.client.update<Deployment>(DEPLOYMENT, { ...deployment, status }, { subresource: "status" });
  }
}

/** Servers leave zeros out; that is no difference worth a write. */
function isSameStatus(a: DeploymentStatus | undefined, b: DeploymentStatus): boolean {
  return isSame(withoutZeros(a ?? {}), withoutZeros(b));
}

function withoutZeros(status: DeploymentStatus): object {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0));
}

// Keeps a StatefulSet's pods: each with a name, claims and an order of its own.
// What to do next is `plan.ts`'s business, what a pod looks like `identity.ts`'s.
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { isAlreadyExists, isNamespaceTerminating, isNotFound, orAbsent } from "../../../api/errors.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { ControllerRevision, PersistentVolumeClaim, Pod, StatefulSet, StatefulSetStatus, Stored } from "../../../api/types.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { beyondLimit, deleteRevisions, snapshot, sortRevisions, templateOf, type Snapshot } from "../history.ts";
import { CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET } from "../kinds.ts";
import { claim, controllerRefOf, indexByController, ownedAndOrphans } from "../owners.ts";
import { nextAvailability } from "../pods.ts";
import { isSame } from "../template.ts";
import { PendingWrites } from "../writes.ts";
import { claimOwners, claimsOf, isInRange, isStaleClaim, ordinalOf, revisionOf, withIdentity } from "./identity.ts";
import { planSteps, statusOf, type Situation, type Step } from "./plan.ts";

const NAME = "statefulset-controller";

export function statefulSetController(deps: ControllerDeps): Controller {
  return new StatefulSetController(deps);
}

class StatefulSetController extends KindController<StatefulSet> {
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #pending: PendingWrites;

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: STATEFUL_SET });
    this.#pods = deps.informers.for<Pod>(POD);
    this.#claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
    this.#revisions = deps.informers.for<ControllerRevision>(CONTROLLER_REVISION);
    this.#pending = new PendingWrites(deps.clock, this.#pods.lister);
    indexByController(this.#revisions);
    this.follow(this.#pods, (set, pod) => ordinalOf(set, pod) >= 0 && matcherOf(set.spec?.selector).matches(pod.metadata.labels));
    // A pod waits for the stale claim of its forerunner to be collected, and for one that was taken from under it to be made again.
    this.#claims.addHandler({ delete: (claim) => this.#claimGone(claim) });
  }

  #claimGone({ metadata: { name, namespace = "" } }: Stored<PersistentVolumeClaim>): void {
    for (const set of this.objects.lister.inNamespace(namespace)) {
      if (set.spec?.volumeClaimTemplates?.some(({ metadata }) => name.startsWith(`${metadata?.name}-${set.metadata.name}-`))) this.queue.add(keyOf(set));
    }
  }

  protected async reconcile(key: Key): Promise<void> {
    const set = this.objects.lister.get(key);
    if (!set?.spec?.template) return;
    if (this.#pending.isBehind(key)) return this.queue.addAfter(key, 1000);
    const [pods, revisions] = [await this.#claimPods(set), await this.#claimRevisions(set)];
    const { revision: update, collisionCount } = await this.#snapshot(set, revisions);
    const current = revisions.find(({ metadata }) => metadata.name === set.status?.currentRevision) ?? update;
    const situation = this.#situation(set, pods, { current, update });
    const steps = planSteps(situation);
    const outcome = await this.#take(key, set, steps);
    const deleted = steps.flatMap((step) => (step.type === "delete" ? [step.pod] : []));
    await this.#writeStatus(set, statusOf(situation, outcome.failure ? [] : deleted, collisionCount));
    await this.#truncateHistory(set, pods, { revisions, current, update });
    if (outcome.failure && !isNamespaceTerminating(outcome.failure)) throw outcome.failure;
    const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, situation.now);
    if (wait !== undefined) this.queue.addAfter(key, wait);
  }

  #claimPods(set: Stored<StatefulSet>): Promise<Stored<Pod>[]> {
    const candidates = ownedAndOrphans(this.#pods, set).filter((pod) => controllerRefOf(pod) || ordinalOf(set, pod) >= 0);
    return claim({ client: this.client, owner: set, ownerKind: STATEFUL_SET, kind: POD, matcher: matcherOf(set.spec?.selector), candidates });
  }

  async #claimRevisions(set: Stored<StatefulSet>): Promise<Stored<ControllerRevision>[]> {
    return sortRevisions(await claim({ client: this.client, owner: set, ownerKind: STATEFUL_SET, kind: CONTROLLER_REVISION, matcher: matcherOf(set.spec?.selector), candidates: ownedAndOrphans(this.#revisions, set) }));
  }

  #snapshot(set: Stored<StatefulSet>, sorted: readonly Stored<ControllerRevision>[]): Promise<Snapshot> {
    const template = set.spec?.template as NonNullable<StatefulSet["spec"]>["template"];
    return snapshot({ client: this.client, kind: STATEFUL_SET, owner: set, template, collisionCount: set.status?.collisionCount ?? 0 }, sorted);
  }

  #situation(set: Stored<StatefulSet>, pods: readonly Stored<Pod>[], { current, update }: { current: Stored<ControllerRevision>; update: Stored<ControllerRevision> }): Situation {
    return {
      set, pods, now: this.clock.now(),
      current: { revision: current.metadata.name, template: templateOf(current) },
      update: { revision: update.metadata.name, template: templateOf(update) },
      claimsAreRight: (pod) => this.#claimsOf(set, ordinalOf(set, pod)).every((existing) => claimOwners(set, pod, existing) === undefined),
      hasStaleClaim: (ordinal) => set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled === "Delete" && this.#claimsOf(set, ordinal).some((existing) => isStaleClaim(existing, `${set.metadata.name}-${ordinal}`)),
    };
  }

  /** Those claims of an ordinal that exist. */
  #claimsOf(set: Stored<StatefulSet>, ordinal: number): Stored<PersistentVolumeClaim>[] {
    return claimsOf(set, ordinal).flatMap((wanted) => this.#claims.lister.get(keyOf(wanted)) ?? []);
  }

  /** Takes the steps; the first failure ends it, for what comes later may depend on it. */
  async #take(key: Key, set: Stored<StatefulSet>, steps: readonly Step[]): Promise<{ failure?: unknown }> {
    for (const step of steps) {
      try {
        await this.#takeOne(key, set, step);
      } catch (failure) {
        return { failure };
      }
    }
    return {};
  }

  async #takeOne(key: Key, set: Stored<StatefulSet>, step: Step): Promise<void> {
    switch (step.type) {
      case "create":
        return this.#create(key, set, step);
      case "delete":
        return this.#delete(key, set, step.pod);
      case "claims":
        await this.#createClaims(set, step.pod);
        return this.#ownClaims(set, step.pod);
      case "repair":
        return this.#repair(key, set, step.pod);
    }
  }

  async #create(key: Key, set: Stored<StatefulSet>, { pod }: { pod: Pod }): Promise<void> {
    try {
      await this.#createClaims(set, pod);
      const created = await this.client.create<Pod>(POD, pod);
      this.#pending.wrote(key, created);
      await this.#ownClaims(set, created);
      this.#say(set, "Create", pod);
    } catch (error) {
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) this.#say(set, "Create", pod, error);
      throw error;
    }
  }

  async #delete(key: Key, set: Stored<StatefulSet>, pod: Stored<Pod>): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    try {
      await this.#ownUnseenClaims(set, pod);
      await this.#pending.deleting(key, pod, () => this.client.delete(POD, { name, namespace }, { preconditions: { uid } }));
      this.#say(set, "Delete", pod);
    } catch (error) {
      if (isNotFound(error)) return;
      this.#say(set, "Delete", pod, error);
      throw error;
    }
  }

  async #repair(key: Key, set: Stored<StatefulSet>, pod: Stored<Pod>): Promise<void> {
    const repaired = withIdentity(set, pod);
    await this.#createClaims(set, pod);
    await this.#ownClaims(set, pod);
    if (repaired === pod) return;
    try {
      this.#pending.wrote(key, await this.client.update<Pod>(POD, repaired));
      this.#say(set, "Update", pod);
    } catch (error) {
      this.#say(set, "Update", pod, error);
      throw error;
    }
  }

  async #createClaims(set: Stored<StatefulSet>, pod: Pod): Promise<void> {
    for (const wanted of claimsOf(set, ordinalOf(set, pod))) {
      const existing = this.#claims.lister.get(keyOf(wanted));
      if (existing?.metadata.deletionTimestamp) throw new Error(`pvc ${existing.metadata.name} is being deleted`);
      if (existing) continue;
      try {
        await this.client.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, wanted);
        this.recorder.event(set, "Normal", "SuccessfulCreate", `Create Claim ${wanted.metadata.name} Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} success`);
      } catch (error) {
        if (isAlreadyExists(error)) continue;
        const message = (error as Error).message;
        this.recorder.event(set, "Warning", "FailedCreate", `Create Claim ${wanted.metadata.name} for Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} failed error: ${message}`);
        throw new Error(`failed to create PVC ${wanted.metadata.name}: ${message}`, { cause: error });
      }
    }
  }

  async #ownClaims(set: Stored<StatefulSet>, pod: Stored<Pod>): Promise<void> {
    for (const existing of this.#claimsOf(set, ordinalOf(set, pod))) {
      const ownerReferences = claimOwners(set, pod, existing);
      if (ownerReferences) await this.client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...existing, metadata: { ...existing.metadata, ownerReferences } });
    }
  }

  /** The last moment to have the claims of a pod scaled away go with it: one the cache does not show yet would stay for ever. */
  async #ownUnseenClaims(set: Stored<StatefulSet>, pod: Stored<Pod>): Promise<void> {
    if (set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled !== "Delete" || isInRange(set, pod)) return;
    for (const wanted of claimsOf(set, ordinalOf(set, pod))) {
      if (this.#claims.lister.get(keyOf(wanted))) continue;
      const live = await orAbsent(this.client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { name: wanted.metadata.name as string, namespace: set.metadata.namespace }));
      const ownerReferences = live && claimOwners(set, pod, live);
      if (ownerReferences) await this.client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...live, metadata: { ...live.metadata, ownerReferences } });
    }
  }

  // Who, what, to which pod, and how it ended.
  #say(set: Stored<StatefulSet>, verb: "Create" | "Delete" | "Update", pod: Pod, error?: unknown): void {
    const subject = `${verb} Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
    if (error === undefined) this.recorder.event(set, "Normal", `Successful${verb}`, `${subject} successful`);
    else this.recorder.event(set, "Warning", `Failed${verb}`, `${subject} failed error: ${(error as Error).message}`);
  }

  async #writeStatus(set: Stored<StatefulSet>, status: StatefulSetStatus): Promise<void> {
    const zeros = { availableReplicas: 0, currentReplicas: 0, readyReplicas: 0, updatedReplicas: 0, collisionCount: 0 };
    if (isSame({ ...zeros, ...set.status }, { ...zeros, ...status })) return;
    await this.client.update<StatefulSet>(STATEFUL_SET, { ...set, status }, { subresource: "status" });
  }

  async #truncateHistory(set: Stored<StatefulSet>, pods: readonly Pod[], { revisions, current, update }: { revisions: readonly Stored<ControllerRevision>[]; current: Stored<ControllerRevision>; update: Stored<ControllerRevision> }): Promise<void> {
    const live = new Set([current.metadata.name, update.metadata.name, ...pods.map(revisionOf)]);
    await deleteRevisions(this.client, beyondLimit(revisions, live, set.spec?.revisionHistoryLimit ?? 10));
  }
}

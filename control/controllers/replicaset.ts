// Keeps as many live pods as a ReplicaSet or a ReplicationController asks for, and says how they are.
// Both kinds are one controller: they differ in how they spell their selector. Rolling out is the Deployment's business.
import type { Client } from "../../api/client/client.ts";
import { type Informer, type Key } from "../../api/client/informer.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { isConflict, isNamespaceTerminating } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { EVERYTHING, matcherOf, matcherOfLabels, type LabelMatcher } from "../../api/selectors.ts";
import type { Pod, ReplicaSet, ReplicationController, Stored } from "../../api/types.ts";
import { KindController, type Controller, type ControllerDeps } from "./controller.ts";
import { POD, REPLICA_SET, REPLICATION_CONTROLLER } from "./kinds.ts";
import { claim, controllerRefOf, indexByController, isControlledBy, ownedAndOrphans, ownedBy } from "./owners.ts";
import { createPod, deletePod, podFromTemplate, slowStart } from "./podcontrol.ts";
import { Pace } from "./pace.ts";
import { isActive, isTerminating, leastUseful, nextAvailability } from "./pods.ts";
import { replicaStatus } from "./replicastatus.ts";
import { PendingWrites } from "./writes.ts";

/** What the two kinds have in common; their selectors are read through a flavor. */
export type Replicated = ReplicaSet | ReplicationController;

interface Flavor {
  readonly name: string;
  readonly kind: KindInfo;
  selectorOf(owner: Replicated): LabelMatcher;
}

const REPLICA_SET_FLAVOR: Flavor = {
  name: "replicaset-controller", kind: REPLICA_SET,
  selectorOf: (owner) => matcherOf((owner as ReplicaSet).spec?.selector),
};
const REPLICATION_CONTROLLER_FLAVOR: Flavor = {
  name: "replicationcontroller-controller", kind: REPLICATION_CONTROLLER,
  selectorOf: (owner) => matcherOfLabels((owner as ReplicationController).spec?.selector),
};
/** The most pods one pass makes or deletes. */
const BURST = 500;
/** A pass looks at every pod: a set of 5,000 is looked over ten times a second at most, unless there is something to make or delete. */
const MS_PER_POD = 0.02;

export function replicaSetController(deps: ControllerDeps): Controller {
  return new ReplicaController(deps, REPLICA_SET_FLAVOR);
}

export function replicationControllerController(deps: ControllerDeps): Controller {
  return new ReplicaController(deps, REPLICATION_CONTROLLER_FLAVOR);
}

class ReplicaController extends KindController<Replicated> {
  readonly #flavor: Flavor;
  readonly #pods: Informer<Pod>;
  readonly #pending: PendingWrites;
  readonly #pace: Pace;

  constructor(deps: ControllerDeps, flavor: Flavor) {
    super(deps, { name: flavor.name, kind: flavor.kind, workers: 10 });
    this.#flavor = flavor;
    this.#pods = deps.informers.for<Pod>(POD);
    this.#pending = new PendingWrites(deps.clock, this.#pods.lister);
    this.#pace = new Pace(this.queue, deps.clock);
    indexByController(this.objects);
    this.follow(this.#pods, (owner, pod) => {
      const matcher = flavor.selectorOf(owner);
      return matcher !== EVERYTHING && matcher.matches(pod.metadata.labels);
    });
  }

  protected async reconcile(key: Key): Promise<void> {
    const owner = this.objects.lister.get(key);
    if (!owner) return this.#pace.forget(key);
    if (!this.#isUrgent(key, owner) && this.#pace.mustWait(key)) return;
    // Asked before the pods are read: what shows up while they are being claimed is not among them.
    const isBehind = this.#pending.isBehind(key);
    if (isBehind) this.queue.addAfter(key, 1000);
    const matcher = this.#flavor.selectorOf(owner);
    const all = ownedAndOrphans(this.#pods, owner);
    const active = await claim({ client: this.client, owner, ownerKind: this.#flavor.kind, kind: POD, matcher, candidates: all.filter((pod) => isActive(pod) && !this.#pending.isDeleted(key, pod)) });
    const terminating = all.filter((pod) => isTerminating(pod) && isControlledBy(pod, owner) && matcher.matches(pod.metadata.labels));
    const failure = !isBehind && !owner.metadata.deletionTimestamp ? await this.#scale(key, owner, active) : undefined;
    this.#pace.wrote(key, all.length * MS_PER_POD);
    // Who reads the status decides by it how many more may go.
    await this.#writeStatus(key, owner, { active: active.filter((pod) => !this.#pending.isDeleted(key, pod)), terminating, failure });
    if (failure !== undefined) throw failure;
  }

  /** Somebody changed what is wanted, or the pods just made or deleted have all shown up and the next may follow. */
  #isUrgent(key: Key, { metadata, status }: Stored<Replicated>): boolean {
    return metadata.generation !== status?.observedGeneration || this.#pending.isFulfilled(key);
  }

  /** Makes or deletes pods; returns what went wrong, which belongs in the status. */
  async #scale(key: Key, owner: Stored<Replicated>, active: readonly Stored<Pod>[]): Promise<unknown> {
    const missing = (owner.spec?.replicas ?? 1) - active.length;
    if (missing > 0) return this.#createPods(key, owner, Math.min(missing, BURST));
    if (missing < 0) return this.#deletePods(key, owner, leastUseful(active, this.#related(owner), Math.min(-missing, BURST), this.clock.now()));
    return undefined;
  }

  async #createPods(key: Key, owner: Stored<Replicated>, count: number): Promise<unknown> {
    const template = owner.spec?.template;
    if (!template) return undefined;
    const by = this.#by(owner);
    const { error } = await slowStart(count, async () => {
      this.#pending.wrote(key, await createPod(by, podFromTemplate(by.kind, owner, template)));
    });
    return isNamespaceTerminating(error) ? undefined : error;
  }

  async #deletePods(key: Key, owner: Stored<Replicated>, pods: readonly Stored<Pod>[]): Promise<unknown> {
    const by = this.#by(owner);
    const results = await Promise.allSettled(pods.map((pod) => this.#pending.deleting(key, pod, () => deletePod(by, pod))));
    return results.find((result) => result.status === "rejected")?.reason;
  }

  /** Pods of every set with the same parent: a Deployment's revisions crowd each other's nodes. */
  #related(owner: Stored<Replicated>): Pod[] {
    const parent = controllerRefOf(owner);
    const siblings = parent ? ownedBy(this.objects, parent.uid) : [owner];
    return siblings.flatMap((sibling) => ownedBy(this.#pods, sibling.metadata.uid));
  }

  async #writeStatus(key: Key, owner: Stored<Replicated>, pods: { active: readonly Stored<Pod>[]; terminating: readonly Stored<Pod>[]; failure: unknown }): Promise<void> {
    const now = this.clock.now();
    const status = replicaStatus(owner, { ...pods, now, countsTerminating: this.#flavor.kind === REPLICA_SET });
    let written = owner;
    if (status) {
      written = await this.#updateStatus(owner, status);
    }
    const { minReadySeconds = 0 } = written.spec ?? {};
    if (minReadySeconds === 0 || written.status?.readyReplicas === written.status?.availableReplicas) return;
    this.queue.addAfter(key, nextAvailability(pods.active, minReadySeconds, now) ?? minReadySeconds * 1000);
  }

  /** One conflict is met by reading again: the numbers are as true for the newer object. */
  async #updateStatus(owner: Stored<Replicated>, status: NonNullable<Replicated["status"]>): Promise<Stored<Replicated>> {
    const { kind } = this.#flavor;
    try {
      return await this.client.update<Replicated>(kind, { ...owner, status }, { subresource: "status" });
    } catch (error) {
      if (!isConflict(error)) throw error;
      const fresh = await this.client.get<Replicated>(kind, { name: owner.metadata.name, namespace: owner.metadata.namespace });
      if (fresh.metadata.uid !== owner.metadata.uid) throw error;
      return this.client.update<Replicated>(kind, { ...fresh, status }, { subresource: "status" });
    }
  }

  #by(owner: Stored<Replicated>): { client: Client; recorder: EventRecorder; kind: KindInfo; owner: Stored<Replicated> } {
    return { client: this.client, recorder: this.recorder, kind: this.#flavor.kind, owner };
  }
}

// Keeps as many live pods as a ReplicaSet or a ReplicationController asks for, and says how they are.
// Both kinds are one controller: they differ in how they spell their selector. Rolling out is the Deployment's business.
import type { Client } from "../../api/client/client.ts";
import { Expectations } from "../../api/client/expectations.ts";
import { keyOf, type Informer, type Key } from "../../api/client/informer.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { isConflict, isNamespaceTerminating } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { EVERYTHING, matcherOf, matcherOfLabels, type LabelMatcher } from "../../api/selectors.ts";
import type { Pod, ReplicaSet, ReplicationController, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { controllerOf, type Controller, type ControllerDeps } from "./controller.ts";
import { POD, REPLICA_SET, REPLICATION_CONTROLLER } from "./kinds.ts";
import { claim, controllerRefOf, indexByController, isControlledBy, ownedAndOrphans, ownedBy, resolveController } from "./owners.ts";
import { createPod, deletePod, podFromTemplate, slowStart } from "./podcontrol.ts";
import { Pace } from "./pace.ts";
import { isActive, isTerminating, leastUseful, nextAvailability } from "./pods.ts";
import { replicaStatus } from "./replicastatus.ts";

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
  return new ReplicaController(deps, REPLICA_SET_FLAVOR).controller;
}

export function replicationControllerController(deps: ControllerDeps): Controller {
  return new ReplicaController(deps, REPLICATION_CONTROLLER_FLAVOR).controller;
}

class ReplicaController {
  readonly controller: Controller;
  readonly #flavor: Flavor;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #clock: Clock;
  readonly #owners: Informer<Replicated>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #expectations: Expectations;
  readonly #pace: Pace;

  constructor(deps: ControllerDeps, flavor: Flavor) {
    this.#flavor = flavor;
    this.#client = deps.clientFor(flavor.name);
    this.#recorder = deps.recorderFor(flavor.name);
    this.#clock = deps.clock;
    this.#owners = deps.informers.for<Replicated>(flavor.kind);
    this.#pods = deps.informers.for<Pod>(POD);
    this.#queue = new WorkQueue({ clock: deps.clock });
    this.#expectations = new Expectations(deps.clock);
    this.#pace = new Pace(this.#queue, deps.clock);
    indexByController(this.#pods);
    indexByController(this.#owners);
    this.#listen();
    this.controller = controllerOf({ name: flavor.name, queue: this.#queue, informers: deps.informers, workers: 10, reconcile: (key) => this.#reconcile(key), subject: { recorder: this.#recorder, find: (key) => this.#owners.lister.get(key) } });
  }

  #listen(): void {
    const enqueue = (owner: Stored<Replicated>): void => this.#queue.add(keyOf(owner));
    this.#owners.addHandler({
      add: enqueue, update: enqueue,
      delete: (owner) => {
        this.#forget(keyOf(owner));
        enqueue(owner);
      },
    });
    this.#pods.addHandler({
      add: (pod) => {
        this.#podAdded(pod);
        if (pod.metadata.deletionTimestamp) this.#podGoing(pod);
      },
      update: (pod, old) => this.#podChanged(pod, old),
      delete: (pod) => this.#podGoing(pod),
    });
  }

  #podAdded(pod: Stored<Pod>): void {
    const owner = resolveController(this.#owners, pod);
    if (owner) {
      this.#expectations.creationObserved(keyOf(owner));
      this.#queue.add(keyOf(owner));
    } else if (!controllerRefOf(pod)) this.#enqueueAdopters(pod);
  }

  #podChanged(pod: Stored<Pod>, old: Stored<Pod>): void {
    if (pod.metadata.deletionTimestamp && !old.metadata.deletionTimestamp) this.#podGoing(pod);
    const owner = resolveController(this.#owners, pod);
    if (controllerRefOf(old)?.uid !== controllerRefOf(pod)?.uid) {
      const oldOwner = resolveController(this.#owners, old);
      if (oldOwner) this.#queue.add(keyOf(oldOwner));
    }
    if (owner) this.#queue.add(keyOf(owner));
    else if (!controllerRefOf(pod) && (pod.metadata.labels !== old.metadata.labels || controllerRefOf(old))) this.#enqueueAdopters(pod);
  }

  /** A deletion counts when it begins: waiting for the pod's last breath would stall scaling. */
  #podGoing(pod: Stored<Pod>): void {
    const owner = resolveController(this.#owners, pod);
    if (!owner) return;
    this.#expectations.deletionObserved(keyOf(owner), pod.metadata.uid);
    this.#queue.add(keyOf(owner));
  }

  #enqueueAdopters(pod: Stored<Pod>): void {
    for (const owner of this.#owners.lister.inNamespace(pod.metadata.namespace ?? "")) {
      const matcher = this.#flavor.selectorOf(owner);
      if (matcher !== EVERYTHING && matcher.matches(pod.metadata.labels)) this.#queue.add(keyOf(owner));
    }
  }

  async #reconcile(key: Key): Promise<void> {
    const owner = this.#owners.lister.get(key);
    if (!owner) return this.#forget(key);
    if (!this.#isUrgent(key, owner) && this.#pace.mustWait(key)) return;
    const matcher = this.#flavor.selectorOf(owner);
    const all = ownedAndOrphans(this.#pods, owner);
    const active = await claim({ client: this.#client, owner, ownerKind: this.#flavor.kind, kind: POD, matcher, candidates: all.filter(isActive) });
    const terminating = all.filter((pod) => isTerminating(pod) && isControlledBy(pod, owner) && matcher.matches(pod.metadata.labels));
    const isCaughtUp = this.#expectations.satisfied(key);
    if (!isCaughtUp) this.#queue.addAfter(key, Expectations.EXPIRY_MS);
    const failure = isCaughtUp && !owner.metadata.deletionTimestamp ? await this.#scale(key, owner, active) : undefined;
    this.#pace.wrote(key, all.length * MS_PER_POD);
    await this.#writeStatus(key, owner, { active, terminating, failure });
    if (failure !== undefined) throw failure;
  }

  #forget(key: Key): void {
    this.#expectations.forget(key);
    this.#pace.forget(key);
  }

  /** Somebody changed what is wanted, or the pods just made or deleted have all shown up and the next may follow. */
  #isUrgent(key: Key, { metadata, status }: Stored<Replicated>): boolean {
    return metadata.generation !== status?.observedGeneration || this.#expectations.fulfilled(key);
  }

  /** Makes or deletes pods; returns what went wrong, which belongs in the status. */
  async #scale(key: Key, owner: Stored<Replicated>, active: readonly Stored<Pod>[]): Promise<unknown> {
    const missing = (owner.spec?.replicas ?? 1) - active.length;
    if (missing > 0) return this.#createPods(key, owner, Math.min(missing, BURST));
    if (missing < 0) return this.#deletePods(key, owner, leastUseful(active, this.#related(owner), Math.min(-missing, BURST), this.#clock.now()));
    this.#expectations.forget(key);
    return undefined;
  }

  async #createPods(key: Key, owner: Stored<Replicated>, count: number): Promise<unknown> {
    const template = owner.spec?.template;
    if (!template) return undefined;
    this.#expectations.expect(key, { creations: count });
    const by = this.#by(owner);
    const { succeeded, error } = await slowStart(count, async () => {
      await createPod(by, podFromTemplate(by.kind, owner, template));
    });
    this.#expectations.creationObserved(key, count - succeeded);
    return isNamespaceTerminating(error) ? undefined : error;
  }

  async #deletePods(key: Key, owner: Stored<Replicated>, pods: readonly Stored<Pod>[]): Promise<unknown> {
    // Reading and claiming took a while: what the cache shows as going by now will not be shown as going again.
    const shown = pods.filter((pod) => {
      const cached = this.#pods.lister.get(keyOf(pod));
      return cached?.metadata.uid === pod.metadata.uid && !cached.metadata.deletionTimestamp;
    });
    this.#expectations.expect(key, { deletions: shown.map((pod) => pod.metadata.uid) });
    const by = this.#by(owner);
    const results = await Promise.allSettled(pods.map(async (pod) => {
      try {
        await deletePod(by, pod);
      } catch (error) {
        this.#expectations.deletionObserved(key, pod.metadata.uid);
        throw error;
      }
    }));
    return results.find((result) => result.status === "rejected")?.reason;
  }

  /** Pods of every set with the same parent: a Deployment's revisions crowd each other's nodes. */
  #related(owner: Stored<Replicated>): Pod[] {
    const parent = controllerRefOf(owner);
    const siblings = parent ? ownedBy(this.#owners, parent.uid) : [owner];
    return siblings.flatMap((sibling) => ownedBy(this.#pods, sibling.metadata.uid));
  }

  async #writeStatus(key: Key, owner: Stored<Replicated>, pods: { active: readonly Stored<Pod>[]; terminating: readonly Stored<Pod>[]; failure: unknown }): Promise<void> {
    const now = this.#clock.now();
    const status = replicaStatus(owner, { ...pods, now, countsTerminating: this.#flavor.kind === REPLICA_SET });
    let written = owner;
    if (status) {
      written = await this.#updateStatus(owner, status);
    }
    const { minReadySeconds = 0 } = written.spec ?? {};
    if (minReadySeconds === 0 || written.status?.readyReplicas === written.status?.availableReplicas) return;
    this.#queue.addAfter(key, nextAvailability(pods.active, minReadySeconds, now) ?? minReadySeconds * 1000);
  }

  /** One conflict is met by reading again: the numbers are as true for the newer object. */
  async #updateStatus(owner: Stored<Replicated>, status: NonNullable<Replicated["status"]>): Promise<Stored<Replicated>> {
    const { kind } = this.#flavor;
    try {
      return await this.#client.update<Replicated>(kind, { ...owner, status }, { subresource: "status" });
    } catch (error) {
      if (!isConflict(error)) throw error;
      const fresh = await this.#client.get<Replicated>(kind, { name: owner.metadata.name, namespace: owner.metadata.namespace });
      if (fresh.metadata.uid !== owner.metadata.uid) throw error;
      return this.#client.update<Replicated>(kind, { ...fresh, status }, { subresource: "status" });
    }
  }

  #by(owner: Stored<Replicated>): { client: Client; recorder: EventRecorder; kind: KindInfo; owner: Stored<Replicated> } {
    return { client: this.#client, recorder: this.#recorder, kind: this.#flavor.kind, owner };
  }
}

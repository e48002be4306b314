// Deletes what has lost its last owner, holds owners until their dependents are gone, and sets dependents free.
// Rules: k8s.io/kubernetes/pkg/controller/garbagecollector. Before anything is deleted the server is asked, never only the cache.
import type { Client } from "../../../api/client/client.ts";
import type { EventRecorder } from "../../../api/client/recorder.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isConflict, orAbsent } from "../../../api/errors.ts";
import type { KubeObject, OwnerReference, Stored } from "../../../api/types.ts";
import { LruMap } from "../../../lib/lru.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { isSame } from "../template.ts";
import { FOREGROUND, Graph, idOfItem, ORPHAN, type Item } from "./graph.ts";

const NAME = "garbage-collector-controller";
const MAX_ABSENT = 500;
const MAX_CONFLICTS = 5;

export function garbageCollector(deps: ControllerDeps): Controller {
  return new GarbageCollector(deps).controller;
}

/** An item's references by what has become of the owners. */
interface Classified {
  readonly solid: readonly OwnerReference[];
  readonly dangling: readonly OwnerReference[];
  /** Owners being deleted in the foreground, which wait for this item. */
  readonly waiting: readonly OwnerReference[];
}

class GarbageCollector {
  readonly controller: Controller;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #graph: Graph;
  /** Owners known not to exist: a UID never comes back. */
  readonly #absent = new LruMap<string, true>(MAX_ABSENT);
  /** Items with an owner of a kind that is not served (yet). */
  readonly #unresolved = new Set<string>();

  constructor(deps: ControllerDeps) {
    const { informers, kinds, clock } = deps;
    this.#client = deps.clientFor("generic-garbage-collector");
    this.#recorder = deps.recorderFor("garbage-collector-controller");
    this.#queue = new WorkQueue({ clock });
    this.#graph = new Graph({
      client: this.#client, informers, kinds, clock,
      onChange: (type, item, old) => this.#changed(type, item, old),
      onKindsChanged: () => {
        for (const id of this.#unresolved) this.#queue.add(id);
        this.#unresolved.clear();
      },
    });
    this.controller = controllerOf({
      name: NAME, queue: this.#queue, informers, workers: 20, reconcile: (id) => this.#reconcile(id),
      beside: (signal) => Promise.resolve(this.#graph.follow(signal)),
    });
  }

  #changed(type: "add" | "update" | "delete", item: Item, old: Stored<KubeObject> | undefined): void {
    const { metadata } = item.object;
    if (type === "delete") {
      for (const dependent of this.#graph.dependentsOf(metadata.uid)) this.#enqueue(dependent);
      this.#wakeWaitingOwners(item, metadata.ownerReferences);
      return;
    }
    const hasNewOwners = metadata.ownerReferences !== undefined && !isSame(metadata.ownerReferences, old?.metadata.ownerReferences);
    const isDeleting = metadata.deletionTimestamp !== undefined && metadata.finalizers?.some((finalizer) => finalizer === FOREGROUND || finalizer === ORPHAN);
    if (hasNewOwners || isDeleting) this.#enqueue(item);
    if (old && !isSame(metadata.ownerReferences, old.metadata.ownerReferences)) this.#wakeWaitingOwners(item, old.metadata.ownerReferences);
  }

  /** An owner in foreground deletion is looked at again whenever it may have lost a dependent. */
  #wakeWaitingOwners(item: Item, references: readonly OwnerReference[] | undefined): void {
    for (const reference of references ?? []) {
      const owner = this.#graph.ownerOf(item, reference);
      if (owner && isDeletingDependents(owner.object)) this.#enqueue(owner);
    }
  }

  #enqueue(item: Item): void {
    this.#queue.add(idOfItem(item));
  }

  async #reconcile(id: string): Promise<void> {
    const item = this.#graph.get(id);
    if (!item) return;
    const { metadata } = item.object;
    if (metadata.deletionTimestamp) {
      if (metadata.finalizers?.includes(ORPHAN)) return this.#orphanDependents(item);
      if (isDeletingDependents(item.object)) return this.#awaitDependents(item);
      return;
    }
    const references = metadata.ownerReferences ?? [];
    if (references.every((reference) => this.#isSolidInCache(item, reference))) return;
    await this.#collect(item);
  }

  #isSolidInCache(item: Item, reference: OwnerReference): boolean {
    const owner = this.#graph.ownerOf(item, reference);
    return owner !== undefined && !isDeletingDependents(owner.object);
  }

  /** Asks the server about the item and its owners, then cuts dead references or deletes it. */
  async #collect(item: Item): Promise<void> {
    const latest = await this.#read(item);
    if (!latest) return;
    const references = latest.object.metadata.ownerReferences ?? [];
    if (references.length === 0) return;
    const classified = await this.#classify(latest, references);
    if (!classified) return;
    const { solid, dangling, waiting } = classified;
    if (solid.length > 0) {
      if (dangling.length + waiting.length > 0) await this.#dropReferences(latest, [...dangling, ...waiting].map(({ uid }) => uid));
      return;
    }
    const dependents = this.#graph.dependentsOf(latest.object.metadata.uid);
    if (waiting.length > 0 && dependents.length > 0) {
      // A dependent that is itself waiting for this item closes a circle; one of them has to stop blocking.
      if (dependents.some(({ object }) => isDeletingDependents(object))) await this.#unblockOwners(latest);
      return this.#delete(latest, "Foreground");
    }
    await this.#delete(latest, policyOf(latest.object));
  }

  async #classify(item: Item, references: readonly OwnerReference[]): Promise<Classified | undefined> {
    const classified = { solid: [] as OwnerReference[], dangling: [] as OwnerReference[], waiting: [] as OwnerReference[] };
    for (const reference of references) {
      const kind = this.#graph.kindOf(reference);
      if (!kind) {
        this.#unresolved.add(idOfItem(item));
        throw new Error(`${item.kind.kind} ${item.object.metadata.name} is owned by ${reference.kind}.${reference.apiVersion}, which is not served`);
      }
      const { namespace } = item.object.metadata;
      if (!namespace && kind.namespaced) {
        this.#recorder.event(item.object, "Warning", "OwnerRefInvalidNamespace", `ownerRef [${describe(reference)}] does not exist in namespace "${namespace ?? ""}"`);
        return undefined;
      }
      const owner = await this.#readOwner({ kind, name: reference.name, namespace: kind.namespaced ? namespace : undefined }, reference.uid);
      if (!owner) classified.dangling.push(reference);
      else if (isDeletingDependents(owner)) classified.waiting.push(reference);
      else classified.solid.push(reference);
    }
    return classified;
  }

  async #readOwner(where: { kind: Item["kind"]; name: string; namespace: string | undefined }, uid: string): Promise<Stored<KubeObject> | undefined> {
    const { kind, name, namespace } = where;
    const id = [uid, kind.group, kind.plural, namespace, name].join("|");
    if (this.#absent.get(id)) return undefined;
    const owner = await orAbsent(this.#client.get(kind, { name, namespace }));
    if (owner?.metadata.uid === uid) return owner;
    this.#absent.set(id, true);
    return undefined;
  }

  async #awaitDependents(item: Item): Promise<void> {
    const { uid } = item.object.metadata;
    const dependents = this.#graph.dependentsOf(uid);
    for (const dependent of dependents) if (!dependent.object.metadata.deletionTimestamp) this.#enqueue(dependent);
    const isBlocked = dependents.some(({ object }) => object.metadata.ownerReferences?.some((reference) => reference.uid === uid && reference.blockOwnerDeletion));
    if (!isBlocked) await this.#removeFinalizer(item, FOREGROUND);
  }

  async #orphanDependents(item: Item): Promise<void> {
    const { uid } = item.object.metadata;
    // Caches are heard of in no particular order: a dependent that is not known yet would be collected for the lack of this owner.
    const dependents = [...this.#graph.dependentsOf(uid), ...(await this.#graph.unheardDependentsOf(item))];
    await Promise.all(dependents.map((dependent) => this.#dropReferences(dependent, [uid])));
    await this.#removeFinalizer(item, ORPHAN);
  }

  async #delete({ kind, object }: Item, propagationPolicy: "Background" | "Foreground" | "Orphan"): Promise<void> {
    const { name, namespace, uid, resourceVersion } = object.metadata;
    await orAbsent(this.#client.delete(kind, { name, namespace }, { propagationPolicy, preconditions: { uid, resourceVersion } }));
  }

  #removeFinalizer(item: Item, finalizer: string): Promise<void> {
    return this.#edit(item, ({ metadata }) => (metadata.finalizers?.includes(finalizer) ? { finalizers: metadata.finalizers.filter((other) => other !== finalizer) } : undefined));
  }

  #dropReferences(item: Item, uids: readonly string[]): Promise<void> {
    return this.#edit(item, ({ metadata }) => {
      const kept = metadata.ownerReferences?.filter(({ uid }) => !uids.includes(uid));
      return kept?.length === metadata.ownerReferences?.length ? undefined : { ownerReferences: kept };
    });
  }

  #unblockOwners(item: Item): Promise<void> {
    return this.#edit(item, ({ metadata }) => ({ ownerReferences: metadata.ownerReferences?.map((reference) => ({ ...reference, blockOwnerDeletion: false })) }));
  }

  /** Patches metadata of the live object; the revision makes sure that nobody's change in between is lost. */
  async #edit(item: Item, change: (object: Stored<KubeObject>) => object | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const latest = await this.#read(item);
      const metadata = latest && change(latest.object);
      if (!latest || !metadata) return;
      const { name, namespace, resourceVersion } = latest.object.metadata;
      try {
        await orAbsent(this.#client.patch(item.kind, { name, namespace }, { metadata: { ...metadata, resourceVersion } }, { type: "merge" }));
        return;
      } catch (error) {
        if (!isConflict(error) || attempt >= MAX_CONFLICTS) throw error;
      }
    }
  }

  /** The item as the server has it; undefined when it is gone or another has its name. */
  async #read({ kind, object }: Item): Promise<Item | undefined> {
    const { name, namespace, uid } = object.metadata;
    const latest = await orAbsent(this.#client.get(kind, { name, namespace }));
    return latest?.metadata.uid === uid ? { kind, object: latest } : undefined;
  }
}

function isDeletingDependents({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(FOREGROUND) === true;
}

function policyOf({ metadata }: KubeObject): "Background" | "Foreground" | "Orphan" {
  if (metadata.finalizers?.includes(ORPHAN)) return "Orphan";
  return metadata.finalizers?.includes(FOREGROUND) ? "Foreground" : "Background";
}

function describe({ apiVersion, kind, name, uid }: OwnerReference): string {
  return `${apiVersion}/${kind}, namespace: , name: ${name}, uid: ${uid}`;
}

// Who controls whom: controller references, the index over them, and adopting or releasing by selector.
// Rules: k8s.io/kubernetes/pkg/controller/controller_ref_manager.go.
import type { Client } from "../../api/client/client.ts";
import type { Informer } from "../../api/client/informer.ts";
import { isNotFound } from "../../api/errors.ts";
import { apiVersionOf, type KindInfo } from "../../api/kinds.ts";
import type { LabelMatcher } from "../../api/selectors.ts";
import type { KubeObject, OwnerReference, Stored } from "../../api/types.ts";

/** The index that finds what one controller owns, by its UID; what nobody controls is under its namespace. */
export const CONTROLLER_INDEX = "controller";

const NO_REFERENCES: readonly OwnerReference[] = [];

/** The reference to the one owner that manages the object. */
export function controllerRefOf(object: KubeObject): OwnerReference | undefined {
  // Asked of every pod of every owner all the time: a closure per question would show.
  for (const reference of object.metadata.ownerReferences ?? NO_REFERENCES) if (reference.controller) return reference;
  return undefined;
}

export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return controllerRefOf(object)?.uid === owner.metadata.uid;
}

/** The reference a controller puts on what it makes. */
export function newControllerRef(kind: KindInfo, owner: Stored<KubeObject>): OwnerReference {
  const { name, uid } = owner.metadata;
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** Adds the controller index to an informer; safe to call by every controller that wants it. */
export function indexByController<T extends KubeObject>(informer: Informer<T>): void {
  informer.addIndex(CONTROLLER_INDEX, controllerIndex);
}

/** What the owner controls, and what nobody in its namespace controls. */
export function ownedAndOrphans<T extends KubeObject>(informer: Informer<T>, owner: Stored<KubeObject>): Stored<T>[] {
  return [...ownedBy(informer, owner.metadata.uid), ...informer.lister.byIndex(CONTROLLER_INDEX, orphansOf(owner.metadata.namespace))];
}

export function ownedBy<T extends KubeObject>(informer: Informer<T>, uid: string): readonly Stored<T>[] {
  return informer.lister.byIndex(CONTROLLER_INDEX, uid);
}

/** Finds the live owner a controller reference means, of this kind; a namesake with another UID is not it. */
export function resolveController<T extends KubeObject>(informer: Informer<T>, object: KubeObject): Stored<T> | undefined {
  const reference = controllerRefOf(object);
  if (!reference || reference.kind !== informer.kind.kind || !reference.apiVersion.startsWith(groupPrefix(informer.kind))) return undefined;
  const { namespace } = object.metadata;
  const owner = informer.lister.get(namespace && informer.kind.namespaced ? `${namespace}/${reference.name}` : reference.name);
  return owner?.metadata.uid === reference.uid ? owner : undefined;
}

/** What `claim` works on: one owner and its selector. */
export interface Claim<T extends KubeObject> {
  readonly client: Client;
  readonly owner: Stored<KubeObject>;
  readonly ownerKind: KindInfo;
  readonly kind: KindInfo;
  readonly matcher: LabelMatcher;
  readonly candidates: readonly Stored<T>[];
  /** Put on what is adopted and taken off what is released. */
  readonly finalizer?: string;
}

/** The candidates the owner controls, after adopting matching orphans and releasing what no longer matches. */
export async function claim<T extends KubeObject>(options: Claim<T>): Promise<Stored<T>[]> {
  const claimed: Stored<T>[] = [];
  const canAdopt = recheck(options);
  for (const object of options.candidates) {
    const action = claimAction(options, object);
    if (action === "keep") claimed.push(object);
    else if (action === "release") await release(options, object);
    else if (action === "adopt" && (await canAdopt())) {
      const adopted = await adopt(options, object);
      if (adopted) claimed.push(adopted);
    }
  }
  return claimed;
}

function claimAction<T extends KubeObject>({ owner, matcher }: Claim<T>, object: Stored<T>): "keep" | "release" | "adopt" | "ignore" {
  const reference = controllerRefOf(object);
  const matches = matcher.matches(object.metadata.labels);
  const isOwnerGoing = owner.metadata.deletionTimestamp !== undefined;
  if (reference) {
    if (reference.uid !== owner.metadata.uid) return "ignore";
    if (matches) return "keep";
    return isOwnerGoing ? "ignore" : "release";
  }
  const isAdoptable = matches && !isOwnerGoing && !object.metadata.deletionTimestamp && object.metadata.namespace === owner.metadata.namespace;
  return isAdoptable ? "adopt" : "ignore";
}

/** Before the first adoption the owner is read afresh: the cache may not know yet that it is being deleted. */
function recheck<T extends KubeObject>({ client, owner, ownerKind }: Claim<T>): () => Promise<boolean> {
  let verdict: Promise<boolean> | undefined;
  const ask = async (): Promise<boolean> => {
    const fresh = await client.get(ownerKind, { name: owner.metadata.name, namespace: owner.metadata.namespace });
    return fresh.metadata.uid === owner.metadata.uid && fresh.metadata.deletionTimestamp === undefined;
  };
  return () => (verdict ??= ask());
}

async function adopt<T extends KubeObject>({ client, kind, owner, ownerKind, finalizer }: Claim<T>, object: Stored<T>): Promise<Stored<T> | undefined> {
  const ownerReferences = withReference(object.metadata.ownerReferences ?? [], newControllerRef(ownerKind, owner));
  const finalizers = finalizer === undefined ? undefined : [...new Set([...(object.metadata.finalizers ?? []), finalizer])];
  return patchMetadata({ client, kind, object, change: { ownerReferences, ...(finalizers && { finalizers }) } });
}

/** Whoever names the owner already, without being controlled by it, names it once all the same. */
function withReference(references: readonly OwnerReference[], added: OwnerReference): OwnerReference[] {
  if (!references.some(({ uid }) => uid === added.uid)) return [...references, added];
  return references.map((reference) => (reference.uid === added.uid ? { ...reference, ...added } : reference));
}

async function release<T extends KubeObject>({ client, kind, owner, finalizer }: Claim<T>, object: Stored<T>): Promise<void> {
  const ownerReferences = (object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== owner.metadata.uid);
  const finalizers = finalizer === undefined ? undefined : object.metadata.finalizers?.filter((other) => other !== finalizer);
  await patchMetadata({ client, kind, object, change: { ownerReferences, ...(finalizers && { finalizers }) } });
}

/** Carries UID and revision, so that neither a namesake nor a newer state is patched; undefined when it is gone. */
async function patchMetadata<T extends KubeObject>(options: { client: Client; kind: KindInfo; object: Stored<T>; change: object }): Promise<Stored<T> | undefined> {
  const { client, kind, object, change } = options;
  const { name, namespace, uid, resourceVersion } = object.metadata;
  try {
    return await client.patch<T>(kind, { name, namespace }, { metadata: { uid, resourceVersion, ...change } }, { type: "merge" });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function controllerIndex(object: KubeObject): readonly string[] {
  return [controllerRefOf(object)?.uid ?? orphansOf(object.metadata.namespace)];
}

function orphansOf(namespace: string | undefined): string {
  return `orphans/${namespace ?? ""}`;
}

function groupPrefix(kind: KindInfo): string {
  return kind.group === "" ? kind.version : `${kind.group}/`;
}

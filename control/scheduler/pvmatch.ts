// Which PersistentVolume suits a claim on a node: the one bound to it already, or else the smallest that is enough.
// Rules: k8s.io/component-helpers/storage/volume FindMatchingVolume; pure.
import { compareQuantities, parseQuantity, ZERO, type Quantity } from "../../api/quantity.ts";
import type { PersistentVolume, PersistentVolumeClaim, Stored } from "../../api/types.ts";
import { compileNodeSelector, type NodePredicate, type SelectableNode } from "./nodeaffinity.ts";
import { compileSelector } from "./podinfo.ts";

type Claim = Stored<PersistentVolumeClaim>;
type PV = Stored<PersistentVolume>;

const BETA_CLASS = "volume.beta.kubernetes.io/storage-class";

/** The storage class of a claim or volume; empty for none. */
export function classOf(object: Claim | PV): string {
  return object.metadata.annotations?.[BETA_CLASS] ?? object.spec?.storageClassName ?? "";
}

/** What a claim asks for. */
export function requestedStorage(claim: Claim): Quantity {
  return quantityOf(claim.spec?.resources?.requests?.["storage"]);
}

/** True when the volume can be reached from the node. */
export function isReachable(volume: PV, node: SelectableNode): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  if (!required) return true;
  let predicate = predicates.get(volume);
  if (!predicate) predicates.set(volume, (predicate = compileNodeSelector(required)));
  return predicate(node);
}

/** True when the volume says it is this claim's. */
export function isBoundTo({ spec }: PV, { metadata }: Claim): boolean {
  const ref = spec?.claimRef;
  return ref !== undefined && ref.name === metadata.name && ref.namespace === metadata.namespace && (!ref.uid || ref.uid === metadata.uid);
}

/** The volume for a claim on a node, undefined when there is none; `taken` are spoken for. */
export function matchingVolume(claim: Claim, volumes: readonly PV[], node: SelectableNode, taken: ReadonlySet<string>): PV | undefined {
  const wanted = requestedStorage(claim);
  const selector = claim.spec?.selector ? compileSelector(claim.spec.selector) : undefined;
  let smallest: PV | undefined;
  for (const volume of volumes) {
    if (taken.has(volume.metadata.name) || volume.metadata.deletionTimestamp !== undefined) continue;
    if (volume.spec?.claimRef && !isBoundTo(volume, claim)) continue;
    if (compareQuantities(capacityOf(volume), wanted) < 0 || !isOfKind(volume, claim)) continue;
    const isHere = isReachable(volume, node);
    // A volume made for this claim settles the matter, even where it cannot be reached.
    if (isBoundTo(volume, claim)) return isHere ? volume : undefined;
    if (!isHere || volume.status?.phase !== "Available" || classOf(volume) !== classOf(claim)) continue;
    if ((selector && !selector.matches(volume.metadata.labels ?? {})) || !allows(volume, claim)) continue;
    if (!smallest || compareQuantities(capacityOf(volume), capacityOf(smallest)) < 0) smallest = volume;
  }
  return smallest;
}

const predicates = new WeakMap<PV, NodePredicate>();

function isOfKind(volume: PV, claim: Claim): boolean {
  return (volume.spec?.volumeMode ?? "Filesystem") === (claim.spec?.volumeMode ?? "Filesystem")
    && (volume.spec?.volumeAttributesClassName ?? "") === (claim.spec?.volumeAttributesClassName ?? "");
}

function allows(volume: PV, claim: Claim): boolean {
  return (claim.spec?.accessModes ?? []).every((mode) => volume.spec?.accessModes?.includes(mode));
}

function capacityOf(volume: PV): Quantity {
  return quantityOf(volume.spec?.capacity?.["storage"]);
}

function quantityOf(text: string | undefined): Quantity {
  return text === undefined ? ZERO : parseQuantity(text);
}

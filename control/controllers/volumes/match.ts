// Which volume suits a claim. Pure.
// Rules: k8s.io/component-helpers/storage/volume, k8s.io/kubernetes/pkg/controller/volume/persistentvolume.
import { compareQuantities, parseQuantity } from "../../../api/quantity.ts";
import { EVERYTHING, matcherOf } from "../../../api/selectors.ts";
import type { PersistentVolume, PersistentVolumeClaim, Stored } from "../../../api/types.ts";

export const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
export const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
export const PROVISIONED_BY = "pv.kubernetes.io/provisioned-by";
export const SELECTED_NODE = "volume.kubernetes.io/selected-node";
const BETA_CLASS = "volume.beta.kubernetes.io/storage-class";

/** The name of the class asked for; the empty string for none, undefined when nothing is said. */
export function classOf(object: PersistentVolumeClaim | PersistentVolume): string | undefined {
  return object.metadata.annotations?.[BETA_CLASS] ?? object.spec?.storageClassName;
}

/** Whether the volume is (or is meant to be) this claim's. */
export function isReservedFor(volume: PersistentVolume, claim: Stored<PersistentVolumeClaim>): boolean {
  const reference = volume.spec?.claimRef;
  if (!reference || reference.name !== claim.metadata.name || reference.namespace !== claim.metadata.namespace) return false;
  return !reference.uid || reference.uid === claim.metadata.uid;
}

/** Why a volume the claim asks for by name cannot be its; undefined when it can. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  if (!isLargeEnough(volume, claim)) return "requested PV is too small";
  if ((classOf(volume) ?? "") !== (classOf(claim) ?? "")) return "storageClassName does not match";
  if (modeOf(volume) !== modeOf(claim)) return "incompatible volumeMode";
  return hasModes(volume, claim) ? undefined : "incompatible accessMode";
}

/** The best volume for a claim that names none: one reserved for it, else the smallest that suits; undefined when there is none. */
export function bestMatch(claim: Stored<PersistentVolumeClaim>, volumes: readonly Stored<PersistentVolume>[], onlyReserved: boolean): Stored<PersistentVolume> | undefined {
  const suitable = volumes.filter((volume) => hasModes(volume, claim) && modeOf(volume) === modeOf(claim) && !volume.metadata.deletionTimestamp && isLargeEnough(volume, claim));
  const reserved = suitable.find((volume) => isReservedFor(volume, claim));
  if (reserved || onlyReserved) return reserved;
  const matcher = claim.spec?.selector ? matcherOf(claim.spec.selector) : EVERYTHING;
  const free = suitable.filter((volume) => !volume.spec?.claimRef && volume.status?.phase === "Available" && (classOf(volume) ?? "") === (classOf(claim) ?? "") && matcher.matches(volume.metadata.labels));
  return free.sort((a, b) => (a.spec?.accessModes?.length ?? 0) - (b.spec?.accessModes?.length ?? 0) || compareQuantities(capacity(a), capacity(b)))[0];
}

function hasModes(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return (claim.spec?.accessModes ?? []).every((mode) => volume.spec?.accessModes?.includes(mode));
}

function isLargeEnough(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return compareQuantities(capacity(volume), parseQuantity(claim.spec?.resources?.requests?.["storage"] ?? "0")) >= 0;
}

function capacity(volume: PersistentVolume): ReturnType<typeof parseQuantity> {
  return parseQuantity(volume.spec?.capacity?.["storage"] ?? "0");
}

function modeOf(object: PersistentVolume | PersistentVolumeClaim): string {
  return object.spec?.volumeMode ?? "Filesystem";
}

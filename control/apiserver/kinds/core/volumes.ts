// Persistent volumes and the claims on them.
import { field, type FieldError } from "../../../../api/errors.ts";
import { compareQuantities, parseQuantity } from "../../../../api/quantity.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { checkNodeSelector } from "../pod/validate/scheduling.ts";
import { ageColumn, nameColumn, printer, text, wide } from "../print/columns.ts";
import { formatAccessModes } from "../print/format.ts";
import { describeDifference } from "../validation/diff.ts";
import { check, dnsSubdomain } from "../validation/names.ts";
import { checkImmutable, checkOptionalOneOf, isEqual } from "../validation/values.ts";
import { checkAccessModes, checkClaimSpec, VOLUME_MODES, type ClaimSpec } from "./claim-spec.ts";
import { quantityOrError } from "./resources.ts";

const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";
const RECLAIM = ["Delete", "Recycle", "Retain"];
/** The fields of a volume's spec that are not where its data is. */
const NOT_A_SOURCE = new Set(["capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode", "nodeAffinity", "volumeAttributesClassName"]);

export const persistentVolumeStrategy = define<PersistentVolume>({
  group: "", kind: "PersistentVolume",
  applyDefaults(volume) {
    if (!volume.status?.phase) volume.status = { ...volume.status, phase: "Pending" };
  },
  prepareForCreate(volume, { now }) {
    volume.status = { phase: "Pending", lastPhaseTransitionTime: now };
  },
  validate: volumeErrors,
  validateUpdate: volumeUpdateErrors,
  subresources: {
    status: {
      prepareForUpdate(volume, old, { now }) {
        if (volume.status && volume.status.phase !== old.status?.phase && volume.status.lastPhaseTransitionTime === old.status?.lastPhaseTransitionTime) volume.status.lastPhaseTransitionTime = now;
      },
    },
  },
  hasGeneration: false,
  selectableFields: ({ metadata }) => ({ name: metadata.name ?? "" }),
  printer: printer(
    nameColumn(),
    text("Capacity", ({ spec }) => spec?.capacity?.["storage"] ?? "0", "How much it holds."),
    text("Access Modes", ({ spec }) => formatAccessModes(spec?.accessModes), "How it can be mounted."),
    text("Reclaim Policy", ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? "", "What happens when its claim is gone."),
    text("Status", ({ metadata, status }) => (metadata.deletionTimestamp ? "Terminating" : (status?.phase ?? "")), "Its phase."),
    text("Claim", ({ spec }) => (spec?.claimRef ? `${spec.claimRef.namespace ?? ""}/${spec.claimRef.name ?? ""}` : ""), "The claim it is bound to."),
    text("StorageClass", ({ metadata, spec }) => metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? "", "StorageClass of the pv"),
    text("VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>", "VolumeAttributesClass of the pv"),
    text("Reason", ({ status }) => status?.reason ?? "", "Why it is in its phase."),
    ageColumn(),
    wide(text("VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", "Whether it is a filesystem or a block device.")),
  ),
});

export const persistentVolumeClaimStrategy = define<PersistentVolumeClaim>({
  group: "", kind: "PersistentVolumeClaim",
  applyDefaults({ spec }) {
    if (!spec) return;
    mirrorDataSource(spec);
    spec.volumeMode ??= "Filesystem";
  },
  prepareForCreate(claim) {
    claim.status = { phase: "Pending" };
  },
  validate({ spec }) {
    const errors: FieldError[] = [];
    checkClaimSpec(errors, "spec", spec);
    return errors;
  },
  validateUpdate: claimUpdateErrors,
  subresources: { status: {} },
  hasGeneration: false,
  selectableFields: ({ metadata }) => ({ name: metadata.name ?? "" }),
  printer: printer(
    nameColumn(),
    text("Status", ({ metadata, status }) => (metadata.deletionTimestamp ? "Terminating" : (status?.phase ?? "")), "Its phase."),
    text("Volume", ({ spec }) => spec?.volumeName ?? "", "The volume it is bound to."),
    text("Capacity", ({ spec, status }) => (spec?.volumeName ? (status?.capacity?.["storage"] ?? "0") : ""), "How much the volume holds."),
    text("Access Modes", ({ spec, status }) => (spec?.volumeName ? formatAccessModes(status?.accessModes) : ""), "How the volume can be mounted."),
    text("StorageClass", ({ metadata, spec }) => metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? "", "StorageClass of the pvc"),
    text("VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>", "VolumeAttributesClass of the pvc"),
    ageColumn(),
    wide(text("VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", "Whether it is a filesystem or a block device.")),
  ),
});

/** The two spellings of a data source say the same thing. */
function mirrorDataSource(spec: ClaimSpec): void {
  if (spec.dataSourceRef?.namespace) return;
  if (spec.dataSource && !spec.dataSourceRef) spec.dataSourceRef = { ...spec.dataSource };
  else if (spec.dataSourceRef && !spec.dataSource) {
    const { apiGroup, kind, name } = spec.dataSourceRef;
    const isKnown = (kind === "PersistentVolumeClaim" && !apiGroup) || (kind === "VolumeSnapshot" && apiGroup === "snapshot.storage.k8s.io");
    if (isKnown) spec.dataSource = { kind, name, ...(apiGroup !== undefined && { apiGroup }) };
  }
}

function sourceOf(spec: PersistentVolume["spec"]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(spec ?? {}).filter(([name, value]) => !NOT_A_SOURCE.has(name) && value !== undefined));
}

function volumeErrors({ spec = {} }: PersistentVolume): FieldError[] {
  const errors: FieldError[] = [];
  const { accessModes = [], capacity, persistentVolumeReclaimPolicy, volumeMode, storageClassName, nodeAffinity, hostPath } = spec;
  if (accessModes.length === 0) errors.push(field.required("spec.accessModes"));
  checkAccessModes(errors, "spec.accessModes", accessModes);
  const size = capacity?.["storage"];
  if (!capacity || Object.keys(capacity).length === 0) errors.push(field.required("spec.capacity"));
  else if (size === undefined || Object.keys(capacity).length > 1) errors.push(field.notSupported("spec.capacity", capacity, ["storage"]));
  else if ((quantityOrError(errors, "spec.capacity[storage]", size)?.nano ?? 1n) <= 0n) errors.push(field.invalid("spec.capacity[storage]", size, "must be greater than zero"));
  checkOptionalOneOf(errors, "spec.persistentVolumeReclaimPolicy", persistentVolumeReclaimPolicy, RECLAIM);
  const sources = Object.keys(sourceOf(spec));
  if (sources.length === 0) errors.push(field.required("spec", "must specify a volume type"));
  for (const name of sources.slice(1)) errors.push(field.forbidden(`spec.${name}`, "may not specify more than 1 volume type"));
  if (hostPath && !hostPath.path) errors.push(field.required("spec.hostPath.path"));
  if (hostPath?.path === "/" && persistentVolumeReclaimPolicy === "Recycle") errors.push(field.forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"));
  if (storageClassName) check(errors, "spec.storageClassName", storageClassName, dnsSubdomain);
  checkOptionalOneOf(errors, "spec.volumeMode", volumeMode, VOLUME_MODES);
  if (nodeAffinity) {
    if (nodeAffinity.required) checkNodeSelector(errors, "spec.nodeAffinity.required", nodeAffinity.required);
    else errors.push(field.required("spec.nodeAffinity.required", "must specify required node constraints"));
  }
  if (spec.local && !nodeAffinity) errors.push(field.required("spec.nodeAffinity", "Local volume requires node affinity"));
  return errors;
}

function volumeUpdateErrors({ spec }: PersistentVolume, { spec: old }: PersistentVolume): FieldError[] {
  const errors: FieldError[] = [];
  const [before, after] = [sourceOf(old), sourceOf(spec)];
  if (!isEqual(before, after)) errors.push(field.forbidden("spec.persistentvolumesource", `spec.persistentvolumesource is immutable after creation\n${describeDifference(before, after)}`));
  checkImmutable(errors, "volumeMode", spec?.volumeMode, old?.volumeMode);
  if (old?.nodeAffinity && !isEqual(spec?.nodeAffinity, old.nodeAffinity)) errors.push(field.invalid("nodeAffinity", spec?.nodeAffinity, "field is immutable"));
  return errors;
}

function claimUpdateErrors(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const errors: FieldError[] = [];
  const spec = claim.spec ?? {};
  const before = old.spec ?? {};
  const isBound = old.status?.phase === "Bound";
  const frozen: ClaimSpec = { ...spec };
  if (!before.volumeName) frozen.volumeName = before.volumeName;
  if (before.storageClassName === undefined && spec.storageClassName !== undefined) frozen.storageClassName = undefined;
  if (isBound) {
    frozen.volumeAttributesClassName = before.volumeAttributesClassName;
    frozen.resources = { ...spec.resources, requests: { ...spec.resources?.requests, ...(before.resources?.requests?.["storage"] && { storage: before.resources.requests["storage"] }) } };
  }
  if (!isEqual(frozen, before)) errors.push(field.forbidden("spec", `spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n${describeDifference(before, frozen)}`));
  const [size, oldSize] = [spec.resources?.requests?.["storage"] ?? "0", before.resources?.requests?.["storage"] ?? "0"];
  const held = old.status?.capacity?.["storage"] ?? "0";
  if (isLess(size, oldSize) && !isLess(held, size)) errors.push(field.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
  checkImmutable(errors, "volumeMode", spec.volumeMode, before.volumeMode);
  return errors;
}

function isLess(a: string, b: string): boolean {
  return compareQuantities(parseQuantity(a), parseQuantity(b)) < 0;
}

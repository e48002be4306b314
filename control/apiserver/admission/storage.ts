// DefaultStorageClass, StorageObjectInUseProtection, PersistentVolumeClaimResize: what volumes and claims get and may.
import type { Client } from "../../../api/client/client.ts";
import { isNotFound } from "../../../api/errors.ts";
import { compareQuantities, parseQuantity } from "../../../api/quantity.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { KubeObject, PersistentVolumeClaim, StorageClass, Stored } from "../../../api/types.ts";
import { isOn, refuse } from "./attributes.ts";
import type { AdmissionPlugin } from "./plugin.ts";

const STORAGE_CLASS = builtinKind("storage.k8s.io", "v1", "StorageClass");
const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_ANNOTATIONS = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const PROTECTION: Readonly<Record<string, string>> = { persistentvolumes: "kubernetes.io/pv-protection", persistentvolumeclaims: "kubernetes.io/pvc-protection" };

/** A claim that names no class gets the default one, where there is one. */
export function defaultStorageClass(): AdmissionPlugin {
  return {
    name: "DefaultStorageClass",
    concerns: (door) => isOn(door, "persistentvolumeclaims", ["CREATE"]),
    async admit({ object }, client) {
      const { metadata, spec } = object as PersistentVolumeClaim;
      if (!spec || spec.storageClassName !== undefined || metadata.annotations?.[CLASS_ANNOTATION] !== undefined) return;
      const { items } = await client.list<StorageClass>(STORAGE_CLASS);
      const name = newest(items.filter(({ metadata: { annotations } }) => DEFAULT_ANNOTATIONS.some((key) => annotations?.[key] === "true")));
      if (name !== undefined) spec.storageClassName = name;
    },
  };
}

/** Of several defaults the newest counts, and of those the first by name. */
export function newest(objects: readonly Stored<KubeObject>[]): string | undefined {
  return [...objects].sort(newestFirst)[0]?.metadata.name;
}

function newestFirst({ metadata: a }: Stored<KubeObject>, { metadata: b }: Stored<KubeObject>): number {
  if (a.creationTimestamp !== b.creationTimestamp) return a.creationTimestamp > b.creationTimestamp ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

/** Volumes and claims stay until nobody uses them. */
export function storageObjectInUseProtection(): AdmissionPlugin {
  return {
    name: "StorageObjectInUseProtection",
    concerns: (door) => isOn(door, "persistentvolumes", ["CREATE"]) || isOn(door, "persistentvolumeclaims", ["CREATE"]),
    admit: ({ kind, object }) => {
      const { metadata } = object as KubeObject;
      const finalizer = PROTECTION[kind.plural] as string;
      if (!metadata.finalizers?.includes(finalizer)) metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
    },
  };
}

/** Only claims whose class allows it grow, and only once they are bound. */
export function persistentVolumeClaimResize(): AdmissionPlugin {
  return {
    name: "PersistentVolumeClaimResize",
    concerns: (door) => isOn(door, "persistentvolumeclaims", ["UPDATE"]),
    async validate(attributes, client) {
      const [claim, old] = [attributes.object as PersistentVolumeClaim, attributes.oldObject as PersistentVolumeClaim];
      const size = parseQuantity(claim.spec?.resources?.requests?.["storage"] ?? "0");
      if (compareQuantities(size, parseQuantity(old.spec?.resources?.requests?.["storage"] ?? "0")) <= 0) return;
      if (old.status?.phase !== "Bound") throw refuse(attributes, "Only bound persistent volume claims can be expanded");
      if (classOf(claim) !== classOf(old) || !(await allowsExpansion(client, classOf(claim)))) throw refuse(attributes, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
    },
  };
}

function classOf({ metadata, spec }: PersistentVolumeClaim): string {
  return metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? "";
}

async function allowsExpansion(client: Client, name: string): Promise<boolean> {
  if (name === "") return false;
  try {
    return (await client.get<StorageClass>(STORAGE_CLASS, { name })).allowVolumeExpansion ?? false;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

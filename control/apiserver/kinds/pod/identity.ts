// Metadata that doors other than the main one may not change.
import type { KubeObject } from "../../../../api/types.ts";

const FIELDS = ["ownerReferences", "labels", "annotations", "finalizers"] as const;

/** Puts back labels, annotations, finalizers and owners (or only the fields named). */
export function keepIdentity(object: KubeObject, old: KubeObject, fields: readonly (typeof FIELDS)[number][] = FIELDS): void {
  for (const name of fields) {
    if (old.metadata[name] === undefined) delete object.metadata[name];
    else Object.assign(object.metadata, { [name]: old.metadata[name] });
  }
}

// The rules every object's metadata follows, whatever its kind: what the server fills in and what it checks.
// Wording: k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
import { field, type FieldError } from "../../api/errors.ts";
import { labelKeyErrors, labelValueErrors } from "../../api/labels.ts";
import type { AnyObject, ObjectMeta, OwnerReference } from "../../api/types.ts";
import { equalJson } from "./json.ts";
import { dnsLabel, dnsSubdomain, forPrefix, pathSegment } from "./kinds/validation/names.ts";

const validObjectName = forPrefix(dnsSubdomain);
const MAX_ANNOTATION_BYTES = 256 * 1024;
const IMMUTABLE = "field is immutable";
const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";

export interface MetadataRules {
  readonly namespaced: boolean;
  readonly validateName?: ((name: string, isPrefix: boolean) => readonly string[]) | undefined;
}

/** Everything wrong with an object's metadata. */
export function validateMetadata({ metadata }: AnyObject, rules: MetadataRules): FieldError[] {
  return [...nameErrors(metadata, rules), ...namespaceErrors(metadata, rules), ...commonErrors(metadata)];
}

/** Everything an update may not do to metadata. */
export function validateMetadataUpdate({ metadata: next }: AnyObject, { metadata: old }: AnyObject): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp) {
    const extra = (next.finalizers ?? []).filter((name) => !old.finalizers?.includes(name)).sort();
    if (extra.length > 0) errors.push(field.forbidden("metadata.finalizers", `no new finalizers can be added if the object is being deleted, found new finalizers []string{${extra.map((name) => JSON.stringify(name)).join(", ")}}`));
  }
  for (const name of ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] as const) {
    if (next[name] !== old[name]) errors.push(field.invalid(`metadata.${name}`, next[name], IMMUTABLE));
  }
  return errors;
}

function nameErrors(metadata: ObjectMeta, { validateName = validObjectName }: MetadataRules): FieldError[] {
  const { name = "", generateName = "" } = metadata;
  const errors: FieldError[] = [];
  if (generateName !== "") for (const sentence of validateName(generateName, true)) errors.push(field.invalid("metadata.generateName", generateName, sentence));
  if (name === "") return [...errors, field.required("metadata.name", "name or generateName is required")];
  const sentences = validateName(name, false);
  for (const sentence of sentences.length > 0 ? sentences : pathSegment(name)) errors.push(field.invalid("metadata.name", name, sentence));
  return errors;
}

function namespaceErrors({ namespace = "" }: ObjectMeta, { namespaced }: MetadataRules): FieldError[] {
  if (!namespaced) return namespace === "" ? [] : [field.forbidden("metadata.namespace", "not allowed on this type")];
  if (namespace === "") return [field.required("metadata.namespace")];
  return dnsLabel(namespace).map((sentence) => field.invalid("metadata.namespace", namespace, sentence));
}

function commonErrors(metadata: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.labels) errors.push(...labelErrors(metadata.labels));
  if (metadata.annotations) errors.push(...annotationErrors(metadata.annotations));
  if (metadata.ownerReferences) errors.push(...ownerErrors(metadata.ownerReferences));
  if (metadata.finalizers) errors.push(...finalizerErrors(metadata.finalizers));
  return errors;
}

function labelErrors(labels: Record<string, string>): FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...labelKeyErrors(key).map((sentence) => field.invalid("metadata.labels", key, sentence)),
    ...labelValueErrors(value).map((sentence) => field.invalid("metadata.labels", value, sentence)),
  ]);
}

function annotationErrors(annotations: Record<string, string>): FieldError[] {
  let size = 0;
  const errors = Object.entries(annotations).flatMap(([key, value]) => {
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
    return labelKeyErrors(key.toLowerCase()).map((sentence) => field.invalid("metadata.annotations", key, sentence));
  });
  return size > MAX_ANNOTATION_BYTES ? [...errors, field.tooLong("metadata.annotations", MAX_ANNOTATION_BYTES)] : errors;
}

function ownerErrors(owners: readonly OwnerReference[]): FieldError[] {
  const errors = owners.flatMap((owner) => ownerReferenceErrors(owner));
  const [first, second] = owners.filter((owner) => owner.controller);
  if (first && second) {
    const names = `${first.kind}/${first.name} and ${second.kind}/${second.name}`;
    errors.push(field.invalid("metadata.ownerReferences", owners, `Only one reference can have Controller set to true. Found "true" in references for ${names}`));
  }
  return errors;
}

function ownerReferenceErrors(owner: OwnerReference): FieldError[] {
  const errors: FieldError[] = [];
  const path = "metadata.ownerReferences";
  if (!owner.apiVersion || owner.apiVersion.endsWith("/")) errors.push(field.invalid(`${path}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
  for (const name of ["kind", "name", "uid"] as const) if (!owner[name]) errors.push(field.invalid(`${path}.${name}`, owner[name] ?? "", "must not be empty"));
  if (owner.apiVersion === "v1" && owner.kind === "Event") errors.push(field.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
  return errors;
}

function finalizerErrors(finalizers: readonly string[]): FieldError[] {
  const path = "metadata.finalizers";
  const errors = finalizers.flatMap((name) => labelKeyErrors(name).map((sentence) => field.invalid(path, name, sentence)));
  const isBoth = finalizers.includes(ORPHAN) && finalizers.includes(FOREGROUND);
  return isBoth ? [...errors, field.invalid(path, finalizers, `finalizer ${ORPHAN} and ${FOREGROUND} cannot be both set`)] : errors;
}

/** Whether two objects differ in more than the times at which managers last wrote. */
export function isSameBut(object: AnyObject, old: AnyObject, ignored: readonly string[]): boolean {
  const keys = new Set([...Object.keys(object), ...Object.keys(old)]);
  for (const key of keys) if (!ignored.includes(key) && !equalJson(object[key], old[key])) return false;
  return true;
}

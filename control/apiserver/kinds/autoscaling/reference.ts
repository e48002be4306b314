// References to objects in whatever version somebody likes, as autoscalers make them.
import { field, type FieldError } from "../../../../api/errors.ts";
import { check, pathSegment } from "../validation/names.ts";

export interface VersionedReference {
  readonly apiVersion?: string | undefined;
  readonly kind: string;
  readonly name: string;
}

/** Kind and name, and a version with a group unless the core group will do. */
export function checkReference(errors: FieldError[], path: string, reference: VersionedReference | undefined, { allowCoreGroup }: { readonly allowCoreGroup: boolean }): void {
  const { apiVersion = "" } = reference ?? {};
  for (const name of ["kind", "name"] as const) {
    const value = reference?.[name];
    if (value) check(errors, `${path}.${name}`, value, pathSegment);
    else errors.push(field.required(`${path}.${name}`));
  }
  const slashes = apiVersion.split("/").length - 1;
  if (slashes > 1) errors.push(field.invalid(`${path}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  else if (!allowCoreGroup && (slashes === 0 || apiVersion.startsWith("/"))) errors.push(field.invalid(`${path}.apiVersion`, apiVersion, "apiVersion must specify API group"));
}

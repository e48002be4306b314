// What OpenAPI says of a custom resource: its schema, without what the documents' readers do not know.
import type { Crd, CrdVersion } from "./schema.ts";

/** The schema of one version as it is published. */
export function publishedSchema(_crd: Crd, version: CrdVersion): Readonly<Record<string, unknown>> {
  return (version.schema?.openAPIV3Schema ?? { "x-kubernetes-preserve-unknown-fields": true }) as Readonly<Record<string, unknown>>;
}

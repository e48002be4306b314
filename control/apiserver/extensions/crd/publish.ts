// What OpenAPI is told of a custom resource: its schema, unless it has none to speak of.
import type { Crd, CrdVersion } from "./schema.ts";

/** The schema of one version as it is published; undefined when anything goes. */
export function publishedSchema({ spec }: Crd, version: CrdVersion): Readonly<Record<string, unknown>> | undefined {
  return spec.preserveUnknownFields ? undefined : (version.schema?.openAPIV3Schema as Readonly<Record<string, unknown>> | undefined);
}

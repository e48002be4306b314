// Rules for a template of pods.
import { field, type FieldError } from "../../../../../api/errors.ts";
import { labelKeyErrors } from "../../../../../api/labels.ts";
import type { PodTemplateSpec } from "../../../../../api/types.ts";
import { checkLabels } from "../../validation/labels.ts";
import { checkPodSpec } from "./spec.ts";

/** Everything wrong with a template. */
export function checkPodTemplate(errors: FieldError[], path: string, { metadata, spec }: PodTemplateSpec): void {
  if (metadata?.labels) checkLabels(errors, `${path}.labels`, metadata.labels);
  for (const key in metadata?.annotations) for (const sentence of labelKeyErrors(key.toLowerCase())) errors.push(field.invalid(`${path}.annotations`, key, sentence));
  checkPodSpec(errors, `${path}.spec`, spec ?? { containers: [] });
  if (spec?.ephemeralContainers?.length) errors.push(field.forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template"));
}

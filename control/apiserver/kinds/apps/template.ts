// What every workload demands of its template: labels its selector finds, pods that restart, no deadline.
import { field, type FieldError } from "../../../../api/errors.ts";
import { matcherOf, SelectorError } from "../../../../api/selectors.ts";
import type { LabelSelector, PodTemplateSpec } from "../../../../api/types.ts";
import { checkPodTemplate } from "../pod/validate/template.ts";
import { checkSelector, isEmptySelector } from "../validation/labels.ts";

export interface WorkloadTemplate {
  readonly selector: LabelSelector | undefined;
  readonly template: PodTemplateSpec;
  /** The kind as messages name it. */
  readonly kind: string;
  /** The word in `empty selector is invalid for ...`. */
  readonly word: string;
}

/** Selector and template, separately and together. */
export function checkWorkload(errors: FieldError[], { selector, template, kind, word }: WorkloadTemplate): void {
  if (!selector) errors.push(field.required("spec.selector"));
  else {
    checkSelector(errors, "spec.selector", selector);
    if (isEmptySelector(selector)) errors.push(field.invalid("spec.selector", selector, `empty selector is invalid for ${word}`));
  }
  const labels = template.metadata?.labels;
  if (selector && !isEmptySelector(selector) && !selects(selector, labels)) errors.push(field.invalid("spec.template.metadata.labels", labels ?? {}, "`selector` does not match template `labels`"));
  checkPodTemplate(errors, "spec.template", template);
  checkAlwaysRestarts(errors, template, kind);
}

/** Pods of a workload restart always, and have no deadline. */
export function checkAlwaysRestarts(errors: FieldError[], { spec }: PodTemplateSpec, kind: string): void {
  if (spec?.restartPolicy !== "Always") errors.push(field.notSupported("spec.template.spec.restartPolicy", spec?.restartPolicy ?? "", ["Always"]));
  if (spec?.activeDeadlineSeconds !== undefined) errors.push(field.forbidden("spec.template.spec.activeDeadlineSeconds", `activeDeadlineSeconds in ${kind} is not Supported`));
}

function selects(selector: LabelSelector, labels: Record<string, string> | undefined): boolean {
  try {
    return matcherOf(selector).matches(labels ?? {});
  } catch (error) {
    // A malformed selector has its own errors already.
    if (error instanceof SelectorError) return true;
    throw error;
  }
}

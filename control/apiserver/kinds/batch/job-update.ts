// What may change in a Job: how much runs at once and when it gives up; the pods only before they run.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Job, JobSpec, PodSpec, PodTemplateSpec } from "../../../../api/types.ts";
import { checkImmutable, isEqual } from "../validation/values.ts";

const FIXED = ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] as const;

/** Everything an update changes that it may not. */
export function jobUpdateErrors({ spec }: Job, old: Job): FieldError[] {
  if (!spec || !old.spec) return [];
  const errors: FieldError[] = [];
  checkCompletions(errors, spec, old.spec);
  checkImmutable(errors, "spec.selector", spec.selector, old.spec.selector);
  checkTemplate(errors, spec, old);
  for (const name of FIXED) checkImmutable(errors, `spec.${name}`, spec[name], old.spec[name]);
  return errors;
}

/** The number of indexes may follow the parallelism. */
function checkCompletions(errors: FieldError[], { completionMode, completions, parallelism }: JobSpec, old: JobSpec): void {
  if (completionMode !== "Indexed") return checkImmutable(errors, "spec.completions", completions, old.completions);
  if (completions === undefined || completions === old.completions) return;
  if (completions !== parallelism) errors.push(field.invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism"));
}

function checkTemplate(errors: FieldError[], { template }: JobSpec, old: Job): void {
  const before = old.spec?.template ?? {};
  if (!isOpen(old)) return checkImmutable(errors, "spec.template", template, before);
  const expected = withScheduling(before, template);
  checkImmutable(errors, "spec.template.spec", template.spec, expected.spec && template.spec ? withResources(expected.spec, template.spec) : expected.spec);
}

/** Suspended, with no pod running nor about to. */
function isOpen({ spec, status }: Job): boolean {
  const isSuspended = status?.conditions?.some(({ type, status: state }) => type === "Suspended" && state === "True") ?? false;
  return spec?.suspend === true && (!status?.startTime || isSuspended) && (status?.active ?? 0) === 0;
}

/** The old template, taking from the new one where its pods may go. */
function withScheduling(old: PodTemplateSpec, { spec: now }: PodTemplateSpec): PodTemplateSpec {
  if (!old.spec) return old;
  const { nodeAffinity: _, ...others } = old.spec.affinity ?? {};
  const affinity = { ...others, ...(now?.affinity?.nodeAffinity && { nodeAffinity: now.affinity.nodeAffinity }) };
  const hasAffinity = now?.affinity !== undefined || Object.keys(others).length > 0;
  return { ...old, spec: { ...old.spec, affinity: hasAffinity ? affinity : undefined, nodeSelector: now?.nodeSelector, tolerations: now?.tolerations, schedulingGates: now?.schedulingGates } };
}

/** The old pods with the resources of the new ones. */
function withResources(old: PodSpec, now: PodSpec): PodSpec {
  const merged = { ...old };
  for (const name of ["containers", "initContainers"] as const) {
    const wanted = now[name] ?? [];
    if (wanted.length !== (old[name]?.length ?? 0)) continue;
    const list = (old[name] ?? []).map((container, index) => (container.name === wanted[index]?.name ? { ...container, resources: wanted[index].resources } : container));
    if (!isEqual(list, old[name])) Object.assign(merged, { [name]: list });
  }
  return merged;
}

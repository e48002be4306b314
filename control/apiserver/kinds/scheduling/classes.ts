// PriorityClasses and RuntimeClasses: what a pod may be worth and what may run it.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { PriorityClass, RuntimeClass } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, boolean, integer, nameColumn, printer, text } from "../print/columns.ts";
import { checkContainerResources } from "../pod/validate/resources.ts";
import { checkTolerations } from "../pod/validate/scheduling.ts";
import { checkLabels } from "../validation/labels.ts";
import { check, dnsLabel } from "../validation/names.ts";
import { checkImmutable, checkOptionalOneOf, repeatsOf } from "../validation/values.ts";

const HIGHEST_OF_USERS = 1_000_000_000;
const SYSTEM_VALUES: Readonly<Record<string, number>> = { "system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000 };

export const priorityClassStrategy = define<PriorityClass>({
  group: "scheduling.k8s.io", kind: "PriorityClass",
  hasGeneration: false,
  // Nothing counts it up later; every class has its first.
  prepareForCreate: ({ metadata }) => void (metadata.generation = 1),
  validateCreate(priority) {
    const errors: FieldError[] = [];
    const name = priority.metadata.name ?? "";
    const error = name.startsWith("system-") ? systemError(name, priority) : undefined;
    if (error !== undefined) errors.push(field.forbidden("metadata.name", `priority class names with 'system-' prefix are reserved for system use only. error: ${error}`));
    if (!name.startsWith("system-") && (priority.value ?? 0) > HIGHEST_OF_USERS) errors.push(field.forbidden("value", `maximum allowed value of a user defined priority is ${HIGHEST_OF_USERS}`));
    checkOptionalOneOf(errors, "preemptionPolicy", priority.preemptionPolicy, ["PreemptLowerPriority", "Never"]);
    return errors;
  },
  validateUpdate(priority, old) {
    const errors: FieldError[] = [];
    if ((priority.value ?? 0) !== (old.value ?? 0)) errors.push(field.forbidden("value", "may not be changed in an update."));
    checkImmutable(errors, "preemptionPolicy", priority.preemptionPolicy, old.preemptionPolicy);
    return errors;
  },
  printer: printer(
    nameColumn(),
    integer("Value", ({ value }) => value ?? 0, "How much pods of this class are worth."),
    boolean("Global-Default", ({ globalDefault }) => globalDefault ?? false, "Whether pods without a class are of this one."),
    ageColumn(),
    // Not for wide output only: upstream's tables mark it so, too.
    text("PreemptionPolicy", ({ preemptionPolicy }) => preemptionPolicy ?? "", "Whether pods of this class displace others."),
  ),
});

function systemError(name: string, { value = 0, globalDefault }: PriorityClass): string | undefined {
  const expected = SYSTEM_VALUES[name];
  if (expected === undefined) return `${name} is not a known system priority class`;
  if (value !== expected) return `value of ${name} PriorityClass must be ${expected}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}

export const runtimeClassStrategy = define<RuntimeClass>({
  group: "node.k8s.io", kind: "RuntimeClass",
  validate({ handler, overhead, scheduling }) {
    const errors: FieldError[] = [];
    if (handler) check(errors, "handler", handler, dnsLabel);
    else errors.push(field.required("handler"));
    if (overhead) checkContainerResources(errors, "overhead", { limits: overhead.podFixed }, { claimNames: new Set() });
    if (scheduling?.nodeSelector) checkLabels(errors, "scheduling.nodeSelector", scheduling.nodeSelector);
    const tolerations = scheduling?.tolerations ?? [];
    checkTolerations(errors, "scheduling.tolerations", tolerations);
    for (const index of repeatsOf(tolerations, ({ key, operator, value, effect }) => JSON.stringify([key, operator, value, effect]))) errors.push(field.duplicate(`scheduling.tolerations[${index}]`, tolerations[index]));
    return errors;
  },
  validateUpdate({ handler }, { handler: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "handler", handler, old);
    return errors;
  },
  printer: printer(nameColumn(), text("Handler", ({ handler }) => handler ?? "", "What runs pods of this class."), ageColumn()),
});

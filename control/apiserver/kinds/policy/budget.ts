// PodDisruptionBudgets: how many pods may go at once.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { PodDisruptionBudget } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, integer, nameColumn, printer, text } from "../print/columns.ts";
import { checkConditions } from "../validation/conditions.ts";
import { checkSelector } from "../validation/labels.ts";
import { checkAtMost100Percent, checkIntOrPercent, checkNonNegative, checkOptionalOneOf } from "../validation/values.ts";

const COUNTS = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] as const;

export const podDisruptionBudgetStrategy = define<PodDisruptionBudget>({
  group: "policy", kind: "PodDisruptionBudget",
  allowUnconditionalUpdate: false,
  validate({ spec = {} }) {
    const errors: FieldError[] = [];
    if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) errors.push(field.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
    for (const name of ["minAvailable", "maxUnavailable"] as const) {
      checkIntOrPercent(errors, `spec.${name}`, spec[name]);
      checkAtMost100Percent(errors, `spec.${name}`, spec[name]);
    }
    checkSelector(errors, "spec.selector", spec.selector);
    checkOptionalOneOf(errors, "spec.unhealthyPodEvictionPolicy", spec.unhealthyPodEvictionPolicy, ["AlwaysAllow", "IfHealthyBudget"]);
    return errors;
  },
  subresources: {
    status: {
      validateUpdate({ status }) {
        const errors: FieldError[] = [];
        checkConditions(errors, "status.conditions", status?.conditions);
        for (const name of COUNTS) checkNonNegative(errors, `status.${name}`, status?.[name]);
        return errors;
      },
    },
  },
  printer: printer(
    nameColumn(),
    text("Min Available", ({ spec }) => String(spec?.minAvailable ?? "N/A"), "The minimum number of pods that must be available."),
    text("Max Unavailable", ({ spec }) => String(spec?.maxUnavailable ?? "N/A"), "The maximum number of pods that may be unavailable."),
    integer("Allowed Disruptions", ({ status }) => status?.disruptionsAllowed ?? 0, "Calculated number of pods that may be disrupted at this time."),
    ageColumn(),
  ),
});

// CronJobs: Jobs on a schedule.
import { field, type FieldError } from "../../../../api/errors.ts";
import { formatLabelSelector } from "../../../../api/selectors.ts";
import type { CronJob } from "../../../../api/types.ts";
import { cronError, isTimeZone } from "../../../../lib/cron.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { warnOfTemplate } from "../pod/warnings.ts";
import { ageColumn, integer, nameColumn, printer, text, wide } from "../print/columns.ts";
import { since } from "../print/duration.ts";
import { containerColumns } from "../print/format.ts";
import { checkNonNegative, checkOneOf } from "../validation/values.ts";
import { warnOfDottedName } from "../validation/warnings.ts";
import { checkJobSpec } from "./job-spec.ts";
import { warnOfManyIndexes } from "./job.ts";

type Spec = NonNullable<CronJob["spec"]>;
// What the controller appends makes a Job name of at most 63.
const MAX_NAME = 52;
const TEMPLATE = "spec.jobTemplate.spec.template";

export const cronJobStrategy = define<CronJob>({
  group: "batch", kind: "CronJob",
  applyDefaults: ({ spec }) => defaultPodSpec(spec?.jobTemplate?.spec?.template?.spec),
  prepareForCreate(cron, context) {
    warnOfDottedName(cron, context);
    warnOfManyIndexes(cron.spec?.jobTemplate?.spec, context, "spec.jobTemplate.spec");
    warnOfTemplate(cron.spec?.jobTemplate?.spec?.template, context, { path: TEMPLATE });
  },
  prepareForUpdate({ spec }, old, context) {
    warnOfTemplate(spec?.jobTemplate?.spec?.template, context, { path: TEMPLATE, old: old.spec?.jobTemplate?.spec?.template });
    if (spec?.schedule?.includes("TZ")) context.warn("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
  },
  validate: ({ spec }) => specErrors(spec),
  validateCreate({ metadata, spec }) {
    const errors: FieldError[] = [];
    checkZones(errors, spec, false);
    if ((metadata.name?.length ?? 0) > MAX_NAME) errors.push(field.invalid("metadata.name", metadata.name, `must be no more than ${MAX_NAME} characters`));
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkZones(errors, spec, old?.schedule?.includes("TZ") ?? false, old?.timeZone);
    return errors;
  },
  printer: printer(
    nameColumn(),
    text("Schedule", ({ spec }) => spec?.schedule ?? "", "The schedule in Cron format."),
    text("Timezone", ({ spec }) => spec?.timeZone ?? "<none>", "The time zone of the schedule."),
    { ...text<CronJob>("Suspend", ({ spec }) => suspendText(spec), "Whether no more runs are started."), type: "boolean" },
    integer("Active", ({ status }) => status?.active?.length ?? 0, "How many of its Jobs are running."),
    text("Last Schedule", ({ status }, now) => (status?.lastScheduleTime ? since(status.lastScheduleTime, now) : "<none>"), "When a Job was last started."),
    ageColumn(),
    ...containerColumns<CronJob>(({ spec }) => spec?.jobTemplate?.spec?.template),
    wide(text("Selector", ({ spec }) => formatLabelSelector(spec?.jobTemplate?.spec?.selector), "Which pods belong to its Jobs.")),
  ),
});

function suspendText(spec: Spec | undefined): string {
  if (spec?.suspend === undefined) return "<unset>";
  return spec.suspend ? "True" : "False";
}

function specErrors(spec: Spec | undefined): FieldError[] {
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  if (!spec.schedule) errors.push(field.required("spec.schedule"));
  else {
    const error = cronError(spec.schedule);
    if (error !== undefined) errors.push(field.invalid("spec.schedule", spec.schedule, error));
  }
  checkNonNegative(errors, "spec.startingDeadlineSeconds", spec.startingDeadlineSeconds);
  checkOneOf(errors, "spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]);
  const template = spec.jobTemplate?.spec;
  checkJobSpec(errors, "spec.jobTemplate.spec", template ?? { template: {} });
  if (template?.selector) errors.push(field.invalid("spec.jobTemplate.spec.selector", template.selector, "`selector` will be auto-generated"));
  if (template?.manualSelector) errors.push(field.notSupported("spec.jobTemplate.spec.manualSelector", true, ["nil", "false"]));
  checkNonNegative(errors, "spec.successfulJobsHistoryLimit", spec.successfulJobsHistoryLimit);
  checkNonNegative(errors, "spec.failedJobsHistoryLimit", spec.failedJobsHistoryLimit);
  return errors;
}

/** Zones belong into their field; schedules that already had one keep it. */
function checkZones(errors: FieldError[], spec: Spec | undefined, mayNameZone: boolean, oldZone?: string): void {
  const { schedule = "", timeZone } = spec ?? {};
  if (schedule.includes("TZ")) {
    if (!mayNameZone) errors.push(field.invalid("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
    else if (timeZone !== undefined) errors.push(field.invalid("spec.schedule", schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"));
  }
  if (timeZone === undefined || timeZone === oldZone) return;
  if (timeZone === "") errors.push(field.invalid("spec.timeZone", timeZone, "timeZone must be nil or non-empty string"));
  else if (timeZone.toLowerCase() === "local") errors.push(field.invalid("spec.timeZone", timeZone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"));
  else if (!isTimeZone(timeZone)) errors.push(field.invalid("spec.timeZone", timeZone, `unknown time zone ${timeZone}`));
}

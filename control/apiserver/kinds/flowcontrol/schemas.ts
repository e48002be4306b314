// FlowSchemas and PriorityLevelConfigurations: which requests belong together and how much each group may ask.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { AnyObject, FlowSchema, PriorityLevelConfiguration } from "../../../../api/types.ts";
import { flowSchemas } from "../../flowcontrol/objects.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import type { UpdateRules } from "../strategy.ts";
import { check, dnsSubdomain } from "../validation/names.ts";
import { isEqual, repeatsOf } from "../validation/values.ts";
import { checkRule } from "./rules.ts";

type SchemaSpec = NonNullable<FlowSchema["spec"]>;
type LevelSpec = NonNullable<PriorityLevelConfiguration["spec"]>;
type Queuing = NonNullable<NonNullable<NonNullable<LevelSpec["limited"]>["limitResponse"]>["queuing"]>;
type WithConditions = FlowSchema | PriorityLevelConfiguration;

const GROUP = "flowcontrol.apiserver.k8s.io";
const MAX_PRECEDENCE = 10_000;
const MAX_QUEUES = 10_000_000;
const HASH_BITS = 60;
const CATCH_ALL = { type: "Limited", limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: "Reject" } } };

const status: UpdateRules<WithConditions> = {
  validateUpdate({ status: now }) {
    const errors: FieldError[] = [];
    const conditions = now?.conditions ?? [];
    const repeats = repeatsOf(conditions, ({ type }) => type);
    for (const [index, { type }] of conditions.entries()) {
      const path = `status.conditions[${index}].type`;
      if (repeats.has(index)) errors.push(field.duplicate(path, type));
      if (!type) errors.push(field.required(path));
    }
    return errors;
  },
};

export const flowSchemaStrategy = define<FlowSchema>({
  group: GROUP, kind: "FlowSchema",
  validate: schemaErrors,
  subresources: { status },
  printer: {
    ...printer<FlowSchema>(
      nameColumn(),
      text("PriorityLevel", ({ spec }) => spec?.priorityLevelConfiguration?.name ?? "", "How its requests are served."),
      text("MatchingPrecedence", ({ spec }) => spec?.matchingPrecedence ?? 0, "The lower, the earlier it is tried."),
      text("DistinguisherMethod", ({ spec }) => spec?.distinguisherMethod?.type ?? "<none>", "What tells its flows apart."),
      ageColumn(),
      text("MissingPL", ({ status: now }) => now?.conditions?.find(({ type }) => type === "Dangling")?.status ?? "?", "references a broken or non-existent PriorityLevelConfiguration"),
    ),
    compare: (a, b) => (a.spec?.matchingPrecedence ?? 0) - (b.spec?.matchingPrecedence ?? 0) || ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1),
  },
});

function schemaErrors({ metadata, spec }: FlowSchema): FieldError[] {
  const name = metadata.name ?? "";
  const errors: FieldError[] = [];
  if (!spec) return [field.required("spec")];
  const precedence = spec.matchingPrecedence ?? 0;
  const path = "spec.matchingPrecedence";
  if (precedence <= 0) errors.push(field.invalid(path, precedence, "must be a positive value"));
  if (precedence > MAX_PRECEDENCE) errors.push(field.invalid(path, precedence, `must not be greater than ${MAX_PRECEDENCE}`));
  if (precedence === 1 && name !== "exempt") errors.push(field.invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"));
  const method = spec.distinguisherMethod;
  if (method && method.type !== "ByNamespace" && method.type !== "ByUser") errors.push(field.notSupported("spec.distinguisherMethod.type", method, ["ByNamespace", "ByUser"]));
  const level = spec.priorityLevelConfiguration?.name;
  if (level) check(errors, "spec.priorityLevelConfiguration.name", level, dnsSubdomain);
  else errors.push(field.required("spec.priorityLevelConfiguration.name", "must reference a priority level"));
  for (const [index, rule] of (spec.rules ?? []).entries()) checkRule(errors, `spec.rules[${index}]`, rule);
  const isMandatory = name === "exempt" || name === "catch-all";
  if (isMandatory && !isEqual(spec, mandatorySchema(name))) errors.push(field.invalid("spec", spec, `spec of '${name}' must equal the fixed value`));
  return errors;
}

function mandatorySchema(name: string): SchemaSpec | undefined {
  return (flowSchemas().find(({ metadata }) => metadata.name === name) as AnyObject | undefined)?.["spec"] as SchemaSpec | undefined;
}

export const priorityLevelStrategy = define<PriorityLevelConfiguration>({
  group: GROUP, kind: "PriorityLevelConfiguration",
  validate: levelErrors,
  subresources: { status },
  printer: printer<PriorityLevelConfiguration>(
    nameColumn(),
    text("Type", ({ spec }) => spec?.type ?? "", "Whether it is limited at all."),
    text("NominalConcurrencyShares", ({ spec }) => spec?.limited?.nominalConcurrencyShares ?? (spec?.limited ? 0 : "<none>"), "Its share of the requests served at once."),
    text("Queues", ({ spec }) => queuingOf(spec)?.queues ?? "<none>", "How many queues its requests wait in."),
    text("HandSize", ({ spec }) => queuingOf(spec)?.handSize ?? "<none>", "How many of them one flow may use."),
    text("QueueLengthLimit", ({ spec }) => queuingOf(spec)?.queueLengthLimit ?? "<none>", "How many requests wait in one."),
    ageColumn(),
  ),
});

const queuingOf = (spec: LevelSpec | undefined): Queuing | undefined => spec?.limited?.limitResponse?.queuing;

function levelErrors({ metadata, spec }: PriorityLevelConfiguration): FieldError[] {
  const name = metadata.name ?? "";
  if (!spec) return [field.required("spec")];
  const { type, limited, exempt } = spec;
  const errors: FieldError[] = [];
  if ((name === "exempt") !== (type === "Exempt")) errors.push(field.invalid("spec.type", type, "must be 'Exempt' if and only if `name` is 'exempt'"));
  if (type === "Exempt") {
    if (limited) errors.push(field.forbidden("spec.limited", "must be nil if the type is not Limited"));
    checkShares(errors, "spec.exempt", exempt);
  } else if (type === "Limited") {
    if (exempt) errors.push(field.forbidden("spec.exempt", "must be nil if the type is Limited"));
    if (limited) checkLimited(errors, limited);
    else errors.push(field.required("spec.limited", "must not be empty when type is Limited"));
  } else errors.push(field.notSupported("spec.type", type ?? "", ["Exempt", "Limited"]));
  if (name === "exempt" && !isEqual({ ...spec, exempt: undefined }, { type: "Exempt" })) errors.push(field.invalid("spec", spec, "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"));
  if (name === "catch-all" && !isEqual(spec, CATCH_ALL)) errors.push(field.invalid("spec", spec, "spec of 'catch-all' must equal the fixed value"));
  return errors;
}

function checkShares(errors: FieldError[], path: string, shares: { nominalConcurrencyShares?: number | undefined; lendablePercent?: number | undefined } = {}): void {
  const { nominalConcurrencyShares: nominal = 0, lendablePercent: lendable = 0 } = shares;
  if (nominal < 0) errors.push(field.invalid(`${path}.nominalConcurrencyShares`, nominal, "must be a non-negative integer"));
  if (lendable < 0 || lendable > 100) errors.push(field.invalid(`${path}.lendablePercent`, lendable, "must be between 0 and 100, inclusive"));
}

function checkLimited(errors: FieldError[], limited: NonNullable<LevelSpec["limited"]>): void {
  checkShares(errors, "spec.limited", limited);
  const { limitResponse: response, borrowingLimitPercent: borrowing = 0 } = limited;
  if (borrowing < 0) errors.push(field.invalid("spec.limited.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer"));
  const path = "spec.limited.limitResponse";
  if (response?.type === "Reject") {
    if (response.queuing) errors.push(field.forbidden(`${path}.queuing`, "must be nil if limited.limitResponse.type is not Limited"));
  } else if (response?.type === "Queue") {
    if (response.queuing) checkQueuing(errors, `${path}.queuing`, response.queuing);
    else errors.push(field.required(`${path}.queuing`, "must not be empty if limited.limitResponse.type is Limited"));
  } else errors.push(field.notSupported(`${path}.type`, response?.type ?? "", ["Queue", "Reject"]));
}

function checkQueuing(errors: FieldError[], path: string, { queues = 0, handSize = 0, queueLengthLimit = 0 }: Queuing): void {
  if (queueLengthLimit <= 0) errors.push(field.invalid(`${path}.queueLengthLimit`, queueLengthLimit, "must be positive"));
  if (queues <= 0) errors.push(field.invalid(`${path}.queues`, queues, "must be positive"));
  else if (queues > MAX_QUEUES) errors.push(field.invalid(`${path}.queues`, queues, `must not be greater than ${MAX_QUEUES}`));
  // Choosing a hand out of the queues takes this many bits of a flow's hash.
  const bits = Math.ceil(Math.log2(queues) * handSize);
  if (handSize <= 0) errors.push(field.invalid(`${path}.handSize`, handSize, "must be positive"));
  else if (handSize > queues) errors.push(field.invalid(`${path}.handSize`, handSize, `should not be greater than queues (${queues})`));
  else if (bits > HASH_BITS) errors.push(field.invalid(`${path}.handSize`, handSize, `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${HASH_BITS}`));
}

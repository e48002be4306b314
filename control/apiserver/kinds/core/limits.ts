// LimitRanges and ResourceQuotas: what a namespace allows one object, and all of them together.
import { field, type FieldError } from "../../../../api/errors.ts";
import { compareQuantities, formatQuantity, milliValue, parseQuantity, type Quantity } from "../../../../api/quantity.ts";
import type { LimitRange, ResourceQuota } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { qualifiedName } from "../validation/names.ts";
import { amountOf, checkAmount, checkContainerResourceName, checkQuotaResourceName, checkResourceList, checkResourceName, isOvercommitAllowed } from "./resources.ts";
import { checkScopes } from "./scopes.ts";

type Limit = NonNullable<LimitRange["spec"]>["limits"][number];
const TYPES = ["Container", "PersistentVolumeClaim", "Pod"];
const SIDES = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

export const limitRangeStrategy = define<LimitRange>({
  group: "", kind: "LimitRange",
  applyDefaults({ spec }) {
    for (const limit of spec?.limits ?? []) {
      if (limit.type !== "Container") continue;
      limit.default = { ...limit.max, ...limit.default };
      limit.defaultRequest = { ...limit.min, ...limit.default, ...limit.defaultRequest };
    }
  },
  validate({ spec }) {
    const errors: FieldError[] = [];
    const seen = new Set<string>();
    for (const [index, limit] of (spec?.limits ?? []).entries()) {
      const path = `spec.limits[${index}]`;
      if (seen.has(limit.type)) errors.push(field.duplicate(`${path}.type`, limit.type));
      seen.add(limit.type);
      checkLimit(errors, path, limit);
    }
    return errors;
  },
  printer: printer(nameColumn(), text("Created At", ({ metadata }) => metadata.creationTimestamp ?? "", "When the object was created.")),
});

function checkLimit(errors: FieldError[], path: string, limit: Limit): void {
  const { type } = limit;
  for (const sentence of qualifiedName(type ?? "")) errors.push(field.invalid(`${path}.type`, type ?? "", sentence));
  if (type && !type.includes("/") && !TYPES.includes(type)) errors.push(field.invalid(`${path}.type`, type, "must be a standard limit type or fully qualified"));
  const checkName = type === "Pod" || type === "Container" ? checkContainerResourceName : checkResourceName;
  const names = new Set<string>();
  for (const side of SIDES) {
    const list = limit[side] ?? {};
    if (type === "Pod" && (side === "default" || side === "defaultRequest") && Object.keys(list).length > 0) {
      errors.push(field.forbidden(`${path}.${side}`, "may not be specified when `type` is 'Pod'"));
      continue;
    }
    for (const name in list) {
      checkName(errors, `${path}.${side}[${name}]`, name);
      names.add(name);
    }
  }
  if (type === "PersistentVolumeClaim" && limit.min?.["storage"] === undefined && limit.max?.["storage"] === undefined) errors.push(field.required(`${path}.limits`, "either minimum or maximum storage value is required, but neither was provided"));
  for (const name of names) checkOrder(errors, path, limit, name);
}

/** Why one amount may not exceed another: where to say it, which is smaller, and the words for both. */
const ORDER: readonly (readonly [typeof SIDES[number], typeof SIDES[number], typeof SIDES[number], string, string])[] = [
  ["min", "min", "max", "min value", "max value"],
  ["defaultRequest", "min", "defaultRequest", "min value", "default request value"],
  ["defaultRequest", "defaultRequest", "max", "default request value", "max value"],
  ["defaultRequest", "defaultRequest", "default", "default request value", "default limit value"],
  ["default", "min", "default", "min value", "default value"],
  ["default", "default", "max", "default value", "max value"],
];

// The sink, the place, the limit and the resource it is about.
function checkOrder(errors: FieldError[], path: string, limit: Limit, name: string): void {
  const amounts = new Map<string, Quantity>();
  for (const side of SIDES) {
    const written = amountOf(limit[side], name);
    if (written !== undefined && !(limit.type === "Pod" && side.startsWith("default"))) amounts.set(side, parseQuantity(written));
  }
  for (const [at, small, large, smallWords, largeWords] of ORDER) {
    const [a, b] = [amounts.get(small), amounts.get(large)];
    if (a && b && compareQuantities(a, b) > 0) errors.push(field.invalid(`${path}.${at}[${name}]`, formatQuantity(at === small ? a : b), `${smallWords} ${formatQuantity(a)} is greater than ${largeWords} ${formatQuantity(b)}`));
  }
  checkRatio(errors, `${path}.maxLimitRequestRatio[${name}]`, amounts);
  const [standard, request] = [amounts.get("default"), amounts.get("defaultRequest")];
  if (!isOvercommitAllowed(name) && standard && request && compareQuantities(standard, request) !== 0) errors.push(field.invalid(`${path}.defaultRequest[${name}]`, formatQuantity(request), `default value ${formatQuantity(standard)} must equal to defaultRequest value ${formatQuantity(request)} in ${name}`));
}

function checkRatio(errors: FieldError[], path: string, amounts: ReadonlyMap<string, Quantity>): void {
  const ratio = amounts.get("maxLimitRequestRatio");
  if (!ratio) return;
  const shown = formatQuantity(ratio);
  if (milliValue(ratio) < 1000) errors.push(field.invalid(path, shown, `ratio ${shown} is less than 1`));
  const [min, max] = [amounts.get("min"), amounts.get("max")];
  if (!min || !max || min.nano === 0n) return;
  const possible = Number(max.nano) / Number(min.nano);
  if (milliValue(ratio) / 1000 > possible) errors.push(field.invalid(path, shown, `ratio ${shown} is greater than max/min = ${possible.toFixed(6)}`));
}

export const resourceQuotaStrategy = define<ResourceQuota>({
  group: "", kind: "ResourceQuota",
  prepareForCreate(quota) {
    quota.status = {};
  },
  validate({ spec }) {
    const errors: FieldError[] = [];
    checkResourceList(errors, "spec.hard", spec?.hard, checkQuotaResourceName);
    checkScopes(errors, spec);
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const [now, before] = [new Set(spec?.scopes), new Set(old?.scopes)];
    const isSame = now.size === before.size && [...now].every((scope) => before.has(scope));
    return isSame ? [] : [field.invalid("spec.scopes", spec?.scopes ?? [], "field is immutable")];
  },
  subresources: {
    status: {
      validateUpdate({ status }) {
        const errors: FieldError[] = [];
        for (const side of ["hard", "used"] as const) {
          for (const name in status?.[side]) {
            checkQuotaResourceName(errors, `status.${side}[${name}]`, name);
            checkAmount(errors, `status.${side}[${name}]`, name, status?.[side]?.[name] as string);
          }
        }
        return errors;
      },
    },
  },
  hasGeneration: false,
  printer: printer(
    nameColumn(),
    text("Request", (quota) => usage(quota, false), "Request represents a minimum amount of cpu/memory that a container may consume."),
    text("Limit", (quota) => usage(quota, true), "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
    ageColumn(),
  ),
});

function usage({ status }: ResourceQuota, limits: boolean): string {
  const names = Object.keys(status?.hard ?? {}).filter((name) => name.startsWith("limits.") === limits).sort();
  return names.map((name) => `${name}: ${status?.used?.[name] ?? "0"}/${status?.hard?.[name]}`).join(", ");
}

// What a claim asks for: defaults and rules of its requests, constraints and configuration.
import { field, type FieldError } from "../../../../api/errors.ts";
import { labelValueErrors } from "../../../../api/labels.ts";
import type { ResourceClaim } from "../../../../api/types.ts";
import { check, dnsLabel, dnsSubdomain, qualifiedName } from "../validation/names.ts";
import { wrong } from "../validation/values.ts";
import { checkConfiguration, checkItems, checkQualifiedAttribute, checkSelectors, MAX_CONFIG, type Configuration } from "./rules.ts";

export type ClaimSpec = NonNullable<ResourceClaim["spec"]>;
type Request = NonNullable<NonNullable<ClaimSpec["devices"]>["requests"]>[number];
type Exact = NonNullable<Request["exactly"]>;
type Toleration = NonNullable<Exact["tolerations"]>[number];

export const MAX_REQUESTS = 32;
const MAX_CONSTRAINTS = 32;
const MAX_ALTERNATIVES = 8;
const EFFECTS = ["NoExecute", "NoSchedule", "None"];
const NOT_A_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/** One device of its class, unless the request says otherwise. */
export function defaultRequests(spec: ClaimSpec | undefined): void {
  for (const { exactly, firstAvailable = [] } of spec?.devices?.requests ?? []) {
    for (const request of exactly ? [exactly, ...firstAvailable] : firstAvailable) {
      request.allocationMode ||= "ExactCount";
      if (request.allocationMode === "ExactCount" && !request.count) request.count = 1;
    }
  }
}

/** Everything wrong with what is asked for. */
export function checkClaimSpec(errors: FieldError[], path: string, spec: ClaimSpec | undefined): void {
  const { requests = [], constraints, config } = spec?.devices ?? {};
  const known = requestNames(spec);
  checkItems(errors, `${path}.devices.requests`, requests, { max: MAX_REQUESTS, item: (request, at) => checkRequest(errors, at, request), key: ({ name }) => name });
  checkItems(errors, `${path}.devices.constraints`, constraints, {
    max: MAX_CONSTRAINTS,
    item({ requests: names, matchAttribute, distinctAttribute }, at) {
      checkReferences(errors, `${at}.requests`, names, known);
      if (matchAttribute !== undefined) checkQualifiedAttribute(errors, `${at}.matchAttribute`, matchAttribute);
      else if (distinctAttribute !== undefined) checkQualifiedAttribute(errors, `${at}.distinctAttribute`, distinctAttribute);
      else errors.push(field.required(at, 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'));
    },
  });
  checkItems(errors, `${path}.devices.config`, config, { max: MAX_CONFIG, item: (part, at) => checkReferringConfiguration(errors, at, part, known) });
}

/** Configuration for some of the requests, or all. */
export function checkReferringConfiguration(errors: FieldError[], path: string, config: Configuration & { requests?: string[] | undefined }, known: ReadonlySet<string>): void {
  checkReferences(errors, `${path}.requests`, config.requests, known);
  checkConfiguration(errors, path, config);
}

/** The names by which parts of a claim can be meant. */
export function requestNames(spec: ClaimSpec | undefined): Set<string> {
  return new Set((spec?.devices?.requests ?? []).flatMap(({ name, firstAvailable = [] }) => [name, ...firstAvailable.map((alternative) => `${name}/${alternative.name}`)]));
}

/** The name of a request, or of one of its alternatives. */
export function checkReference(errors: FieldError[], path: string, name: string, known: ReadonlySet<string>): void {
  const parts = name.split("/");
  if (parts.length > 2) return void errors.push(field.invalid(path, name, NOT_A_REQUEST));
  for (const part of parts) check(errors, path, part, dnsLabel);
  if (!known.has(name)) errors.push(field.invalid(path, name, NOT_A_REQUEST));
}

function checkReferences(errors: FieldError[], path: string, names: readonly string[] | undefined, known: ReadonlySet<string>): void {
  checkItems(errors, path, names, { max: MAX_REQUESTS, item: (name, at) => checkReference(errors, at, name, known), key: (name) => name });
}

function checkRequest(errors: FieldError[], path: string, { name, exactly, firstAvailable = [] }: Request): void {
  check(errors, `${path}.name`, name ?? "", dnsLabel);
  if (exactly && firstAvailable.length > 0) errors.push(wrong(path, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"));
  else if (exactly) checkDevices(errors, `${path}.exactly`, exactly);
  else if (firstAvailable.length === 0) errors.push(field.required(path, "exactly one of `exactly` or `firstAvailable` is required"));
  else {
    checkItems(errors, `${path}.firstAvailable`, firstAvailable, {
      max: MAX_ALTERNATIVES,
      item(alternative, at) {
        check(errors, `${at}.name`, alternative.name ?? "", dnsLabel);
        checkDevices(errors, at, alternative);
      },
      key: (alternative) => alternative.name,
    });
  }
}

function checkDevices(errors: FieldError[], path: string, { deviceClassName, selectors, allocationMode = "", count = 0, tolerations }: Exact): void {
  if (deviceClassName) check(errors, `${path}.deviceClassName`, deviceClassName, dnsSubdomain);
  else errors.push(field.required(`${path}.deviceClassName`));
  checkSelectors(errors, `${path}.selectors`, selectors);
  if (allocationMode === "All") {
    if (count !== 0) errors.push(field.invalid(`${path}.count`, count, "must not be specified when allocationMode is 'All'"));
  } else if (allocationMode === "ExactCount") {
    if (count <= 0) errors.push(field.invalid(`${path}.count`, count, "must be greater than zero"));
  } else errors.push(field.notSupported(`${path}.allocationMode`, allocationMode, ["All", "ExactCount"]));
  checkItems(errors, `${path}.tolerations`, tolerations, { item: (toleration, at) => checkToleration(errors, at, toleration) });
}

function checkToleration(errors: FieldError[], path: string, { key, operator, value = "", effect }: Toleration): void {
  if (key) check(errors, `${path}.key`, key, qualifiedName);
  if (!operator) errors.push(field.required(`${path}.operator`));
  else if (operator === "Exists") {
    if (value !== "") errors.push(field.invalid(`${path}.value`, value, "must be empty for operator `Exists`"));
  } else if (operator === "Equal") for (const sentence of labelValueErrors(value)) errors.push(field.invalid(`${path}.value`, value, sentence));
  else errors.push(field.notSupported(`${path}.operator`, operator, ["Equal", "Exists"]));
  if (effect && !EFFECTS.includes(effect)) errors.push(field.notSupported(`${path}.effect`, effect, EFFECTS));
}

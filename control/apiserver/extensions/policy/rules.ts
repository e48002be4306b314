// What webhooks and policies say alike and how it must look: which writes they want, conditions, expressions, the service behind a webhook.
// Wording: pkg/apis/admissionregistration/validation/validation.go, k8s.io/apiserver/pkg/util/webhook/validation.go.
import { CompileError } from "../../../../api/cel/compile.ts";
import { field, type FieldError } from "../../../../api/errors.ts";
import { checkSelector } from "../../kinds/validation/labels.ts";
import { check, dnsSubdomain, pathSegment, portNumber, qualifiedName } from "../../kinds/validation/names.ts";
import { checkOptionalOneOf, repeatsOf } from "../../kinds/validation/values.ts";
import type { Rule } from "../webhook/match.ts";
import { policyProgram, type NamedExpression } from "./context.ts";
import type { MatchResources } from "./policies.ts";

export const FAILURE_POLICIES = ["Fail", "Ignore"];
export const MATCH_POLICIES = ["Equivalent", "Exact"];
const OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES = ["*", "Cluster", "Namespaced"];
const MAX_CONDITIONS = 64;

/** Adds what is wrong with a rule. */
export function checkRule(errors: FieldError[], path: string, { operations = [], apiGroups = [], apiVersions = [], resources = [], resourceNames = [], scope }: Rule): void {
  for (const [index, name] of resourceNames.entries()) check(errors, `${path}.resourceNames[${index}]`, name, pathSegment);
  for (const index of repeatsOf(resourceNames)) errors.push(field.duplicate(`${path}.resourceNames[${index}]`, resourceNames[index]));
  for (const [name, list, what] of [["operations", operations, "operations"], ["apiGroups", apiGroups, "API groups"], ["apiVersions", apiVersions, "API versions"]] as const) {
    if (list.length === 0) errors.push(field.required(`${path}.${name}`));
    if (list.length > 1 && list.includes("*")) errors.push(field.invalid(`${path}.${name}`, list, `if '*' is present, must not specify other ${what}`));
  }
  for (const [index, operation] of operations.entries()) if (!OPERATIONS.includes(operation)) errors.push(field.notSupported(`${path}.operations[${index}]`, operation, OPERATIONS));
  for (const [index, version] of apiVersions.entries()) if (version === "") errors.push(field.required(`${path}.apiVersions[${index}]`));
  checkResources(errors, `${path}.resources`, resources);
  checkOptionalOneOf(errors, `${path}.scope`, scope, SCOPES);
}

function checkResources(errors: FieldError[], path: string, resources: readonly string[]): void {
  if (resources.length === 0) errors.push(field.required(path));
  const ofAny = new Set<string>();
  const ofAll = new Set<string>();
  for (const [index, resource] of resources.entries()) {
    const [name = "", ...rest] = resource.split("/");
    const sub = rest.join("/");
    if (resource === "") errors.push(field.required(`${path}[${index}]`));
    if (rest.length === 0) continue;
    if (ofAll.has(name)) errors.push(field.invalid(`${path}[${index}]`, resource, `if '${name}/*' is present, must not specify ${resource}`));
    if (ofAny.has(sub)) errors.push(field.invalid(`${path}[${index}]`, resource, `if '*/${sub}' is present, must not specify ${resource}`));
    if (sub === "*") ofAll.add(name);
    if (name === "*") ofAny.add(sub);
  }
  if (resources.length > 1 && resources.includes("*/*")) errors.push(field.invalid(path, resources, "if '*/*' is present, must not specify other resources"));
  const last = resources.findLast((resource) => resource !== "" && !resource.includes("/"));
  if (resources.includes("*") && last !== undefined && last !== "*") errors.push(field.invalid(path, resources, "if '*' is present, must not specify other resources without subresources"));
}

/** Adds what is wrong with what a policy or binding matches. */
export function checkMatchResources(errors: FieldError[], path: string, resources: MatchResources | undefined): void {
  if (!resources) return;
  const { matchPolicy, namespaceSelector, objectSelector, resourceRules = [], excludeResourceRules = [] } = resources;
  checkOptionalOneOf(errors, `${path}.matchPolicy`, matchPolicy, MATCH_POLICIES);
  checkSelector(errors, `${path}.namespaceSelector`, namespaceSelector);
  checkSelector(errors, `${path}.objectSelector`, objectSelector);
  for (const [index, rule] of resourceRules.entries()) checkRule(errors, `${path}.resourceRules[${index}]`, rule);
  for (const [index, rule] of excludeResourceRules.entries()) checkRule(errors, `${path}.excludeResourceRules[${index}]`, rule);
}

/** Adds what is wrong with conditions that must hold before anything else is looked at. */
export function checkConditions(errors: FieldError[], path: string, conditions: readonly NamedExpression[]): void {
  if (conditions.length > MAX_CONDITIONS) errors.push(field.tooMany(path, conditions.length, MAX_CONDITIONS));
  const repeats = repeatsOf(conditions, ({ name }) => name);
  for (const [index, { name, expression }] of conditions.entries()) {
    checkExpression(errors, `${path}[${index}].expression`, expression, { type: "bool" });
    if (!name) errors.push(field.required(`${path}[${index}].name`));
    else {
      check(errors, `${path}[${index}].name`, name, qualifiedName);
      if (repeats.has(index)) errors.push(field.duplicate(`${path}[${index}].name`, name));
    }
  }
}

/** Adds what is wrong with an expression, which must be there and of a type when one is asked for. */
// A sink, a place, a value and its rule, as everywhere.
export function checkExpression(errors: FieldError[], path: string, expression: string | undefined, { type, absent }: { type?: string; absent?: string } = {}): void {
  if (!expression?.trim()) return void errors.push(field.required(path, absent));
  try {
    policyProgram(expression, type);
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    errors.push(field.invalid(path, expression, error.message));
  }
}

/** Adds what is wrong with the service a webhook is behind. */
export function checkService(errors: FieldError[], path: string, { namespace, name, port = 443, path: urlPath = "" }: { namespace?: string; name?: string; port?: number; path?: string }): void {
  if (!name) errors.push(field.required(`${path}.name`));
  if (!namespace) errors.push(field.required(`${path}.namespace`));
  for (const sentence of portNumber(port)) errors.push(field.invalid(`${path}.port`, port, `port is not valid: ${sentence}`));
  if (urlPath === "" || urlPath === "/") return;
  const at = `${path}.path`;
  if (urlPath === "//") return void errors.push(field.invalid(at, urlPath, "segment[0] may not be empty"));
  if (!urlPath.startsWith("/")) errors.push(field.invalid(at, urlPath, "must start with a '/'"));
  for (const [index, step] of urlPath.slice(1).replace(/\/$/, "").split("/").entries()) {
    if (step === "") errors.push(field.invalid(at, urlPath, `segment[${index}] may not be empty`));
    else for (const sentence of dnsSubdomain(step)) errors.push(field.invalid(at, urlPath, `segment[${index}]: ${sentence}`));
  }
}

// Rules for the scopes of a quota: which there are, what they can count, which exclude each other.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { ResourceQuota } from "../../../../api/types.ts";

const POD_SCOPES = ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"];
const STANDARD = new Set([...POD_SCOPES, "VolumeAttributesClass"]);
const MUST_EXIST = new Set(["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"]);
const COMPUTE = new Set(["pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"]);
const COUNTED = new Set([...COMPUTE, "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers", "requests.storage"]);
const EXCLUSIVE = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] as const;

/** `scopes` and `scopeSelector` of a quota. */
export function checkScopes(errors: FieldError[], spec: ResourceQuota["spec"]): void {
  const { scopes = [], scopeSelector, hard = {} } = spec ?? {};
  const names = Object.keys(hard).sort();
  for (const scope of scopes) {
    if (!STANDARD.has(scope)) errors.push(field.invalid("spec.scopes", scopes, "unsupported scope"));
    for (const name of names) if (COUNTED.has(name) && !canCount(scope, name)) errors.push(field.invalid("spec.scopes", scopes, "unsupported scope applied to resource"));
  }
  if (areExclusive(scopes)) errors.push(field.invalid("spec.scopes", scopes, "conflicting scopes"));
  const expressions = scopeSelector?.matchExpressions ?? [];
  const path = "spec.scopeSelector.matchExpressions";
  for (const { scopeName, operator, values = [] } of expressions) {
    if (!STANDARD.has(scopeName)) errors.push(field.invalid(`${path}.scopeName`, scopeName, "unsupported scope"));
    for (const name of names) if (COUNTED.has(name) && !canCount(scopeName, name)) errors.push(field.invalid(path, scopeSelector, "unsupported scope applied to resource"));
    if (MUST_EXIST.has(scopeName) && operator !== "Exists") errors.push(field.invalid(`${path}.operator`, operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"));
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0) errors.push(field.required(`${path}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"));
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0) errors.push(field.invalid(`${path}.values`, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"));
    } else errors.push(field.invalid(`${path}.operator`, operator, "not a valid selector operator"));
  }
  if (areExclusive(expressions.map(({ scopeName }) => scopeName))) errors.push(field.invalid(path, scopes, "conflicting scopes"));
}

function canCount(scope: string, name: string): boolean {
  if (scope === "VolumeAttributesClass") return name === "persistentvolumeclaims" || name === "requests.storage";
  return scope === "BestEffort" ? name === "pods" : COMPUTE.has(name);
}

function areExclusive(scopes: readonly string[]): boolean {
  return EXCLUSIVE.some(([a, b]) => scopes.includes(a) && scopes.includes(b));
}

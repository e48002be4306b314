// The admission plugins that apply policies written in CEL: ValidatingAdmissionPolicy and MutatingAdmissionPolicy.
// Wording: k8s.io/apiserver/pkg/admission/plugin/policy.
import { ApiError } from "../../../../api/errors.ts";
import { groupResourceOf } from "../../../../api/kinds.ts";
import { jsonPatch } from "../../../../api/schema/json-patch.ts";
import type { AnyObject } from "../../../../api/types.ts";
import type { AdmissionPlugin, Attributes } from "../../admission/plugin.ts";
import { cloneJson, equalJson } from "../../json.ts";
import { isExempt } from "../webhook/match.ts";
import type { WebhookDeps } from "../webhook/plugin.ts";
import { AuthorizerValue } from "./authorizer.ts";
import { conditionsHold, policyProgram, variablesOf } from "./context.ts";
import { fromCel } from "./literals.ts";
import { applications, hasBindings, type Application, type Mutation, type PolicyDeps, type Validation } from "./policies.ts";

const CODES: Readonly<Record<string, number>> = { Unauthorized: 401, Forbidden: 403, RequestEntityTooLarge: 413, Invalid: 422 };

/** Refuses what policies do not allow. */
export function validatingPolicies(deps: PolicyDeps): AdmissionPlugin {
  return {
    name: "ValidatingAdmissionPolicy",
    concerns: (door) => !isExempt(door),
    handles: () => hasBindings(deps, "Validating"),
    validate: (attributes) => {
      for (const application of applications(deps, "Validating", attributes)) judge(application, attributes);
    },
  };
}

/** Changes what policies want changed. */
export function mutatingPolicies(deps: PolicyDeps): AdmissionPlugin {
  return {
    name: "MutatingAdmissionPolicy",
    concerns: (door) => !isExempt(door),
    handles: () => hasBindings(deps, "Mutating"),
    admit: (attributes) => {
      for (const application of applications(deps, "Mutating", attributes)) mutate(deps, application, attributes);
    },
  };
}

/** How webhooks have their match conditions told. */
export function matchConditionsOf({ engine, authorizer }: PolicyDeps): NonNullable<WebhookDeps["conditionsHold"]> {
  return (conditions, attributes) => conditionsHold(conditions, variablesOf(engine(), attributes, { authorizer: authorizer && new AuthorizerValue(authorizer, attributes.user) }));
}

interface Denial {
  readonly message: string;
  readonly reason: string;
}

function judge(application: Application, attributes: Attributes): void {
  const { policy, binding, seen, failure } = application;
  const denials = failure !== undefined ? [{ ...failed(failure), index: 0 }] : (policy.spec.validations ?? []).map((validation, index) => ({ ...denialOf(validation, seen), index })).filter((denial): denial is Judged => denial.message !== undefined);
  const counted = denials.filter(({ isError }) => !isError || policy.spec.failurePolicy !== "Ignore");
  const actions = binding.spec.validationActions ?? ["Deny"];
  if (attributes.auditAnnotations) noteForAudit(application, attributes.auditAnnotations, actions.includes("Audit") ? counted : []);
  const [first] = counted;
  if (!first) return;
  if (actions.includes("Warn")) for (const { message } of counted) attributes.warnings.push(`Validation failed for ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}': ${message}`);
  if (actions.includes("Deny")) throw denied(attributes, `ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}' denied request: ${first.message}`, first.reason);
}

interface Judged extends Denial {
  readonly isError: boolean;
  readonly index: number;
}

const FAILURES = "validation.policy.admission.k8s.io/validation_failure";

/** Notes what the policy says of itself, and what would have been denied. */
function noteForAudit({ policy, binding, seen, failure }: Application, annotations: Map<string, string>, denials: readonly Judged[]): void {
  const failures = denials.map(({ message, index }) => ({ message, policy: policy.name, binding: binding.name, expressionIndex: index, validationActions: binding.spec.validationActions }));
  if (failures.length > 0) annotations.set(FAILURES, JSON.stringify([...(JSON.parse(annotations.get(FAILURES) ?? "[]") as unknown[]), ...failures]));
  if (failure !== undefined) return;
  for (const { key, valueExpression } of policy.spec.auditAnnotations ?? []) {
    const value = ownMessage(valueExpression, seen);
    const full = `${policy.name}/${key}`;
    const before = annotations.get(full)?.split(", ") ?? [];
    if (value !== undefined && !before.includes(value)) annotations.set(full, [...before, value].join(", "));
  }
}

function failed(message: string): Denial & { isError: boolean } {
  return { message, reason: "Invalid", isError: true };
}

function denialOf({ expression, message, messageExpression, reason = "Invalid" }: Validation, seen: Readonly<Record<string, unknown>>): (Denial & { isError: boolean }) | undefined {
  try {
    if (policyProgram(expression, "bool").evaluate(seen) === true) return undefined;
  } catch (error) {
    return { message: `expression '${expression.trim()}' resulted in error: ${(error as Error).message}`, reason, isError: true };
  }
  return { message: ownMessage(messageExpression, seen) ?? (message?.trim() || `failed expression: ${expression.trim()}`), reason, isError: false };
}

function ownMessage(expression: string | undefined, seen: Readonly<Record<string, unknown>>): string | undefined {
  try {
    const text = expression === undefined ? undefined : policyProgram(expression).evaluate(seen);
    return typeof text === "string" && text.trim() !== "" && !text.includes("\n") ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}

function denied({ kind, name, object }: Attributes, message: string, reason: string): ApiError {
  const shown = name || object?.metadata?.name || object?.metadata?.generateName || "Unknown";
  return new ApiError(CODES[reason] ?? 422, reason, `${groupResourceOf(kind)} ${JSON.stringify(shown)} is forbidden: ${message}`, { name: shown, ...(kind.group && { group: kind.group }), kind: kind.plural, causes: [{ message }] });
}

function mutate(deps: PolicyDeps, { policy, binding, seen, failure }: Application, attributes: Attributes): void {
  const { object } = attributes;
  if (!object) return;
  try {
    if (failure !== undefined) throw new Error(failure);
    let variables = seen;
    for (const mutation of policy.spec.mutations ?? []) {
      applyTo(deps, attributes, { object, next: mutated(deps, mutation, { attributes, object, variables }) });
      // Later mutations see what earlier ones made.
      variables = { ...variablesOf(deps.engine(), attributes, { variables: policy.spec.variables ?? [] }), params: seen["params"], ...(seen["authorizer"] !== undefined && { authorizer: seen["authorizer"] }) };
    }
  } catch (error) {
    if (policy.spec.failurePolicy === "Ignore") return;
    throw denied(attributes, `policy '${policy.name}' with binding '${binding.name}' denied request: ${(error as Error).message}`, "Invalid");
  }
}

function mutated({ engine }: PolicyDeps, mutation: Mutation, { attributes, object, variables }: { attributes: Attributes; object: AnyObject; variables: Readonly<Record<string, unknown>> }): AnyObject {
  const expression = mutation.applyConfiguration?.expression ?? mutation.jsonPatch?.expression ?? "";
  const value = fromCel(policyProgram(expression).evaluate(variables));
  if (mutation.patchType === "JSONPatch") return jsonPatch(cloneJson(object), value) as AnyObject;
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("applyConfiguration must evaluate to an Object");
  const gvk = attributes.kind.subresources[attributes.subresource]?.gvk ?? attributes.kind;
  return engine().codec.mergeTyped(gvk, object, value as Record<string, unknown>);
}

/** Replaces the contents of the object plugins share; admission goes on with the same one. */
function applyTo({ engine }: PolicyDeps, { kind, subresource }: Attributes, { object, next }: { object: AnyObject; next: AnyObject }): void {
  const { codec, strategies } = engine();
  const gvk = kind.subresources[subresource]?.gvk ?? kind;
  const decoded = codec.decode(gvk, next, "Ignore").object;
  codec.applyDefaults(gvk, decoded);
  if (subresource === "") strategies.for(kind).applyDefaults?.(decoded);
  if (equalJson(decoded, object)) return;
  for (const key of Object.keys(object)) delete object[key];
  Object.assign(object, decoded);
}

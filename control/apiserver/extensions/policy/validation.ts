// What may be written in admission policies and their bindings.
// Wording: pkg/apis/admissionregistration/validation/validation.go.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { checkSelector } from "../../kinds/validation/labels.ts";
import { check, dns1035Label, dnsSubdomain, pathSegment, qualifiedName } from "../../kinds/validation/names.ts";
import { checkOneOf, checkOptionalOneOf, repeatsOf } from "../../kinds/validation/values.ts";
import type { NamedExpression } from "./context.ts";
import type { BindingSpec, MatchResources, Mutation, PolicySpec, Validation } from "./policies.ts";
import { checkConditions, checkExpression, checkMatchResources, FAILURE_POLICIES } from "./rules.ts";

const MUTATED_OPERATIONS = ["*", "CREATE", "UPDATE"];
const REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
const ACTIONS = ["Audit", "Deny", "Warn"];
const MAX_AUDIT_ANNOTATIONS = 20;
const MAX_AUDIT_EXPRESSION = 5 * 1024;
const IDENTIFIER = /^[_a-zA-Z][_a-zA-Z0-9]*$/;
const RESERVED = new Set(["true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"]);

/** Everything wrong with a policy. */
export function policyErrors(object: AnyObject, isMutating: boolean): FieldError[] {
  const spec = (object["spec"] ?? {}) as PolicySpec;
  const errors: FieldError[] = [];
  checkOptionalOneOf(errors, "spec.failurePolicy", spec.failurePolicy, FAILURE_POLICIES);
  if (spec.paramKind) checkParamKind(errors, "spec.paramKind", spec.paramKind);
  if (!spec.matchConstraints) errors.push(field.required("spec.matchConstraints"));
  else {
    checkMatchResources(errors, "spec.matchConstraints", spec.matchConstraints);
    if ((spec.matchConstraints.resourceRules ?? []).length === 0) errors.push(field.required("spec.matchConstraints.resourceRules"));
    if (isMutating) checkMutatedOperations(errors, "spec.matchConstraints", spec.matchConstraints);
  }
  checkConditions(errors, "spec.matchConditions", spec.matchConditions ?? []);
  for (const [index, variable] of (spec.variables ?? []).entries()) checkVariable(errors, `spec.variables[${index}]`, variable);
  if (isMutating) checkMutations(errors, spec);
  else checkValidations(errors, spec, object.metadata.name ?? "");
  return errors;
}

/** Everything wrong with a binding. */
export function bindingErrors(object: AnyObject, isMutating: boolean): FieldError[] {
  const { policyName, paramRef, matchResources, validationActions = [] } = (object["spec"] ?? {}) as Partial<BindingSpec>;
  const errors: FieldError[] = [];
  if (!policyName) errors.push(field.required("spec.policyName"));
  else check(errors, "spec.policyName", policyName, dnsSubdomain);
  if (paramRef) checkParamRef(errors, "spec.paramRef", paramRef);
  checkMatchResources(errors, "spec.matchResources", matchResources);
  if (isMutating) checkMutatedOperations(errors, "spec.matchResources", matchResources);
  else checkActions(errors, "spec.validationActions", validationActions);
  return errors;
}

function checkParamKind(errors: FieldError[], path: string, { apiVersion, kind }: { apiVersion?: string; kind?: string }): void {
  const at = `${path}.apiVersion`;
  const parts = apiVersion?.split("/") ?? [];
  const [group, version] = parts.length === 1 ? ["", parts[0] as string] : [parts[0] ?? "", parts[1] ?? ""];
  if (!apiVersion) errors.push(field.required(at));
  else if (parts.length > 2) errors.push(field.invalid(at, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  else {
    if (group !== "" && dnsSubdomain(group).length > 0) errors.push(field.invalid(at, group, dnsSubdomain(group).join(",")));
    if (version === "") errors.push(field.invalid(at, apiVersion, "version must be specified"));
    else if (dns1035Label(version).length > 0) errors.push(field.invalid(at, version, dns1035Label(version).join(",")));
  }
  if (!kind) errors.push(field.required(`${path}.kind`));
  else if (dns1035Label(kind.toLowerCase()).length > 0) errors.push(field.invalid(`${path}.kind`, kind, `may have mixed case, but should otherwise match: ${dns1035Label(kind.toLowerCase()).join(",")}`));
}

function checkMutatedOperations(errors: FieldError[], path: string, resources: MatchResources | undefined): void {
  for (const { operations = [] } of resources?.resourceRules ?? []) {
    for (const operation of operations) if (!MUTATED_OPERATIONS.includes(operation)) errors.push(field.notSupported(`${path}.resourceRules.operations`, operation, MUTATED_OPERATIONS));
  }
}

function checkVariable(errors: FieldError[], path: string, { name, expression }: Partial<NamedExpression>): void {
  if (!name?.trim()) errors.push(field.required(`${path}.name`, "name is not specified"));
  else if (!IDENTIFIER.test(name) || RESERVED.has(name)) errors.push(field.invalid(`${path}.name`, name, "must be a valid CEL identifier"));
  checkExpression(errors, `${path}.expression`, expression, { absent: "expression is not specified" });
}

function checkValidations(errors: FieldError[], { validations = [], auditAnnotations = [] }: PolicySpec, policyName: string): void {
  if (validations.length === 0 && auditAnnotations.length === 0) {
    for (const name of ["validations", "auditAnnotations"]) errors.push(field.required(`spec.${name}`, "validations or auditAnnotations must contain at least one item"));
    return;
  }
  for (const [index, validation] of validations.entries()) checkValidation(errors, `spec.validations[${index}]`, validation);
  if (auditAnnotations.length > MAX_AUDIT_ANNOTATIONS) errors.push(field.invalid("spec.auditAnnotations", auditAnnotations, `must not have more than ${MAX_AUDIT_ANNOTATIONS} auditAnnotations`));
  const repeats = repeatsOf(auditAnnotations, ({ key }) => key);
  for (const [index, { key = "", valueExpression = "" }] of auditAnnotations.entries()) {
    const path = `spec.auditAnnotations[${index}]`;
    if (policyName === "") errors.push(field.invalid(`${path}.key`, key, "requires metadata.name be non-empty"));
    else check(errors, `${path}.key`, `${policyName}/${key}`, qualifiedName);
    if (valueExpression.trim().length > MAX_AUDIT_EXPRESSION) errors.push(field.required(`${path}.valueExpression`, `must not exceed ${MAX_AUDIT_EXPRESSION} bytes in length`));
    else checkExpression(errors, `${path}.valueExpression`, valueExpression, { absent: "valueExpression is not specified" });
    if (repeats.has(index)) errors.push(field.duplicate(`${path}.key`, key));
  }
}

function checkValidation(errors: FieldError[], path: string, { expression, message, messageExpression, reason }: Partial<Validation>): void {
  checkExpression(errors, `${path}.expression`, expression, { type: "bool", absent: "expression is not specified" });
  if (messageExpression && messageExpression.trim() === "") errors.push(field.invalid(`${path}.messageExpression`, messageExpression, "must be non-empty if specified"));
  else if (messageExpression) checkExpression(errors, `${path}.messageExpression`, messageExpression, { type: "string" });
  if (message && message.trim() === "") errors.push(field.invalid(`${path}.message`, message, "must be non-empty if specified"));
  else if (/[\n\r]/.test(message?.trim() ?? "")) errors.push(field.invalid(`${path}.message`, message, "must not contain line breaks"));
  checkOptionalOneOf(errors, `${path}.reason`, reason, REASONS);
}

function checkMutations(errors: FieldError[], { mutations = [], reinvocationPolicy }: PolicySpec): void {
  if (mutations.length === 0) errors.push(field.required("spec.mutations", "mutations must contain at least one item"));
  for (const [index, mutation] of mutations.entries()) checkMutation(errors, `spec.mutations[${index}]`, mutation);
  checkOptionalOneOf(errors, "spec.reinvocationPolicy", reinvocationPolicy, ["IfNeeded", "Never"]);
}

function checkMutation(errors: FieldError[], path: string, mutation: Partial<Mutation>): void {
  const { patchType } = mutation;
  checkOneOf(errors, `${path}.patchType`, patchType, ["ApplyConfiguration", "JSONPatch"]);
  if (patchType !== "ApplyConfiguration" && patchType !== "JSONPatch") return;
  const [own, other] = patchType === "JSONPatch" ? (["jsonPatch", "applyConfiguration"] as const) : (["applyConfiguration", "jsonPatch"] as const);
  if (!mutation[own]) errors.push(field.required(`${path}.${own}`, `must be specified when patchType is ${patchType}`));
  else checkExpression(errors, `${path}.${own}.expression`, mutation[own].expression);
  if (mutation[other]) errors.push(field.invalid(`${path}.${other}`, `{${other}}`, `must not be specified when patchType is ${patchType}`));
}

function checkParamRef(errors: FieldError[], path: string, { name, selector, parameterNotFoundAction: action }: NonNullable<BindingSpec["paramRef"]>): void {
  if (name) check(errors, `${path}.name`, name, pathSegment);
  checkSelector(errors, `${path}.selector`, selector);
  if (name && selector) for (const one of ["name", "selector"]) errors.push(field.forbidden(`${path}.${one}`, "name and selector are mutually exclusive"));
  if (!name && !selector) errors.push(field.required(path, "one of name or selector must be specified"));
  checkOneOf(errors, `${path}.parameterNotFoundAction`, action, ["Deny", "Allow"]);
}

function checkActions(errors: FieldError[], path: string, actions: readonly string[]): void {
  const repeats = repeatsOf(actions);
  for (const [index, action] of actions.entries()) {
    if (!ACTIONS.includes(action)) errors.push(field.notSupported(`${path}[${index}]`, action, ACTIONS));
    if (repeats.has(index)) errors.push(field.duplicate(`${path}[${index}]`, action));
  }
  if (actions.includes("Deny") && actions.includes("Warn")) errors.push(field.invalid(path, actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"));
  if (actions.length === 0) errors.push(field.required(path, "at least one validation action is required"));
}

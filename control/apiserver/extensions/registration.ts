// The objects of admissionregistration.k8s.io: what may be written in webhook configurations and policies.
// Wording: pkg/apis/admissionregistration/validation/validation.go.
import { field, type FieldError } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { dnsSubdomain, forPrefix } from "../kinds/validation/names.ts";
import { ageColumn, integer, nameColumn, printer, text } from "../kinds/print/columns.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { CompileError } from "../../../api/cel/compile.ts";
import { policyProgram, type NamedExpression } from "./policy/context.ts";
import type { BindingSpec, MatchResources, PolicySpec } from "./policy/policies.ts";
import type { Rule } from "./webhook/match.ts";
import type { Webhook } from "./webhook/plugin.ts";

const GROUP = "admissionregistration.k8s.io";
const SIDE_EFFECTS = ["None", "NoneOnDryRun"];
const POLICIES = ["Fail", "Ignore"];
const MATCH_POLICIES = ["Equivalent", "Exact"];
const OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MAX_CONDITIONS = 64;

/** The strategies of this group's kinds. */
export const registrationStrategies: ReadonlyMap<string, Strategy> = new Map([
  ...["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"].map((kind) => [kind, configuration(kind)] as const),
  ...["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"].map((kind) => [kind, policy(kind)] as const),
  ...["MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicyBinding"].map((kind) => [kind, binding(kind)] as const),
]);

/** The strategy of a kind of this group. */
export function registrationStrategy({ group, kind }: KindInfo): Strategy | undefined {
  return group === GROUP ? registrationStrategies.get(kind) : undefined;
}

function configuration(kind: string): Strategy {
  return {
    group: GROUP, kind, hasGeneration: true, validateName: forPrefix(dnsSubdomain),
    applyDefaults: (object) => {
      for (const hook of (object["webhooks"] ?? []) as { rules?: Rule[]; clientConfig?: { service?: { port?: number } } }[]) {
        defaultScopes(hook.rules);
        if (hook.clientConfig?.service) hook.clientConfig.service.port ??= 443;
      }
    },
    validate: (object) => {
      const hooks = (object["webhooks"] ?? []) as Webhook[];
      const names = new Set<string>();
      return hooks.flatMap((hook, index) => {
        const path = `webhooks[${index}]`;
        const duplicate = names.has(hook.name) ? [field.duplicate(`${path}.name`, hook.name)] : [];
        names.add(hook.name);
        return [...hookErrors(hook, path), ...duplicate];
      });
    },
    printer: printer(nameColumn(), integer("Webhooks", (object) => ((object as AnyObject)["webhooks"] ?? []).length), ageColumn()),
  };
}

function defaultScopes(rules: Rule[] | undefined): void {
  for (const rule of (rules ?? []) as { scope?: string }[]) rule.scope ??= "*";
}

function hookErrors(hook: Webhook, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { name = "", sideEffects, timeoutSeconds, failurePolicy, matchPolicy, clientConfig, admissionReviewVersions = [] } = hook;
  const wrong = name === "" ? [] : dnsSubdomain(name);
  if (name === "") errors.push(field.required(`${path}.name`));
  else if (wrong.length > 0) errors.push(field.invalid(`${path}.name`, name, wrong.join(",")));
  else if (name.split(".").length < 3) errors.push(field.invalid(`${path}.name`, name, "should be a domain with at least three segments separated by dots"));
  if (admissionReviewVersions.length === 0) errors.push(field.required(`${path}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
  else if (!admissionReviewVersions.some((version) => version === "v1" || version === "v1beta1")) errors.push(field.invalid(`${path}.admissionReviewVersions`, admissionReviewVersions, "must include at least one of v1, v1beta1"));
  (hook.rules ?? []).forEach((rule, index) => errors.push(...ruleErrors(rule, `${path}.rules[${index}]`)));
  if (failurePolicy !== undefined && !POLICIES.includes(failurePolicy)) errors.push(field.notSupported(`${path}.failurePolicy`, failurePolicy, POLICIES));
  if (matchPolicy !== undefined && !MATCH_POLICIES.includes(matchPolicy)) errors.push(field.notSupported(`${path}.matchPolicy`, matchPolicy, MATCH_POLICIES));
  if (sideEffects === undefined) errors.push(field.required(`${path}.sideEffects`, `must specify one of ${SIDE_EFFECTS.join(", ")}`));
  else if (!SIDE_EFFECTS.includes(sideEffects)) errors.push(field.notSupported(`${path}.sideEffects`, sideEffects, SIDE_EFFECTS));
  if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30)) errors.push(field.invalid(`${path}.timeoutSeconds`, timeoutSeconds, "the timeout value must be between 1 and 30 seconds"));
  if ((clientConfig?.url === undefined) === (clientConfig?.service === undefined)) errors.push(field.required(`${path}.clientConfig`, "exactly one of url or service is required"));
  else if (clientConfig?.url !== undefined) errors.push(...urlErrors(clientConfig.url, `${path}.clientConfig.url`));
  return [...errors, ...conditionErrors(hook.matchConditions ?? [], `${path}.matchConditions`)];
}

function urlErrors(url: string, path: string): FieldError[] {
  if (!URL.canParse(url)) return [field.required(path, "url must be a valid URL: ; desired format: https://host[/path]")];
  const { protocol, host, username, hash, search } = new URL(url);
  const wrong = (why: string): FieldError => field.invalid(path, url, `${why}; desired format: https://host[/path]`);
  const errors: FieldError[] = [];
  if (protocol !== "https:") errors.push(field.invalid(path, protocol.slice(0, -1), "'https' is the only allowed URL scheme; desired format: https://host[/path]"));
  if (host === "") errors.push(wrong("host must be specified"));
  if (username !== "") errors.push(wrong("user information is not permitted in the URL"));
  if (hash !== "") errors.push(wrong("fragments are not permitted in the URL"));
  if (search !== "") errors.push(wrong("query parameters are not permitted in the URL"));
  return errors;
}

function ruleErrors({ operations = [], apiGroups = [], apiVersions = [], resources = [], scope }: Rule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, list] of [["operations", operations], ["apiGroups", apiGroups], ["apiVersions", apiVersions], ["resources", resources]] as const) {
    if (list.length === 0) errors.push(field.required(`${path}.${name}`));
    if (name !== "resources" && list.length > 1 && list.includes("*")) errors.push(field.invalid(`${path}.${name}`, list, `if '*' is present, must not specify other ${name === "operations" ? "operations" : name === "apiGroups" ? "API groups" : "API versions"}`));
  }
  operations.forEach((operation, index) => {
    if (!OPERATIONS.includes(operation)) errors.push(field.notSupported(`${path}.operations[${index}]`, operation, OPERATIONS));
  });
  if (scope !== undefined && !["*", "Cluster", "Namespaced"].includes(scope)) errors.push(field.notSupported(`${path}.scope`, scope, ["*", "Cluster", "Namespaced"]));
  return errors;
}

function conditionErrors(conditions: readonly NamedExpression[], path: string): FieldError[] {
  const errors = conditions.length > MAX_CONDITIONS ? [field.tooMany(path, conditions.length, MAX_CONDITIONS)] : [];
  const names = new Set<string>();
  conditions.forEach(({ name = "", expression = "" }, index) => {
    if (name === "") errors.push(field.required(`${path}[${index}].name`));
    if (names.has(name)) errors.push(field.duplicate(`${path}[${index}].name`, name));
    names.add(name);
    errors.push(...expressionErrors(expression, `${path}[${index}].expression`, "bool"));
  });
  return errors;
}

function expressionErrors(expression: string | undefined, path: string, wanted?: string): FieldError[] {
  if (!expression?.trim()) return [field.required(path)];
  try {
    policyProgram(expression, wanted);
    return [];
  } catch (error) {
    if (error instanceof CompileError) return [field.invalid(path, expression, error.message)];
    throw error;
  }
}

function policy(kind: string): Strategy {
  return {
    group: GROUP, kind, hasGeneration: true, validateName: forPrefix(dnsSubdomain),
    applyDefaults: ({ spec }) => {
      if (!spec) return;
      defaultResources(spec.matchConstraints);
      if (kind === "MutatingAdmissionPolicy") spec.reinvocationPolicy ??= "Never";
    },
    validate: (object) => policyErrors((object["spec"] ?? {}) as PolicySpec, kind),
    printer: printer(
      nameColumn(),
      integer(kind === "ValidatingAdmissionPolicy" ? "Validations" : "Mutations", ({ spec }: AnyObject) => (spec?.validations ?? spec?.mutations ?? []).length),
      text("ParamKind", ({ spec }: AnyObject) => (spec?.paramKind ? `${spec.paramKind.apiVersion}/${spec.paramKind.kind}` : "<unset>")),
      ageColumn(),
    ),
  };
}

function defaultResources(resources: MatchResources | undefined): void {
  if (!resources) return;
  const filled = resources as { -readonly [Name in keyof MatchResources]: MatchResources[Name] };
  filled.matchPolicy ??= "Equivalent";
  filled.namespaceSelector ??= {};
  filled.objectSelector ??= {};
  defaultScopes(resources.resourceRules as Rule[] | undefined);
  defaultScopes(resources.excludeResourceRules as Rule[] | undefined);
}

function policyErrors(spec: PolicySpec, kind: string): FieldError[] {
  const errors: FieldError[] = [];
  const { matchConstraints, validations = [], mutations = [], variables = [], auditAnnotations = [] } = spec;
  if (!matchConstraints) errors.push(field.required("spec.matchConstraints"));
  else if ((matchConstraints.resourceRules ?? []).length === 0) errors.push(field.required("spec.matchConstraints.resourceRules"));
  matchConstraints?.resourceRules?.forEach((rule, index) => errors.push(...ruleErrors(rule, `spec.matchConstraints.resourceRules[${index}]`)));
  if (kind === "ValidatingAdmissionPolicy" && validations.length === 0 && auditAnnotations.length === 0) errors.push(field.required("spec.validations", "validations or auditAnnotations must be non-empty"), field.required("spec.auditAnnotations", "validations or auditAnnotations must be non-empty"));
  if (kind === "MutatingAdmissionPolicy" && mutations.length === 0) errors.push(field.required("spec.mutations", "mutations must contain at least one item"));
  variables.forEach(({ name = "", expression = "" }, index) => {
    if (name === "") errors.push(field.required(`spec.variables[${index}].name`, "name is required"));
    errors.push(...expressionErrors(expression, `spec.variables[${index}].expression`));
  });
  validations.forEach(({ expression = "", messageExpression }, index) => {
    errors.push(...expressionErrors(expression, `spec.validations[${index}].expression`, "bool"));
    if (messageExpression !== undefined) errors.push(...expressionErrors(messageExpression, `spec.validations[${index}].messageExpression`, "string"));
  });
  mutations.forEach(({ applyConfiguration, jsonPatch }, index) => {
    const path = `spec.mutations[${index}]`;
    if (applyConfiguration) errors.push(...expressionErrors(applyConfiguration.expression, `${path}.applyConfiguration.expression`));
    else if (jsonPatch) errors.push(...expressionErrors(jsonPatch.expression, `${path}.jsonPatch.expression`));
    else errors.push(field.required(`${path}.applyConfiguration`));
  });
  return [...errors, ...conditionErrors(spec.matchConditions ?? [], "spec.matchConditions")];
}

function binding(kind: string): Strategy {
  return {
    group: GROUP, kind, hasGeneration: true, validateName: forPrefix(dnsSubdomain),
    applyDefaults: ({ spec }) => defaultResources(spec?.matchResources),
    validate: (object) => bindingErrors((object["spec"] ?? {}) as BindingSpec, kind),
    printer: printer(nameColumn(), text("PolicyName", ({ spec }: AnyObject) => spec?.policyName ?? ""), text("ParamRef", ({ spec }: AnyObject) => spec?.paramRef?.name ?? "<unset>"), ageColumn()),
  };
}

function bindingErrors({ policyName, paramRef, validationActions = [] }: BindingSpec, kind: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!policyName) errors.push(field.required("spec.policyName"));
  if (paramRef && !paramRef.name && !paramRef.selector) errors.push(field.required("spec.paramRef", "one of name or selector must be specified"));
  if (paramRef?.name && paramRef.selector) errors.push(field.forbidden("spec.paramRef.name", "name and selector are mutually exclusive"));
  if (paramRef && !paramRef.parameterNotFoundAction) errors.push(field.required("spec.paramRef.parameterNotFoundAction"));
  if (kind !== "ValidatingAdmissionPolicyBinding") return errors;
  if (validationActions.length === 0) errors.push(field.required("spec.validationActions", "at least one validation action is required"));
  validationActions.forEach((action, index) => {
    if (!["Audit", "Deny", "Warn"].includes(action)) errors.push(field.notSupported(`spec.validationActions[${index}]`, action, ["Audit", "Deny", "Warn"]));
  });
  if (validationActions.includes("Deny") && validationActions.includes("Warn")) errors.push(field.invalid("spec.validationActions", validationActions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"));
  return errors;
}

// The kinds of admissionregistration.k8s.io: webhook configurations, policies and bindings; what may be written in policies is in policy/validation.ts.
// Wording: pkg/apis/admissionregistration/validation/validation.go.
import { field, type FieldError } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { dnsSubdomain, forPrefix } from "../kinds/validation/names.ts";
import { ageColumn, integer, nameColumn, printer, text } from "../kinds/print/columns.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { checkSelector } from "../kinds/validation/labels.ts";
import { checkOptionalOneOf } from "../kinds/validation/values.ts";
import type { MatchResources } from "./policy/policies.ts";
import { checkConditions, checkRule, checkService, FAILURE_POLICIES, MATCH_POLICIES } from "./policy/rules.ts";
import { bindingErrors, policyErrors } from "./policy/validation.ts";
import type { Rule } from "./webhook/match.ts";
import type { Webhook } from "./webhook/plugin.ts";

const GROUP = "admissionregistration.k8s.io";
const SIDE_EFFECTS = ["None", "NoneOnDryRun"];

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
  for (const [index, rule] of (hook.rules ?? []).entries()) checkRule(errors, `${path}.rules[${index}]`, rule);
  checkOptionalOneOf(errors, `${path}.failurePolicy`, failurePolicy, FAILURE_POLICIES);
  checkOptionalOneOf(errors, `${path}.matchPolicy`, matchPolicy, MATCH_POLICIES);
  checkSelector(errors, `${path}.namespaceSelector`, hook.namespaceSelector);
  checkSelector(errors, `${path}.objectSelector`, hook.objectSelector);
  if (sideEffects === undefined) errors.push(field.required(`${path}.sideEffects`, `must specify one of ${SIDE_EFFECTS.join(", ")}`));
  else if (!SIDE_EFFECTS.includes(sideEffects)) errors.push(field.notSupported(`${path}.sideEffects`, sideEffects, SIDE_EFFECTS));
  if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30)) errors.push(field.invalid(`${path}.timeoutSeconds`, timeoutSeconds, "the timeout value must be between 1 and 30 seconds"));
  if ((clientConfig?.url === undefined) === (clientConfig?.service === undefined)) errors.push(field.required(`${path}.clientConfig`, "exactly one of url or service is required"));
  else if (clientConfig?.url !== undefined) errors.push(...urlErrors(clientConfig.url, `${path}.clientConfig.url`));
  else if (clientConfig?.service) checkService(errors, `${path}.clientConfig.service`, clientConfig.service);
  checkConditions(errors, `${path}.matchConditions`, hook.matchConditions ?? []);
  return errors;
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

function policy(kind: string): Strategy {
  return {
    group: GROUP, kind, hasGeneration: true, validateName: forPrefix(dnsSubdomain),
    applyDefaults: ({ spec }) => {
      if (!spec) return;
      defaultResources(spec.matchConstraints);
      if (kind === "MutatingAdmissionPolicy") spec.reinvocationPolicy ??= "Never";
    },
    validate: (object) => policyErrors(object, kind === "MutatingAdmissionPolicy"),
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

function binding(kind: string): Strategy {
  return {
    group: GROUP, kind, hasGeneration: true, validateName: forPrefix(dnsSubdomain),
    applyDefaults: ({ spec }) => defaultResources(spec?.matchResources),
    validate: (object) => bindingErrors(object, kind === "MutatingAdmissionPolicyBinding"),
    printer: printer(nameColumn(), text("PolicyName", ({ spec }: AnyObject) => spec?.policyName ?? ""), text("ParamRef", ({ spec }: AnyObject) => spec?.paramRef?.name ?? "<unset>"), ageColumn()),
  };
}

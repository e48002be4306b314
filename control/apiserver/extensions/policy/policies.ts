// Which policies apply to a write: bindings, the policies they name, and the parameters they bring along.
// Rules: k8s.io/apiserver/pkg/admission/plugin/policy/generic.
import { parseApiVersion, type KindInfo } from "../../../../api/kinds.ts";
import { builtinKind } from "../../../../api/registry.ts";
import { matcherOf } from "../../../../api/selectors.ts";
import type { AnyObject, LabelSelector } from "../../../../api/types.ts";
import type { Authorizer } from "../../auth/auth.ts";
import type { Attributes } from "../../admission/plugin.ts";
import { cacheOf, type Engine } from "../../engine.ts";
import { matched, type Rule, type Wanted } from "../webhook/match.ts";
import { AuthorizerValue } from "./authorizer.ts";
import { conditionsHold, variablesOf, type NamedExpression, type Variables } from "./context.ts";

/** `matchConstraints` of a policy, `matchResources` of a binding. */
export interface MatchResources {
  readonly resourceRules?: readonly Rule[];
  readonly excludeResourceRules?: readonly Rule[];
  readonly matchPolicy?: string;
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
}

export interface Validation {
  readonly expression: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
}

export interface Mutation {
  readonly patchType: string;
  readonly applyConfiguration?: { readonly expression: string };
  readonly jsonPatch?: { readonly expression: string };
}

export interface PolicySpec {
  readonly paramKind?: { readonly apiVersion: string; readonly kind: string };
  readonly matchConstraints?: MatchResources;
  readonly validations?: readonly Validation[];
  readonly mutations?: readonly Mutation[];
  readonly failurePolicy?: string;
  readonly matchConditions?: readonly NamedExpression[];
  readonly variables?: readonly NamedExpression[];
  readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[];
  readonly reinvocationPolicy?: string;
}

export interface BindingSpec {
  readonly policyName: string;
  readonly paramRef?: { readonly name?: string; readonly namespace?: string; readonly selector?: LabelSelector; readonly parameterNotFoundAction?: string };
  readonly matchResources?: MatchResources;
  readonly validationActions?: readonly string[];
}

/** A policy that applies, with one of its bindings and one set of parameters. */
export interface Application {
  readonly policy: { readonly name: string; readonly spec: PolicySpec };
  readonly binding: { readonly name: string; readonly spec: BindingSpec };
  readonly seen: Variables;
  /** Why it could not be told; what that means is said by the failure policy. */
  readonly failure?: string;
}

export interface PolicyDeps {
  readonly engine: () => Engine;
  readonly authorizer?: Authorizer;
}

const KINDS = {
  Validating: { policy: builtinKind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"), binding: builtinKind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding") },
  Mutating: { policy: builtinKind("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy"), binding: builtinKind("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding") },
} as const;

/** Whether there is any binding at all. */
export function hasBindings({ engine }: PolicyDeps, type: keyof typeof KINDS): boolean {
  return cacheOf(engine(), KINDS[type].binding).size > 0;
}

/** Every policy that applies to a write, in the order of its bindings' names. */
export function* applications(deps: PolicyDeps, type: keyof typeof KINDS, attributes: Attributes): Generator<Application> {
  const engine = deps.engine();
  for (const { object } of cacheOf(engine, KINDS[type].binding).entries()) {
    const binding = { name: object.metadata.name, spec: object["spec"] as BindingSpec };
    const found = cacheOf(engine, KINDS[type].policy).get("", binding.spec?.policyName ?? "")?.object;
    if (!found) continue;
    const policy = { name: found.metadata.name, spec: found["spec"] as PolicySpec };
    if (!matched(engine, attributes, wantedBy(policy.spec.matchConstraints))) continue;
    if (binding.spec.matchResources && !matched(engine, attributes, wantedBy(binding.spec.matchResources, ANYTHING))) continue;
    yield* withParameters(deps, attributes, { policy, binding });
  }
}

const ANYTHING: readonly Rule[] = [{ apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*", "*/*"] }];

function wantedBy(resources: MatchResources | undefined, otherwise: readonly Rule[] = []): Wanted {
  const { resourceRules = otherwise, excludeResourceRules = [], ...rest } = resources ?? {};
  return { rules: resourceRules, excludeRules: excludeResourceRules, ...rest };
}

function* withParameters(deps: PolicyDeps, attributes: Attributes, pair: Pick<Application, "policy" | "binding">): Generator<Application> {
  const engine = deps.engine();
  const { paramKind, matchConditions = [], variables = [] } = pair.policy.spec;
  const authorizer = deps.authorizer && new AuthorizerValue(deps.authorizer, attributes.user);
  const found = paramKind ? parametersOf(engine, attributes, { paramKind, ...pair.binding.spec.paramRef }) : [undefined];
  if (typeof found === "string") return yield { ...pair, seen: {}, failure: found };
  for (const params of found) {
    const seen = variablesOf(engine, attributes, { params, variables, authorizer });
    try {
      if (conditionsHold(matchConditions, seen)) yield { ...pair, seen };
    } catch (error) {
      yield { ...pair, seen, failure: (error as Error).message };
    }
  }
}

/** The parameters a binding brings; a sentence when they should be there and are not. */
function parametersOf(engine: Engine, { namespace: own, kind }: Attributes, { paramKind, name, namespace, selector, parameterNotFoundAction }: NonNullable<BindingSpec["paramRef"]> & { paramKind: NonNullable<PolicySpec["paramKind"]> }): AnyObject[] | string {
  const { group, version } = parseApiVersion(paramKind.apiVersion);
  const params: KindInfo | undefined = engine.kinds.kind(group, version, paramKind.kind);
  if (!params) return `failed to find resource referenced by paramKind: '${paramKind.apiVersion}, Kind=${paramKind.kind}'`;
  const where = params.namespaced ? namespace || own : "";
  if (params.namespaced && where === "") return `cannot use namespaced paramRef in policy binding that matches cluster-scoped resources (${kind.plural})`;
  const cache = cacheOf(engine, params);
  const entry = name ? cache.get(where, name) : undefined;
  const matcher = matcherOf(selector ?? {});
  const found = name ? (entry ? [entry.object] : []) : cache.entries(where || undefined).filter(({ object }) => matcher.matches(object.metadata.labels)).map(({ object }) => object);
  if (found.length > 0) return found;
  return parameterNotFoundAction === "Allow" ? [] : "no params found for policy binding with `Deny` parameterNotFoundAction";
}

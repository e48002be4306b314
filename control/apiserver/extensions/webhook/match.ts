// Whether a write is any of a webhook's (or a policy's) business: rules, the namespace's labels, the object's labels.
// Rules: k8s.io/apiserver/pkg/admission/plugin/webhook/predicates.
import { notFound } from "../../../../api/errors.ts";
import type { KindInfo } from "../../../../api/kinds.ts";
import { builtinKind, type KindRegistry } from "../../../../api/registry.ts";
import { matcherOf } from "../../../../api/selectors.ts";
import type { LabelSelector } from "../../../../api/types.ts";
import type { Attributes, Door } from "../../admission/plugin.ts";
import { cacheOf, type Engine } from "../../engine.ts";

export interface Rule {
  readonly operations?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly apiVersions?: readonly string[];
  readonly resources?: readonly string[];
  readonly scope?: string;
  /** Policies may name objects. */
  readonly resourceNames?: readonly string[];
}

/** What a webhook or policy says about which writes it wants. */
export interface Wanted {
  readonly rules?: readonly Rule[];
  readonly excludeRules?: readonly Rule[];
  readonly matchPolicy?: string;
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
}

const NAMESPACE = builtinKind("", "v1", "Namespace");

/** The version of the resource in which the write is shown; undefined when it is not wanted. */
export function matched(engine: Engine, attributes: Attributes, wanted: Wanted): KindInfo | undefined {
  const { kind } = attributes;
  if ((wanted.excludeRules ?? []).some((rule) => isRule(rule, attributes, kind))) return undefined;
  const seen = seenAs(engine.kinds, attributes, wanted);
  if (!seen || !namespaceMatches(engine, attributes, wanted.namespaceSelector) || !objectMatches(attributes, wanted.objectSelector)) return undefined;
  return seen;
}

/** Objects that decide about admission are never subject to it. */
export function isExempt({ kind }: Door): boolean {
  return kind.group === "admissionregistration.k8s.io" && /^((Validating|Mutating)WebhookConfiguration|(Validating|Mutating)AdmissionPolicy(Binding)?)$/.test(kind.kind);
}

function seenAs(kinds: KindRegistry, attributes: Attributes, { rules = [], matchPolicy = "Equivalent" }: Wanted): KindInfo | undefined {
  if (rules.some((rule) => isRule(rule, attributes, attributes.kind))) return attributes.kind;
  if (matchPolicy === "Exact") return undefined;
  // The same objects served in another version.
  const { plural, group, storedAs } = attributes.kind;
  const others = kinds.all().filter((kind) => kind !== attributes.kind && kind.plural === plural && (kind.group === group || kind.group === storedAs?.group || kind.storedAs?.group === group));
  return others.find((kind) => rules.some((rule) => isRule(rule, attributes, kind)));
}

function isRule(rule: Rule, { operation, subresource, namespace, name, object }: Attributes, kind: KindInfo): boolean {
  if (rule.scope === "Namespaced" && (kind.plural === "namespaces" || namespace === "")) return false;
  if (rule.scope === "Cluster" && kind.plural !== "namespaces" && namespace !== "") return false;
  if (rule.resourceNames && rule.resourceNames.length > 0 && !rule.resourceNames.includes(name || object?.metadata.name || "")) return false;
  return has(rule.operations, operation) && has(rule.apiGroups, kind.group) && has(rule.apiVersions, kind.version) && (rule.resources ?? []).some((resource) => {
    const [main = "", sub = ""] = resource.split("/", 2);
    return (main === "*" || main === kind.plural) && (sub === "*" || sub === subresource);
  });
}

function has(list: readonly string[] | undefined, wanted: string): boolean {
  return (list ?? []).some((item) => item === "*" || item === wanted);
}

function namespaceMatches(engine: Engine, attributes: Attributes, selector: LabelSelector | undefined): boolean {
  const { kind, namespace, name, operation, object, subresource } = attributes;
  const isNamespace = kind.group === "" && kind.plural === "namespaces";
  if (namespace === "" && !isNamespace) return true;
  const matcher = matcherOf(selector ?? {});
  if (matcher.isEmpty) return true;
  if (isNamespace && subresource === "" && (operation === "CREATE" || operation === "UPDATE")) return matcher.matches(object?.metadata.labels);
  const wanted = isNamespace ? name : namespace;
  const entry = cacheOf(engine, NAMESPACE).get("", wanted);
  if (!entry) throw notFound(NAMESPACE, wanted);
  return matcher.matches(entry.object.metadata.labels);
}

function objectMatches({ object, oldObject }: Attributes, selector: LabelSelector | undefined): boolean {
  const matcher = matcherOf(selector ?? {});
  if (matcher.isEmpty) return true;
  return [object, oldObject].some((one) => one !== undefined && matcher.matches(one.metadata?.labels));
}

// RBAC policy rules: whether one allows a request, and whether some cover others.
// Semantics: k8s.io/component-helpers/auth/rbac/validation; pure functions over stored rules.
import type { PolicyRule } from "../../../api/types.ts";
import type { AccessRequest } from "./auth.ts";

/** True when any rule allows the request. */
export function rulesAllow(rules: readonly PolicyRule[], request: AccessRequest): boolean {
  return rules.some((rule) => ruleAllows(rule, request));
}

/** True when the rule allows the request. */
export function ruleAllows(rule: PolicyRule, request: AccessRequest): boolean {
  if (!rule.verbs.includes("*") && !rule.verbs.includes(request.verb)) return false;
  if (request.path !== undefined) return (rule.nonResourceURLs ?? []).some((url) => pathMatches(url, request.path));
  return allowsKind(rule, request) && allowsName(rule, request.name);
}

/** The part of a resource rule that does not look at names. */
export function allowsKind(rule: PolicyRule, { group, resource, subresource }: { readonly group: string; readonly resource: string; readonly subresource: string }): boolean {
  const groups = rule.apiGroups ?? [];
  if (!groups.includes("*") && !groups.includes(group)) return false;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  return (rule.resources ?? []).some((r) => r === "*" || r === full || (subresource !== "" && r === `*/${subresource}`));
}

/** A rule with names allows only those; creating a collection's member has no name yet. */
export function allowsName(rule: PolicyRule, name: string): boolean {
  const names = rule.resourceNames ?? [];
  return names.length === 0 || names.includes(name);
}

/** The rights in `wanted` that `held` does not cover, one verb and one resource each. */
export function uncovered(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakDown).filter((part) => !held.some((rule) => covers(rule, part)));
}

/** Rules for one group and resource that differ only by verb become one. */
export function compact(rules: readonly PolicyRule[]): PolicyRule[] {
  const simple = new Map<string, PolicyRule>();
  const others: PolicyRule[] = [];
  for (const rule of rules) {
    if (rule.apiGroups?.length !== 1 || rule.resources?.length !== 1 || (rule.resourceNames?.length ?? 0) > 1 || rule.nonResourceURLs?.length) {
      others.push(rule);
      continue;
    }
    const key = JSON.stringify([rule.apiGroups, rule.resources, rule.resourceNames]);
    const known = simple.get(key);
    simple.set(key, known ? { ...known, verbs: [...known.verbs, ...rule.verbs] } : rule);
  }
  return [...others, ...simple.values()];
}

/** A rule as upstream prints it in messages: `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`. */
export function formatRule(rule: PolicyRule): string {
  const parts = [
    ["APIGroups", rule.apiGroups], ["Resources", rule.resources], ["NonResourceURLs", rule.nonResourceURLs],
    ["ResourceNames", rule.resourceNames], ["Verbs", rule.verbs],
  ] as const;
  return `{${parts.filter(([, values]) => values?.length).map(([name, values]) => `${name}:${quotedList(values ?? [])}`).join(", ")}}`;
}

/** Strings as Go prints a quoted list: `["a" "b"]`. */
export function quotedList(values: readonly string[]): string {
  return `[${values.map((v) => JSON.stringify(v)).join(" ")}]`;
}

function pathMatches(rule: string, path: string): boolean {
  if (rule === "*" || rule === path) return true;
  return rule.endsWith("*") && path.startsWith(rule.slice(0, -1).replace(/\*+$/, ""));
}

function breakDown(rule: PolicyRule): PolicyRule[] {
  const parts: PolicyRule[] = [];
  for (const group of rule.apiGroups ?? []) {
    for (const resource of rule.resources ?? []) {
      for (const verb of rule.verbs) {
        const part = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (rule.resourceNames?.length) parts.push(...rule.resourceNames.map((name) => ({ ...part, resourceNames: [name] })));
        else parts.push(part);
      }
    }
  }
  for (const url of rule.nonResourceURLs ?? []) for (const verb of rule.verbs) parts.push({ nonResourceURLs: [url], verbs: [verb] });
  return parts;
}

function covers(rule: PolicyRule, part: PolicyRule): boolean {
  const verbs = rule.verbs.includes("*") || part.verbs.every((v) => rule.verbs.includes(v));
  if (!verbs) return false;
  if (part.nonResourceURLs) return part.nonResourceURLs.every((url) => (rule.nonResourceURLs ?? []).some((own) => pathMatches(own, url)));
  const groups = rule.apiGroups ?? [];
  if (!groups.includes("*") && !(part.apiGroups ?? []).every((g) => groups.includes(g))) return false;
  if (!(part.resources ?? []).every((resource) => coversResource(rule.resources ?? [], resource))) return false;
  const names = rule.resourceNames ?? [];
  if (names.length === 0) return true;
  return (part.resourceNames?.length ?? 0) > 0 && (part.resourceNames ?? []).every((n) => names.includes(n));
}

function coversResource(own: readonly string[], resource: string): boolean {
  if (own.includes("*") || own.includes(resource)) return true;
  const slash = resource.indexOf("/");
  return slash >= 0 && own.includes(`*${resource.slice(slash)}`);
}

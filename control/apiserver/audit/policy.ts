// The audit policy: which requests are recorded, and how much of them. The first rule that fits decides.
// Rules: k8s.io/apiserver/pkg/audit/policy.
import { parse as parseYaml } from "yaml";
import { field, type FieldError } from "../../../api/errors.ts";
import { logger } from "../../../lib/log.ts";
import type { Target } from "../http/target.ts";
import { dnsSubdomain } from "../kinds/validation/names.ts";
import type { UserInfo } from "../request.ts";

const LEVELS = ["None", "Metadata", "Request", "RequestResponse"] as const;
const STAGES = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"] as const;
const RULE_FIELDS = new Set(["level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields"]);
const POLICY_FIELDS = new Set(["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"]);

export type Level = (typeof LEVELS)[number];
export type Stage = (typeof STAGES)[number];

/** Everything of a rule but its level may be left out, which means anything. */
export interface Rule {
  readonly level: Level;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly { readonly group?: string; readonly resources?: readonly string[]; readonly resourceNames?: readonly string[] }[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly Stage[];
  readonly omitManagedFields?: boolean;
}

export interface Policy {
  readonly rules: readonly Rule[];
  readonly omitStages?: readonly Stage[];
  readonly omitManagedFields?: boolean;
}

/** What is recorded of one request. */
export interface Verdict {
  readonly level: Level;
  readonly omitStages: ReadonlySet<Stage>;
  readonly omitManagedFields: boolean;
}

/** What a rule is held against. */
export interface Audited {
  readonly user: UserInfo | undefined;
  readonly verb: string;
  readonly target: Target;
}

/** Reads a policy file; throws an Error that names each field that is wrong. Fields nobody knows are warned of. */
export function parsePolicy(text: string): Policy {
  // Fields without a value are as good as absent.
  const document = JSON.parse(JSON.stringify(parseYaml(text)), (_key, value: unknown) => value ?? undefined) as (Policy & { apiVersion?: unknown; kind?: unknown }) | null;
  if (typeof document !== "object" || document?.kind !== "Policy" || document.apiVersion !== "audit.k8s.io/v1") throw new Error('must be a Policy of apiVersion "audit.k8s.io/v1"');
  const { rules } = document;
  if (!Array.isArray(rules) || rules.length === 0) throw new Error("rules: Required value: a policy without rules records nothing");
  const unknown = [...unknownFields("", document, POLICY_FIELDS), ...(rules as Rule[]).flatMap((rule, index) => unknownFields(`rules[${index}].`, rule, RULE_FIELDS))];
  if (unknown.length > 0) logger("audit").warn({ fields: unknown }, "the audit policy has fields nobody knows; they are ignored");
  const errors = [...stageErrors("omitStages", document.omitStages), ...(rules as Rule[]).flatMap((rule, index) => ruleErrors(`rules[${index}]`, rule))];
  if (errors.length > 0) throw new Error(errors.map((error) => `${error.field}: ${error.message}`).join(", "));
  return document;
}

function unknownFields(path: string, value: object | null, known: ReadonlySet<string>): string[] {
  return Object.keys(value ?? {}).filter((key) => !known.has(key)).map((key) => path + key);
}

const LISTS = ["users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "resources", "omitStages"] as const;

function ruleErrors(path: string, rule: Rule | null): FieldError[] {
  if (typeof rule !== "object" || rule === null) return [field.required(path)];
  const wrong = LISTS.filter((name) => rule[name] !== undefined && rule[name] !== null && !Array.isArray(rule[name]));
  if (wrong.length > 0) return wrong.map((name) => field.invalid(`${path}.${name}`, rule[name], "must be a list"));
  const errors: FieldError[] = [];
  if (!rule.level) errors.push(field.required(`${path}.level`));
  else if (!LEVELS.includes(rule.level)) errors.push(field.notSupported(`${path}.level`, rule.level, [...LEVELS]));
  errors.push(...urlErrors(`${path}.nonResourceURLs`, rule.nonResourceURLs ?? []), ...resourceErrors(`${path}.resources`, rule.resources ?? []), ...stageErrors(`${path}.omitStages`, rule.omitStages));
  if (rule.nonResourceURLs?.length && (rule.resources?.length || rule.namespaces?.length)) errors.push(field.invalid(`${path}.nonResourceURLs`, rule.nonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"));
  return errors;
}

function urlErrors(path: string, urls: readonly string[]): FieldError[] {
  return urls.flatMap((url, index) => {
    const errors: FieldError[] = [];
    if (url === "*") return errors;
    if (!url.startsWith("/")) errors.push(field.invalid(`${path}[${index}]`, url, "non-resource URL rules must begin with a '/' character"));
    if (url.slice(0, -1).includes("*")) errors.push(field.invalid(`${path}[${index}]`, url, "non-resource URL wildcards '*' must be the final character of the rule"));
    return errors;
  });
}

function resourceErrors(path: string, groups: NonNullable<Rule["resources"]>): FieldError[] {
  return groups.flatMap(({ group = "", resources = [], resourceNames = [] }, index) => {
    const errors: FieldError[] = [];
    if (group !== "" && group !== "*") for (const sentence of dnsSubdomain(group)) errors.push(field.invalid(`${path}[${index}].group`, group, sentence));
    if (resourceNames.length > 0 && resources.length === 0) errors.push(field.invalid(`${path}[${index}].resourceNames`, resourceNames, "using resourceNames requires at least one resource"));
    return errors;
  });
}

function stageErrors(path: string, stages: readonly Stage[] = []): FieldError[] {
  return stages.flatMap((stage, index) => (STAGES.includes(stage) ? [] : [field.invalid(`${path}[${index}]`, stage, `allowed stages are ${STAGES.join(",")}`)]));
}

/** What the policy says of a request. */
export function verdictOf({ rules, omitStages = [], omitManagedFields = false }: Policy, audited: Audited): Verdict {
  const rule = rules.find((candidate) => fits(candidate, audited));
  if (!rule) return { level: "None", omitStages: new Set(omitStages), omitManagedFields };
  return { level: rule.level, omitStages: new Set([...omitStages, ...(rule.omitStages ?? [])]), omitManagedFields: rule.omitManagedFields ?? omitManagedFields };
}

/** Whether one level records at least what the other does. */
export function isAtLeast(level: Level, least: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(least);
}

function fits(rule: Rule, { user, verb, target }: Audited): boolean {
  const { users = [], userGroups = [], verbs = [], namespaces = [], resources = [], nonResourceURLs = [] } = rule;
  if (users.length > 0 && !(user && users.includes(user.name))) return false;
  if (userGroups.length > 0 && !user?.groups.some((group) => userGroups.includes(group))) return false;
  if (verbs.length > 0 && !verbs.includes(verb)) return false;
  if (namespaces.length + resources.length > 0) return target.type === "resource" && fitsResource(rule, target);
  if (nonResourceURLs.length > 0) return target.type === "path" && nonResourceURLs.some((url) => url === "*" || url === target.path || (url.endsWith("*") && target.path.startsWith(url.replace(/\*+$/, ""))));
  return true;
}

function fitsResource({ namespaces = [], resources = [] }: Rule, { namespace, group, plural, subresource, name }: Extract<Target, { type: "resource" }>): boolean {
  if (namespaces.length > 0 && !namespaces.includes(group === "" && plural === "namespaces" ? name : namespace)) return false;
  if (resources.length === 0) return true;
  const full = subresource === "" ? plural : `${plural}/${subresource}`;
  return resources.some((entry) => {
    if (entry.group !== "*" && (entry.group ?? "") !== group) return false;
    if (!entry.resources?.length) return true;
    if (entry.resourceNames?.length && !entry.resourceNames.includes(name)) return false;
    return entry.resources.some((wanted) => wanted === full || wanted === "*" || (subresource !== "" && wanted === `*/${subresource}`) || wanted === `${plural}/*`);
  });
}

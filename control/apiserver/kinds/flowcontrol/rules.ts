// Whom and what a rule of a FlowSchema is about.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { FlowSchema } from "../../../../api/types.ts";
import { dnsLabel, dnsSubdomain } from "../validation/names.ts";

export type Rule = NonNullable<NonNullable<FlowSchema["spec"]>["rules"]>[number];
type Subject = Rule["subjects"][number];
type ResourceRule = NonNullable<Rule["resourceRules"]>[number];
type UrlRule = NonNullable<Rule["nonResourceRules"]>[number];

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/** Where each kind of subject is described. */
const SUBJECTS = { Group: "group", ServiceAccount: "serviceAccount", User: "user" } as const;

/** One rule: at least one subject, and at least one thing they do. */
export function checkRule(errors: FieldError[], path: string, { subjects = [], resourceRules = [], nonResourceRules = [] }: Rule): void {
  for (const [index, subject] of subjects.entries()) checkSubject(errors, `${path}.subjects[${index}]`, subject);
  if (subjects.length === 0) errors.push(field.required(`${path}.subjects`, "subjects must contain at least one value"));
  if (resourceRules.length + nonResourceRules.length === 0) errors.push(field.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"));
  for (const [index, rule] of resourceRules.entries()) checkResources(errors, `${path}.resourceRules[${index}]`, rule);
  for (const [index, rule] of nonResourceRules.entries()) checkUrls(errors, `${path}.nonResourceRules[${index}]`, rule);
}

function checkSubject(errors: FieldError[], path: string, subject: Subject): void {
  const kinds = Object.keys(SUBJECTS) as (keyof typeof SUBJECTS)[];
  const kind = kinds.find((name) => name === subject.kind);
  if (!kind) return void errors.push(field.notSupported(`${path}.kind`, subject.kind ?? "", kinds));
  checkNamed(errors, `${path}.${SUBJECTS[kind]}`, subject, kind);
  for (const other of kinds) if (other !== kind && subject[SUBJECTS[other]]) errors.push(field.forbidden(`${path}.${SUBJECTS[other]}`, `${SUBJECTS[other]} is forbidden when subject kind is not '${other}'`));
}

function checkNamed(errors: FieldError[], path: string, subject: Subject, kind: keyof typeof SUBJECTS): void {
  const described = subject[SUBJECTS[kind]];
  if (!described) return void errors.push(field.required(path, `${SUBJECTS[kind]} is required when subject kind is '${kind}'`));
  const { name } = described;
  if (!name) errors.push(field.required(`${path}.name`));
  if (kind !== "ServiceAccount") return;
  if (name && name !== "*") for (const sentence of dnsSubdomain(name)) errors.push(field.invalid(`${path}.name`, name, sentence));
  const namespace = subject.serviceAccount?.namespace;
  if (!namespace) errors.push(field.required(`${path}.namespace`, "must specify namespace for service account"));
  else for (const sentence of dnsLabel(namespace)) errors.push(field.invalid(`${path}.namespace`, namespace, sentence));
}

function checkResources(errors: FieldError[], path: string, { verbs = [], apiGroups = [], resources = [], namespaces = [], clusterScope }: ResourceRule): void {
  checkVerbs(errors, path, verbs);
  checkList(errors, `${path}.apiGroups`, apiGroups, { missing: "resource rules must supply at least one api group", others: "api groups" });
  checkList(errors, `${path}.resources`, resources, { missing: "resource rules must supply at least one resource", others: "resources" });
  if (namespaces.length === 0 && clusterScope) return;
  checkList(errors, `${path}.namespaces`, namespaces, { missing: "resource rules that are not cluster scoped must supply at least one namespace", others: "namespaces" });
  if (namespaces.includes("*")) return;
  for (const [index, name] of namespaces.entries()) for (const sentence of dnsLabel(name)) errors.push(field.invalid(`${path}.namespaces[${index}]`, name, `each member of this list must be '*' or a DNS-1123 label; ${sentence}`));
}

function checkUrls(errors: FieldError[], path: string, { verbs = [], nonResourceURLs: urls = [] }: UrlRule): void {
  checkVerbs(errors, path, verbs);
  checkList(errors, `${path}.nonResourceURLs`, urls, { missing: "nonResourceURLs must contain at least one value", others: "non-resource URLs" });
  if (urls.includes("*")) return;
  for (const [index, url] of urls.entries()) {
    const sentence = urlError(url);
    if (sentence !== undefined) errors.push(field.invalid(`${path}.nonResourceURLs[${index}]`, url, sentence));
  }
}

function checkVerbs(errors: FieldError[], path: string, verbs: readonly string[]): void {
  checkList(errors, `${path}.verbs`, verbs, { missing: "verbs must contain at least one value", others: "verbs" });
  if (!verbs.includes("*") && verbs.some((verb) => !VERBS.includes(verb))) errors.push(field.notSupported(`${path}.verbs`, verbs, VERBS));
}

/** A list that has something, and nothing beside `*`. */
function checkList(errors: FieldError[], path: string, list: readonly string[], { missing, others }: { readonly missing: string; readonly others: string }): void {
  if (list.length === 0) errors.push(field.required(path, missing));
  else if (list.length > 1 && list.includes("*")) errors.push(field.invalid(path, list, `if '*' is present, must not specify other ${others}`));
}

function urlError(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  const stars = url.split("*").length - 1;
  return stars > 1 || (stars === 1 && !url.endsWith("/*")) ? "wildcard can only do suffix matching" : undefined;
}

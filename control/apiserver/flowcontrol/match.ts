// Which FlowSchema a request belongs to: rules turned into sets once, so that trying them costs a few look-ups.
// Rules: k8s.io/api/flowcontrol/v1, PolicyRulesWithSubjects.
import type { FlowSchema, Stored } from "../../../api/types.ts";
import type { UserInfo } from "../request.ts";

/** What a request is judged by. A request that is for no resource has a `path`. */
export interface Digest {
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  /** `pods` or `pods/status`. */
  readonly resource: string;
  readonly namespace: string;
  readonly path?: string | undefined;
}

/** A FlowSchema ready to be tried. */
export interface Matcher {
  readonly name: string;
  readonly uid: string;
  readonly level: string;
  readonly precedence: number;
  readonly by: "ByUser" | "ByNamespace" | undefined;
  matches(digest: Digest): boolean;
}

type Rule = NonNullable<NonNullable<FlowSchema["spec"]>["rules"]>[number];
type Test = (digest: Digest) => boolean;

const ACCOUNT_PREFIX = "system:serviceaccount:";

/** Prepares one FlowSchema. */
export function matcherOf({ metadata, spec }: Stored<FlowSchema>): Matcher {
  const rules = (spec?.rules ?? []).map(ruleTest);
  const by = spec?.distinguisherMethod?.type;
  return {
    name: metadata.name, uid: metadata.uid, level: spec?.priorityLevelConfiguration.name ?? "",
    precedence: spec?.matchingPrecedence ?? 0, by: by === "ByUser" || by === "ByNamespace" ? by : undefined,
    matches: (digest) => rules.some((test) => test(digest)),
  };
}

/** In the order they are tried: by precedence, then by name. */
export function inOrder(matchers: readonly Matcher[]): Matcher[] {
  return [...matchers].sort((a, b) => a.precedence - b.precedence || (a.name < b.name ? -1 : 1));
}

/** What tells the flows of one FlowSchema apart. */
export function distinguisherOf({ by }: Matcher, { user, namespace }: Digest): string {
  return by === "ByUser" ? user.name : by === "ByNamespace" ? namespace : "";
}

function ruleTest({ subjects, resourceRules = [], nonResourceRules = [] }: Rule): Test {
  const isSubject = (subjects ?? []).map(subjectTest);
  const isResource = resourceRules.map(resourceTest);
  const isPath = nonResourceRules.map(({ verbs, nonResourceURLs }): Test => {
    const hasVerb = oneOf(verbs);
    const hasPath = nonResourceURLs.map(pathTest);
    return ({ verb, path = "" }) => hasVerb(verb) && hasPath.some((test) => test(path));
  });
  return (digest) => isSubject.some((test) => test(digest)) && (digest.path === undefined ? isResource : isPath).some((test) => test(digest));
}

function subjectTest({ kind, user, group, serviceAccount }: Rule["subjects"][number]): Test {
  if (kind === "User" && user) return user.name === "*" ? always : ({ user: { name } }) => name === user.name;
  if (kind === "Group" && group) return group.name === "*" ? always : ({ user: { groups } }) => groups.includes(group.name);
  if (kind !== "ServiceAccount" || !serviceAccount) return () => false;
  const prefix = `${ACCOUNT_PREFIX}${serviceAccount.namespace}:`;
  return serviceAccount.name === "*" ? ({ user: { name } }) => name.startsWith(prefix) : ({ user: { name } }) => name === prefix + serviceAccount.name;
}

function resourceTest({ verbs, apiGroups, resources, namespaces = [], clusterScope = false }: NonNullable<Rule["resourceRules"]>[number]): Test {
  const [hasVerb, hasGroup, hasResource, hasNamespace] = [oneOf(verbs), oneOf(apiGroups), oneOf(resources), oneOf(namespaces)];
  return ({ verb, group, resource, namespace }) => hasVerb(verb) && hasResource(resource) && hasGroup(group) && (namespace === "" ? clusterScope : hasNamespace(namespace));
}

function pathTest(rule: string): (path: string) => boolean {
  if (rule === "*") return () => true;
  const stem = rule.replace(/\*$/, "");
  const prefix = stem.endsWith("/") ? stem : `${stem}/`;
  return (path) => path === rule || path.startsWith(prefix);
}

function oneOf(values: readonly string[]): (value: string) => boolean {
  if (values.length === 1 && values[0] === "*") return () => true;
  const set = new Set(values);
  return (value) => set.has(value);
}

function always(): boolean {
  return true;
}

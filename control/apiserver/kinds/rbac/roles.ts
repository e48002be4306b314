// Roles and bindings, of namespaces and of the cluster. Who may grant what is admission's business.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text, wide } from "../print/columns.ts";
import { checkSelector } from "../validation/labels.ts";
import { check, dnsSubdomain, pathSegment } from "../validation/names.ts";
import { isEqual } from "../validation/values.ts";

const GROUP = "rbac.authorization.k8s.io";
const SUBJECT_KINDS = ["ServiceAccount", "User", "Group"];
const validateName = (name: string): readonly string[] => pathSegment(name);
type Binding = RoleBinding | ClusterRoleBinding;

export const roleStrategy = define<Role>({
  group: GROUP, kind: "Role", validateName,
  validate: ({ rules }) => ruleErrors(rules, true),
  printer: printer(nameColumn(), text("Created At", ({ metadata }) => metadata.creationTimestamp ?? "", "When the object was created.")),
});

export const clusterRoleStrategy = define<ClusterRole>({
  group: GROUP, kind: "ClusterRole", validateName,
  validate({ rules, aggregationRule }) {
    const errors = ruleErrors(rules, false);
    if (!aggregationRule) return errors;
    const path = "aggregationRule.clusterRoleSelectors";
    const selectors = aggregationRule.clusterRoleSelectors ?? [];
    if (selectors.length === 0) errors.push(field.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"));
    for (const [index, selector] of selectors.entries()) checkSelector(errors, `${path}[${index}]`, selector);
    return errors;
  },
  printer: printer(nameColumn(), text("Created At", ({ metadata }) => metadata.creationTimestamp ?? "", "When the object was created.")),
});

export const roleBindingStrategy = define<RoleBinding>({ group: GROUP, kind: "RoleBinding", ...bindingRules(["Role", "ClusterRole"]) });
export const clusterRoleBindingStrategy = define<ClusterRoleBinding>({ group: GROUP, kind: "ClusterRoleBinding", ...bindingRules(["ClusterRole"]) });

function bindingRules(roleKinds: readonly string[]): Omit<Parameters<typeof define<Binding>>[0], "group" | "kind"> {
  const isNamespaced = roleKinds.includes("Role");
  return {
    applyDefaults({ roleRef, subjects }) {
      if (roleRef) roleRef.apiGroup ||= GROUP;
      for (const subject of subjects ?? []) if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup ||= GROUP;
    },
    validateName,
    validate({ roleRef, subjects }) {
      const errors: FieldError[] = [];
      checkRoleRef(errors, roleRef, roleKinds);
      for (const [index, subject] of (subjects ?? []).entries()) checkSubject(errors, `subjects[${index}]`, subject, isNamespaced);
      return errors;
    },
    validateUpdate: ({ roleRef }, { roleRef: old }) => (isEqual(roleRef, old) ? [] : [field.invalid("roleRef", roleRef, "cannot change roleRef")]),
    printer: printer<Binding>(
      nameColumn(),
      text("Role", ({ roleRef }) => `${roleRef?.kind}/${roleRef?.name}`, "The role that is bound."),
      ageColumn(),
      wide(text("Users", ({ subjects }) => named(subjects, "User"), "Users in the roleBinding")),
      wide(text("Groups", ({ subjects }) => named(subjects, "Group"), "Groups in the roleBinding")),
      wide(text("ServiceAccounts", ({ subjects }) => named(subjects, "ServiceAccount"), "ServiceAccounts in the roleBinding")),
    ),
  };
}

function named(subjects: readonly Subject[] | undefined, kind: string): string {
  return (subjects ?? []).filter((subject) => subject.kind === kind).map(({ namespace, name }) => (kind === "ServiceAccount" ? `${namespace ?? ""}/${name}` : name)).join(", ");
}

function ruleErrors(rules: readonly PolicyRule[] | undefined, isNamespaced: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { verbs = [], nonResourceURLs = [], apiGroups = [], resources = [], resourceNames = [] }] of (rules ?? []).entries()) {
    const path = `rules[${index}]`;
    if (verbs.length === 0) errors.push(field.required(`${path}.verbs`, "verbs must contain at least one value"));
    if (nonResourceURLs.length > 0) {
      if (isNamespaced) errors.push(field.invalid(`${path}.nonResourceURLs`, nonResourceURLs, "namespaced rules cannot apply to non-resource URLs"));
      if (apiGroups.length + resources.length + resourceNames.length > 0) errors.push(field.invalid(`${path}.nonResourceURLs`, nonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"));
      continue;
    }
    if (apiGroups.length === 0) errors.push(field.required(`${path}.apiGroups`, "resource rules must supply at least one api group"));
    if (resources.length === 0) errors.push(field.required(`${path}.resources`, "resource rules must supply at least one resource"));
  }
  return errors;
}

function checkRoleRef(errors: FieldError[], { apiGroup = "", kind = "", name = "" }: Partial<RoleRef> = {}, kinds: readonly string[]): void {
  if (apiGroup !== GROUP) errors.push(field.notSupported("roleRef.apiGroup", apiGroup, [GROUP]));
  if (!kinds.includes(kind)) errors.push(field.notSupported("roleRef.kind", kind, kinds));
  if (name === "") errors.push(field.required("roleRef.name"));
  else check(errors, "roleRef.name", name, pathSegment);
}

function checkSubject(errors: FieldError[], path: string, { kind, name, namespace, apiGroup = "" }: Subject, isNamespaced: boolean): void {
  if (!name) errors.push(field.required(`${path}.name`));
  if (!SUBJECT_KINDS.includes(kind)) return void errors.push(field.notSupported(`${path}.kind`, kind, SUBJECT_KINDS));
  if (kind !== "ServiceAccount") {
    if (apiGroup !== GROUP) errors.push(field.notSupported(`${path}.apiGroup`, apiGroup, [GROUP]));
    return;
  }
  if (name) check(errors, `${path}.name`, name, dnsSubdomain);
  if (apiGroup !== "") errors.push(field.notSupported(`${path}.apiGroup`, apiGroup, [""]));
  if (!isNamespaced && !namespace) errors.push(field.required(`${path}.namespace`));
}

// Nobody grants what they do not hold: the check on writes of roles and bindings.
// Upstream does this in the storage of the RBAC kinds; `escalate` and `bind` are the verbs that lift it.
import { forbidden, notFound } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, PolicyRule, RoleRef } from "../../../api/types.ts";
import type { AdmissionPlugin, Attributes } from "../admission/plugin.ts";
import type { Authorizer } from "./auth.ts";
import type { RbacAuthorizer } from "./rbac.ts";
import { compact, formatRule, quotedList, uncovered } from "./rules.ts";
import { MASTERS } from "./user.ts";

const GROUP = "rbac.authorization.k8s.io";
const EVERYTHING: readonly PolicyRule[] = [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }, { verbs: ["*"], nonResourceURLs: ["*"] }];
const ROLES = new Set(["roles", "clusterroles"]);
const BINDINGS = new Set(["rolebindings", "clusterrolebindings"]);

/** The check as an admission plugin; it only looks. */
export function rbacEscalation(rbac: RbacAuthorizer, authorizer: Authorizer): AdmissionPlugin {
  return {
    name: "RBACEscalation",
    concerns: ({ kind, operation, subresource }) =>
      kind.group === GROUP && subresource === "" && (operation === "CREATE" || operation === "UPDATE") && (ROLES.has(kind.plural) || BINDINGS.has(kind.plural)),
    handles: ({ user }) => !user.groups.includes(MASTERS),
    validate: async (attributes) => {
      if (isOnlyForGarbageCollection(attributes)) return;
      await (ROLES.has(attributes.kind.plural) ? checkRole(rbac, authorizer, attributes) : checkBinding(rbac, authorizer, attributes));
    },
  };
}

async function checkRole(rbac: RbacAuthorizer, authorizer: Authorizer, attributes: Attributes): Promise<void> {
  const { kind, name, namespace, user, object, oldObject } = attributes;
  const mayEscalate = await authorizer.authorize({ user, verb: "escalate", group: GROUP, version: "*", resource: kind.plural, subresource: "", namespace, name });
  if (mayEscalate.allowed) return;
  requireHeld(rbac, attributes, (object?.["rules"] ?? []) as PolicyRule[]);
  if (!hasAggregation(object) && !hasAggregation(oldObject)) return;
  const { grants } = rbac.rightsOf(user, namespace);
  if (uncovered(grants.flatMap((g) => g.rules), EVERYTHING).length > 0) throw forbidden(kind, name, "must have cluster-admin privileges to use the aggregationRule");
}

async function checkBinding(rbac: RbacAuthorizer, authorizer: Authorizer, attributes: Attributes): Promise<void> {
  const { user, namespace, object } = attributes;
  const roleRef = object?.["roleRef"] as RoleRef & { name: string };
  const resource = roleRef.kind === "Role" ? "roles" : "clusterroles";
  const mayBind = await authorizer.authorize({ user, verb: "bind", group: roleRef.apiGroup ?? GROUP, version: "*", resource, subresource: "", namespace, name: roleRef.name });
  if (mayBind.allowed) return;
  const rules = rbac.rulesOf(roleRef, namespace);
  if (!rules) throw notFound(builtinKind(GROUP, "v1", roleRef.kind), roleRef.name);
  requireHeld(rbac, attributes, rules);
}

function requireHeld(rbac: RbacAuthorizer, { kind, name, namespace, user }: Attributes, wanted: readonly PolicyRule[]): void {
  const { grants, errors } = rbac.rightsOf(user, namespace);
  const missing = uncovered(grants.flatMap((g) => g.rules), wanted);
  if (missing.length === 0) return;
  const lines = [...new Set(compact(missing).map(formatRule))].sort().join("\n");
  const unresolved = errors.length > 0 ? `; resolution errors: [${errors.join(" ")}]` : "";
  throw forbidden(kind, name, `user ${JSON.stringify(user.name)} (groups=${quotedList(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${lines}${unresolved}`);
}

function hasAggregation(object: AnyObject | undefined): boolean {
  return (object?.["aggregationRule"]?.clusterRoleSelectors?.length ?? 0) > 0;
}

/** Owners and finalizers may go without the rights the role gives. */
function isOnlyForGarbageCollection({ object, oldObject }: Attributes): boolean {
  return object !== undefined && oldObject !== undefined && withoutCollected(object) === withoutCollected(oldObject);
}

function withoutCollected(object: AnyObject): string {
  const { ownerReferences: _owners, finalizers: _finalizers, managedFields: _fields, resourceVersion: _version, generation: _generation, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

// RBAC: which rules a user has through roles and bindings, and whether they allow a request.
// Bindings are indexed by subject as they change; answers are remembered per user until any role or binding changes.
import { keyOf, type Informers } from "../../../api/client/informer.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { ClusterRole, ClusterRoleBinding, KubeObject, PolicyRule, Role, RoleBinding, RoleRef, Stored, Subject } from "../../../api/types.ts";
import type { UserInfo } from "../request.ts";
import type { AccessRequest, Authorizer, Decision } from "./auth.ts";
import { BoundedMap } from "./bounded.ts";
import { allowsKind, allowsName, ruleAllows } from "./rules.ts";
import { serviceAccountUser } from "./user.ts";

const RBAC = "rbac.authorization.k8s.io";
const MAX_USERS = 4_096;
const MAX_QUESTIONS = 4_096;
const NO_OPINION: Decision = { allowed: false };

type Binding = Stored<ClusterRoleBinding> | Stored<RoleBinding>;

/** A binding as one subject of it sees it. */
interface Bound {
  readonly binding: Binding;
  readonly subject: Subject;
}

/** Rules with where they come from. */
interface Grant {
  readonly rules: readonly PolicyRule[];
  readonly reason: string;
}

/** Everything a user holds in one scope. */
export interface Rights {
  readonly grants: readonly Grant[];
  /** Roles bindings point at that are not there. */
  readonly errors: readonly string[];
}

/** What is remembered about one user. */
interface UserAnswers {
  readonly version: number;
  readonly rights: Map<string, Rights>;
  readonly answers: BoundedMap<string, Decision | "by name">;
}

/** Answers from stored roles and bindings. */
export class RbacAuthorizer implements Authorizer {
  readonly #roles = new Map<string, Stored<Role>>();
  readonly #clusterRoles = new Map<string, Stored<ClusterRole>>();
  readonly #bindings = new BindingIndex();
  readonly #byUser = new WeakMap<UserInfo, UserAnswers>();
  readonly #byIdentity = new BoundedMap<string, UserAnswers>(MAX_USERS);
  #version = 0;

  constructor(informers: Informers) {
    this.#follow<Role>(informers, "Role", this.#roles);
    this.#follow<ClusterRole>(informers, "ClusterRole", this.#clusterRoles);
    this.#followBindings<RoleBinding>(informers, "RoleBinding");
    this.#followBindings<ClusterRoleBinding>(informers, "ClusterRoleBinding");
  }

  authorize(request: AccessRequest): Decision {
    const known = this.#answersFor(request.user);
    const question = questionOf(request);
    const answer = known.answers.get(question);
    if (answer !== undefined && answer !== "by name") return answer;
    const rights = this.#rights(known, request.user, request.path === undefined ? request.namespace : "");
    const decision = decide(rights, request);
    // Where a rule names objects the answer holds for one object only; those questions are asked anew.
    if (answer === undefined) known.answers.set(question, dependsOnName(rights, request) ? "by name" : decision);
    return decision;
  }

  /** All rules the user has in a namespace, cluster-wide ones included. */
  rightsOf(user: UserInfo, namespace: string): Rights {
    return this.#rights(this.#answersFor(user), user, namespace);
  }

  /** The rules of a role a binding refers to; undefined when the role is not there. */
  rulesOf(roleRef: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    const role = roleRef.kind === "Role" ? this.#roles.get(`${namespace}/${roleRef.name}`) : this.#clusterRoles.get(roleRef.name);
    return role && (role.rules ?? []);
  }

  #answersFor(user: UserInfo): UserAnswers {
    const own = this.#byUser.get(user);
    if (own?.version === this.#version) return own;
    const identity = `${user.name}\n${user.groups.join("\n")}`;
    let known = this.#byIdentity.get(identity);
    if (known?.version !== this.#version) {
      known = { version: this.#version, rights: new Map(), answers: new BoundedMap(MAX_QUESTIONS) };
      this.#byIdentity.set(identity, known);
    }
    this.#byUser.set(user, known);
    return known;
  }

  #rights(known: UserAnswers, user: UserInfo, namespace: string): Rights {
    let rights = known.rights.get(namespace);
    if (!rights) {
      // Asking about namespaces that do not exist must not fill the memory.
      if (known.rights.size >= MAX_QUESTIONS) known.rights.clear();
      rights = this.#collect(user, namespace);
      known.rights.set(namespace, rights);
    }
    return rights;
  }

  #collect(user: UserInfo, namespace: string): Rights {
    const grants: Grant[] = [];
    const errors: string[] = [];
    for (const scope of namespace === "" ? [""] : ["", namespace]) {
      for (const bound of this.#bindings.of(user, scope)) {
        const { roleRef } = bound.binding;
        const rules = this.rulesOf(roleRef, scope);
        if (rules) grants.push({ rules, reason: `RBAC: allowed by ${describe(bound)}` });
        else errors.push(`${roleRef.kind === "Role" ? "role" : "clusterrole"}.${RBAC} ${JSON.stringify(roleRef.name)} not found`);
      }
    }
    return { grants, errors };
  }

  #follow<T extends KubeObject>(informers: Informers, kind: string, into: Map<string, Stored<T>>): void {
    const set = (object: Stored<T>): void => {
      into.set(keyOf(object), object);
      this.#version++;
    };
    informers.for<T>(builtinKind(RBAC, "v1", kind)).addHandler({
      add: set, update: set,
      delete: (object) => {
        into.delete(keyOf(object));
        this.#version++;
      },
    });
  }

  #followBindings<T extends RoleBinding | ClusterRoleBinding>(informers: Informers, kind: string): void {
    const change = (now: Stored<T> | undefined, old: Stored<T> | undefined): void => {
      if (old) this.#bindings.remove(old as Binding);
      if (now) this.#bindings.add(now as Binding);
      this.#version++;
    };
    informers.for<T>(builtinKind(RBAC, "v1", kind)).addHandler({
      add: (now) => change(now, undefined), update: change, delete: (old) => change(undefined, old),
    });
  }
}

/** Bindings by scope (a namespace, or empty) and subject. */
class BindingIndex {
  readonly #scopes = new Map<string, Map<string, Map<string, Bound>>>();

  add(binding: Binding): void {
    const scope = binding.metadata.namespace ?? "";
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, scope);
      if (key === undefined) continue;
      let subjects = this.#scopes.get(scope);
      if (!subjects) this.#scopes.set(scope, (subjects = new Map()));
      let bounds = subjects.get(key);
      if (!bounds) subjects.set(key, (bounds = new Map()));
      // Of equal subjects the first one speaks.
      if (!bounds.has(binding.metadata.name)) bounds.set(binding.metadata.name, { binding, subject });
    }
  }

  remove(binding: Binding): void {
    const scope = binding.metadata.namespace ?? "";
    const subjects = this.#scopes.get(scope);
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, scope) ?? "";
      const bounds = subjects?.get(key);
      bounds?.delete(binding.metadata.name);
      if (bounds?.size === 0) subjects?.delete(key);
    }
    if (subjects?.size === 0) this.#scopes.delete(scope);
  }

  /** Bindings of the scope that apply to the user, in name order as a list would show them. */
  of(user: UserInfo, scope: string): Bound[] {
    const subjects = this.#scopes.get(scope);
    if (!subjects) return [];
    const found = new Map<string, Bound>();
    for (const key of [`u:${user.name}`, ...user.groups.map((g) => `g:${g}`)]) {
      for (const [name, bound] of subjects.get(key) ?? []) if (!found.has(name)) found.set(name, bound);
    }
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, bound]) => bound);
  }
}

function subjectKey({ kind, name, namespace }: Subject, scope: string): string | undefined {
  if (kind === "User") return `u:${name}`;
  if (kind === "Group") return `g:${name}`;
  const home = namespace || scope;
  return kind === "ServiceAccount" && home !== "" ? `u:${serviceAccountUser(home, name)}` : undefined;
}

function questionOf(request: AccessRequest): string {
  if (request.path !== undefined) return `${request.verb} ${request.path}`;
  return `${request.verb} ${request.group}/${request.resource}/${request.subresource} ${request.namespace}`;
}

function decide({ grants, errors }: Rights, request: AccessRequest): Decision {
  for (const { rules, reason } of grants) if (rules.some((rule) => ruleAllows(rule, request))) return { allowed: true, reason };
  if (errors.length === 0) return NO_OPINION;
  return { allowed: false, reason: `RBAC: ${errors.length === 1 ? errors[0] : `[${[...new Set(errors)].join(", ")}]`}` };
}

/** True when a rule of the right verb and kind names objects, and none allows all of them. */
function dependsOnName({ grants }: Rights, request: AccessRequest): boolean {
  if (request.path !== undefined) return false;
  const matching = grants.flatMap((g) => g.rules).filter((rule) => (rule.verbs.includes("*") || rule.verbs.includes(request.verb)) && allowsKind(rule, request));
  return matching.length > 0 && !matching.some((rule) => allowsName(rule, ""));
}

/** Upstream writes name before namespace here. */
function describe({ binding, subject }: Bound): string {
  const { name, namespace } = binding.metadata;
  const { roleRef } = binding;
  const kind = namespace ? "RoleBinding" : "ClusterRoleBinding";
  const who = subject.kind === "ServiceAccount" ? `${subject.name}/${subject.namespace || (namespace ?? "")}` : subject.name;
  const quoted = JSON.stringify(namespace ? `${name}/${namespace}` : name);
  return `${kind} ${quoted} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${subject.kind} ${JSON.stringify(who)}`;
}

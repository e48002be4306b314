// Brings a cluster's roles and bindings up to the default policy at start: creates what is missing, adds what lacks.
// What an administrator added stays; what carries autoupdate=false is left alone, as upstream reconciles.
import type { Client } from "../../../../api/client/client.ts";
import { isAlreadyExists, isConflict, isNotFound } from "../../../../api/errors.ts";
import type { KindInfo } from "../../../../api/kinds.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { ClusterRole, KubeObject, PolicyRule, RoleBinding, Stored, Subject } from "../../../../api/types.ts";
import { uncovered } from "../rules.ts";
import { defaultPolicy } from "./defaults.ts";

const GROUP = "rbac.authorization.k8s.io";
const AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate";
const NAMESPACE = builtinKind("", "v1", "Namespace");
const ATTEMPTS = 5;

type Governed = KubeObject & Partial<Pick<ClusterRole, "rules" | "aggregationRule">> & Partial<Pick<RoleBinding, "subjects" | "roleRef">>;

/** Writes the default policy; safe to run twice and at once from several control planes. */
export async function ensureRbac(client: Client): Promise<void> {
  const policy = defaultPolicy();
  await Promise.all([
    ensureAll(client, rbacKind("ClusterRole"), policy.clusterRoles),
    ensureAll(client, rbacKind("ClusterRoleBinding"), policy.clusterRoleBindings),
    inNamespaces(client, ["kube-system", "kube-public"]).then(() => Promise.all([
      ensureAll(client, rbacKind("Role"), policy.roles),
      ensureAll(client, rbacKind("RoleBinding"), policy.roleBindings),
    ])),
  ]);
}

function rbacKind(name: string): KindInfo {
  return builtinKind(GROUP, "v1", name);
}

function nameOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

/** One list finds what is there; only what is missing or outdated is written. */
async function ensureAll(client: Client, kind: KindInfo, wanted: readonly Governed[]): Promise<void> {
  const { items } = await client.list<Governed>(kind);
  const existing = new Map(items.map((item) => [nameOf(item), item]));
  await Promise.all(wanted.map((object) => ensureOne({ client, kind, object, found: existing.get(nameOf(object)) })));
}

async function ensureOne(o: { client: Client; kind: KindInfo; object: Governed; found: Stored<Governed> | undefined }): Promise<void> {
  const { client, kind, object } = o;
  const { name = "", namespace } = object.metadata;
  let { found } = o;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const next = found ? merged(found, object) : object;
    if (!next) return;
    try {
      if (!found) await client.create(kind, next);
      else if (isRebound(found, object)) await replace(client, kind, found, next);
      else await client.update(kind, next);
      return;
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) throw error;
      found = await client.get<Governed>(kind, { name, namespace }).catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)));
    }
  }
  throw new Error(`${kind.plural} ${JSON.stringify(name)} was changed by others ${ATTEMPTS} times in a row while it was brought up to date`);
}

/** A binding's role cannot be changed in place. */
async function replace(client: Client, kind: KindInfo, found: Stored<Governed>, next: Governed): Promise<void> {
  const { name, namespace, uid } = found.metadata;
  await client.delete(kind, { name, namespace }, { preconditions: { uid } });
  const { uid: _uid, resourceVersion: _version, creationTimestamp: _created, ...metadata } = next.metadata;
  await client.create(kind, { ...next, metadata });
}

function isRebound(found: Governed, object: Governed): boolean {
  return object.roleRef !== undefined && JSON.stringify([found.roleRef?.kind, found.roleRef?.name]) !== JSON.stringify([object.roleRef.kind, object.roleRef.name]);
}

/** What the object should become; undefined when it is good as it is. */
function merged(found: Stored<Governed>, object: Governed): Governed | undefined {
  if (found.metadata.annotations?.[AUTOUPDATE] === "false") return undefined;
  // The rules of aggregated roles belong to the controller that sums them; they are written once, at creation.
  const missingRules = object.aggregationRule ? [] : uncovered(found.rules ?? [], object.rules ?? []);
  const missingSubjects = (object.subjects ?? []).filter((s) => !(found.subjects ?? []).some((f) => isSameSubject(f, s)));
  const lacksLabels = Object.entries(object.metadata.labels ?? {}).some(([key, value]) => found.metadata.labels?.[key] !== value);
  const lacksAggregation = object.aggregationRule !== undefined && JSON.stringify(found.aggregationRule) !== JSON.stringify(object.aggregationRule);
  if (missingRules.length === 0 && missingSubjects.length === 0 && !lacksLabels && !lacksAggregation && !isRebound(found, object)) return undefined;
  const rules: PolicyRule[] = [...(found.rules ?? []), ...missingRules];
  return {
    ...found,
    metadata: { ...found.metadata, labels: { ...found.metadata.labels, ...object.metadata.labels }, annotations: { ...object.metadata.annotations, ...found.metadata.annotations } },
    ...(object.rules && { rules }),
    ...(lacksAggregation && { aggregationRule: object.aggregationRule }),
    ...(object.roleRef && { roleRef: object.roleRef, subjects: [...(found.subjects ?? []), ...missingSubjects] }),
  };
}

function isSameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && a.name === b.name && (a.namespace ?? "") === (b.namespace ?? "");
}

async function inNamespaces(client: Client, names: readonly string[]): Promise<void> {
  await Promise.all(names.map(async (name) => {
    await client.create(NAMESPACE, { metadata: { name } }).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
  }));
}

import { expect, test } from "bun:test";
import { MemoryClient, type Call } from "../../../../api/client/testing.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { ClusterRole, ClusterRoleBinding } from "../../../../api/types.ts";
import { defaultPolicy } from "./defaults.ts";
import { ensureRbac } from "./ensure.ts";

const ROLE = builtinKind("rbac.authorization.k8s.io", "v1", "ClusterRole");
const BINDING = builtinKind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding");
const WRITES = new Set<Call["verb"]>(["create", "update", "patch", "delete"]);

async function ensured() {
  const client = new MemoryClient();
  await ensureRbac(client);
  const writes: string[] = [];
  client.intercept = ({ verb, kind, name }) => {
    if (WRITES.has(verb) && kind.kind !== "Namespace") writes.push(`${verb} ${kind.plural} ${name}`);
  };
  return { client, writes, again: () => ensureRbac(client) };
}

test("an empty cluster gets every default, and a second run writes nothing", async () => {
  const { client, writes, again } = await ensured();
  expect((await client.list(ROLE)).items.length).toBe(defaultPolicy().clusterRoles.length);
  expect((await client.list(BINDING)).items.length).toBe(defaultPolicy().clusterRoleBindings.length);
  await again();
  expect(writes).toEqual([]);
});

test("what lacks is added, what an administrator added stays", async () => {
  const { client, again } = await ensured();
  const view = await client.get<ClusterRole>(ROLE, { name: "system:kube-dns" });
  const own = { verbs: ["get"], apiGroups: ["example.com"], resources: ["things"] };
  await client.update(ROLE, { ...view, rules: [own] });
  const binding = await client.get<ClusterRoleBinding>(BINDING, { name: "cluster-admin" });
  const ann = { kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "ann" };
  await client.update(BINDING, { ...binding, subjects: [ann] });
  await again();
  const { rules = [] } = await client.get<ClusterRole>(ROLE, { name: "system:kube-dns" });
  expect(rules).toContainEqual(own);
  expect(rules.some((r) => r.resources?.includes("services"))).toBe(true);
  const { subjects } = await client.get<ClusterRoleBinding>(BINDING, { name: "cluster-admin" });
  expect(subjects?.map((s) => s.name)).toEqual(["ann", "system:masters"]);
});

test("what is marked as not to be updated is left alone", async () => {
  const { client, writes, again } = await ensured();
  const role = await client.get<ClusterRole>(ROLE, { name: "view" });
  await client.update(ROLE, { ...role, rules: [], metadata: { ...role.metadata, labels: {}, annotations: { "rbac.authorization.kubernetes.io/autoupdate": "false" } } });
  writes.length = 0;
  await again();
  expect(writes).toEqual([]);
});

test("a binding to another role is made anew, because it cannot be changed", async () => {
  const { client, writes, again } = await ensured();
  const binding = await client.get<ClusterRoleBinding>(BINDING, { name: "system:discovery" });
  await client.update(BINDING, { ...binding, roleRef: { ...binding.roleRef, name: "view" } });
  writes.length = 0;
  await again();
  expect(writes).toEqual(["delete clusterrolebindings system:discovery", "create clusterrolebindings system:discovery"]);
  expect((await client.get<ClusterRoleBinding>(BINDING, { name: "system:discovery" })).roleRef.name).toBe("system:discovery");
});

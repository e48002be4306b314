import { describe, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Attributes } from "../admission/plugin.ts";
import type { UserInfo } from "../request.ts";
import { refusal } from "../http/chain.ts";
import type { AccessRequest, Authorizer, Decision } from "./auth.ts";
import { UnionAuthorizer } from "./authorize.ts";
import { rbacEscalation } from "./escalation.ts";
import { FakeInformers } from "./fakes.ts";
import { NodeAuthorizer } from "./node.ts";
import { NodeGraph } from "./nodegraph.ts";
import { aggregatedRules, defaultPolicy } from "./policy/defaults.ts";
import { RbacAuthorizer } from "./rbac.ts";
import { reviewHandlers } from "./reviews.ts";

const RBAC = "rbac.authorization.k8s.io/v1";
const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups: [...groups, "system:authenticated"] });
const robot = user("system:serviceaccount:team:robot", "system:serviceaccounts", "system:serviceaccounts:team");
const kubelet = (node: string): UserInfo => user(`system:node:${node}`, "system:nodes");

function setUp(withDefaults = true) {
  const objects = new FakeInformers();
  const rbac = new RbacAuthorizer(objects);
  const authorizer = new UnionAuthorizer([new NodeAuthorizer(new NodeGraph(objects)), rbac]);
  if (withDefaults) {
    const policy = defaultPolicy();
    for (const [kind, items] of [["ClusterRole", policy.clusterRoles], ["ClusterRoleBinding", policy.clusterRoleBindings], ["Role", policy.roles], ["RoleBinding", policy.roleBindings]] as const) {
      for (const item of items) objects.put(`${RBAC}/${kind}`, item as never);
    }
  }
  return { objects, rbac, authorizer };
}

/** `get apps/deployments/scale team x`: verb, group/resource/subresource, namespace, name; `-` for none. */
function asking(who: UserInfo, text: string, fieldSelector?: string): AccessRequest {
  const [verb = "", what = "", namespace = "-", name = "-"] = text.split(" ");
  if (what.startsWith("/")) return { user: who, verb, path: what };
  const [group = "", resource = "", subresource = ""] = what.split("/");
  const none = (v: string): string => (v === "-" ? "" : v);
  return { user: who, verb, group: group === "core" ? "" : group, version: "v1", resource, subresource, namespace: none(namespace), name: none(name), ...(fieldSelector && { fieldSelector }) };
}

const decide = (authorizer: Authorizer, request: AccessRequest) => authorizer.authorize(request) as Decision;
const may = (authorizer: Authorizer, who: UserInfo, text: string, fieldSelector?: string): boolean => decide(authorizer, asking(who, text, fieldSelector)).allowed;

const role = (name: string, rules: object[], namespace?: string) => ({ metadata: { name, ...(namespace && { namespace }) }, rules });
const binding = (name: string, roleRef: string, subjects: object[], namespace?: string) => {
  const [kind, roleName] = roleRef.split("/");
  return { metadata: { name, ...(namespace && { namespace }) }, roleRef: { apiGroup: "rbac.authorization.k8s.io", kind, name: roleName }, subjects };
};
const toUser = (name: string) => ({ kind: "User", apiGroup: "rbac.authorization.k8s.io", name });

describe("the matrix of default rights", () => {
  const { objects, authorizer } = setUp();
  for (const [name, roleName] of [["ann", "admin"], ["ed", "edit"], ["vi", "view"]]) objects.put(`${RBAC}/RoleBinding`, binding(`${name}s`, `ClusterRole/${roleName}`, [toUser(name as string)], "team"));
  const who: Record<string, UserInfo> = { root: { name: "root", groups: ["system:masters"] }, ann: user("ann"), ed: user("ed"), vi: user("vi"), nobody: user("nobody"), robot, anonymous: { name: "system:anonymous", groups: ["system:unauthenticated"] } };
  const all = Object.keys(who);

  test.each<[string, string[]]>([
    ["get core/pods team", ["root", "ann", "ed", "vi"]],
    ["get core/pods other", ["root"]],
    ["list core/pods -", ["root"]],
    ["get core/pods/log team p", ["root", "ann", "ed", "vi"]],
    ["create core/pods/exec team p", ["root", "ann", "ed"]],
    ["get core/secrets team", ["root", "ann", "ed"]],
    ["create apps/deployments team", ["root", "ann", "ed"]],
    ["patch apps/deployments/scale team d", ["root", "ann", "ed"]],
    ["deletecollection core/configmaps team", ["root", "ann", "ed"]],
    ["create rbac.authorization.k8s.io/rolebindings team", ["root", "ann"]],
    ["create core/resourcequotas team", ["root"]],
    ["get core/nodes - n", ["root"]],
    ["get core/namespaces team team", ["root", "ann", "ed", "vi"]],
    ["create authorization.k8s.io/selfsubjectaccessreviews -", ["root", "ann", "ed", "vi", "nobody", "robot"]],
    ["create authentication.k8s.io/selfsubjectreviews -", ["root", "ann", "ed", "vi", "nobody", "robot"]],
    ["get /version", all],
    ["get /healthz", all],
    ["get /livez", all],
    ["get /apis/apps/v1", ["root", "ann", "ed", "vi", "nobody", "robot"]],
    ["get /openapi/v3", ["root", "ann", "ed", "vi", "nobody", "robot"]],
    ["get /openid/v1/jwks", ["root", "robot"]],
    ["get /metrics", ["root"]],
    ["post /version", ["root"]],
  ])("%s", (text, allowed) => {
    expect(all.filter((name) => may(authorizer, who[name] as UserInfo, text))).toEqual(allowed);
  });
});

describe("RBAC", () => {
  test("says which binding allowed what", () => {
    const { objects, authorizer } = setUp(false);
    objects.put(`${RBAC}/ClusterRole`, role("reader", [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }]));
    objects.put(`${RBAC}/ClusterRoleBinding`, binding("all", "ClusterRole/reader", [{ kind: "Group", name: "dev" }]));
    objects.put(`${RBAC}/RoleBinding`, binding("some", "ClusterRole/reader", [{ kind: "ServiceAccount", name: "robot" }], "team"));
    expect(decide(authorizer, asking(user("ann", "dev"), "get core/pods team"))).toEqual({ allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "reader" to Group "dev"' });
    expect(decide(authorizer, asking(robot, "get core/pods team"))).toEqual({ allowed: true, reason: 'RBAC: allowed by RoleBinding "some/team" of ClusterRole "reader" to ServiceAccount "robot/team"' });
  });

  test("says when a binding points at a role that is not there", () => {
    const { objects, authorizer } = setUp(false);
    objects.put(`${RBAC}/RoleBinding`, binding("lost", "Role/gone", [toUser("ann")], "team"));
    expect(decide(authorizer, asking(user("ann"), "get core/pods team"))).toEqual({ allowed: false, reason: 'RBAC: role.rbac.authorization.k8s.io "gone" not found' });
  });

  test("follows every change at once", () => {
    const { objects, authorizer } = setUp(false);
    const ann = user("ann");
    const check = () => may(authorizer, ann, "get core/pods team p");
    const rules = (verb: string) => role("r", [{ verbs: [verb], apiGroups: [""], resources: ["pods"] }], "team");
    expect(check()).toBe(false);
    objects.put(`${RBAC}/RoleBinding`, binding("b", "Role/r", [toUser("ann")], "team"));
    expect(check()).toBe(false);
    objects.put(`${RBAC}/Role`, rules("get"));
    expect(check()).toBe(true);
    objects.put(`${RBAC}/Role`, rules("list"));
    expect(check()).toBe(false);
    objects.put(`${RBAC}/Role`, rules("*"));
    expect(check()).toBe(true);
    objects.put(`${RBAC}/RoleBinding`, binding("b", "Role/r", [toUser("bob")], "team"));
    expect(check()).toBe(false);
    objects.put(`${RBAC}/RoleBinding`, binding("b", "Role/r", [toUser("ann")], "team"));
    objects.remove(`${RBAC}/Role`, "team/r");
    expect(check()).toBe(false);
  });

  test("with names allows those objects only, whatever was asked before", () => {
    const { objects, authorizer } = setUp(false);
    objects.put(`${RBAC}/Role`, role("r", [{ verbs: ["get", "list"], apiGroups: [""], resources: ["configmaps"], resourceNames: ["a", "b"] }], "team"));
    objects.put(`${RBAC}/RoleBinding`, binding("b", "Role/r", [toUser("ann")], "team"));
    const ann = user("ann");
    expect(["a", "c", "b", "a", "-"].map((name) => may(authorizer, ann, `get core/configmaps team ${name}`))).toEqual([true, false, true, true, false]);
    expect(may(authorizer, ann, "list core/configmaps team")).toBe(false);
    expect(may(authorizer, ann, "list core/configmaps team", "metadata.name=a")).toBe(true);
  });

  test("matches subresources by their full name, with a star for any parent", () => {
    const { objects, authorizer } = setUp(false);
    objects.put(`${RBAC}/ClusterRole`, role("r", [{ verbs: ["get"], apiGroups: ["*"], resources: ["*/scale", "pods"] }]));
    objects.put(`${RBAC}/ClusterRoleBinding`, binding("b", "ClusterRole/r", [toUser("ann")]));
    const ann = user("ann");
    expect(["apps/deployments/scale", "core/pods", "core/pods/log", "apps/deployments"].map((what) => may(authorizer, ann, `get ${what} team x`))).toEqual([true, true, false, false]);
  });
});

describe("a refusal", () => {
  test.each([
    ["list core/pods default", 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"'],
    ["get apps/deployments/scale team web", 'deployments.apps "web" is forbidden: User "ann" cannot get resource "deployments/scale" in API group "apps" in the namespace "team"'],
    ["list core/nodes -", 'nodes is forbidden: User "ann" cannot list resource "nodes" in API group "" at the cluster scope'],
    ["get /metrics", 'forbidden: User "ann" cannot get path "/metrics"'],
  ])("of %s is worded as upstream", (text, message) => {
    expect(refusal(asking(user("ann"), text), "")).toMatchObject({ code: 403, reason: "Forbidden", message });
  });

  test("carries the reason", () => {
    expect(refusal(asking(kubelet("n1"), "get core/secrets team s"), "no relationship found").message).toEndWith('in the namespace "team": no relationship found');
  });
});

describe("a node", () => {
  const pod = (name: string, nodeName: string, spec: object = {}) => ({ metadata: { name, namespace: "team" }, spec: { nodeName, serviceAccountName: "robot", containers: [], ...spec } });

  test("may touch what its own pods refer to, and nothing of the others'", () => {
    const { objects, authorizer } = setUp();
    objects.put("Pod", pod("mine", "n1", {
      imagePullSecrets: [{ name: "pull" }],
      containers: [{ name: "c", envFrom: [{ secretRef: { name: "env" } }], env: [{ name: "x", valueFrom: { configMapKeyRef: { name: "cm", key: "k" } } }] }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }, { name: "p", projected: { sources: [{ configMap: { name: "projected" } }] } }, { name: "s", secret: { secretName: "vol" } }],
    }));
    objects.put("PersistentVolume", { metadata: { name: "pv" }, spec: { claimRef: { namespace: "team", name: "data" }, csi: { nodePublishSecretRef: { namespace: "storage", name: "csi" } } } });
    objects.put("Pod", pod("theirs", "n2", { volumes: [{ name: "s", secret: { secretName: "theirs" } }], serviceAccountName: "other" }));
    const n1 = kubelet("n1");
    const allowed = [
      "get core/secrets team pull", "get core/secrets team env", "watch core/secrets team vol", "get core/configmaps team cm", "list core/configmaps team projected",
      "get core/persistentvolumeclaims team data", "patch core/persistentvolumeclaims/status team data", "get core/persistentvolumes - pv", "get core/secrets storage csi",
      "create core/serviceaccounts/token team robot", "get core/serviceaccounts team robot", "get core/pods team mine",
      "get core/nodes - n1", "patch core/nodes/status - n1", "update coordination.k8s.io/leases kube-node-lease n1", "create core/events team",
      "create certificates.k8s.io/certificatesigningrequests -", "list core/services -", "watch discovery.k8s.io/endpointslices -", "create authentication.k8s.io/tokenreviews -",
    ];
    const refused = [
      "get core/secrets team theirs", "get core/secrets team -", "list core/secrets -", "create core/secrets team vol", "get core/configmaps team other", "get core/persistentvolumes - other",
      "create core/serviceaccounts/token team other", "get core/pods team theirs", "list core/pods -", "delete core/nodes - n2",
      "update coordination.k8s.io/leases kube-node-lease n2", "get coordination.k8s.io/leases kube-system n1", "create apps/deployments team", "get core/pods/exec team mine",
    ];
    expect(allowed.filter((text) => !may(authorizer, n1, text))).toEqual([]);
    expect(refused.filter((text) => may(authorizer, n1, text))).toEqual([]);
    expect(may(authorizer, n1, "list core/pods -", "spec.nodeName=n1")).toBe(true);
    expect(may(authorizer, n1, "list core/pods -", "spec.nodeName=n2")).toBe(false);
  });

  test("loses what it could see with the last pod that referred to it", () => {
    const { objects, authorizer } = setUp();
    const volumes = [{ name: "s", secret: { secretName: "shared" } }];
    for (const name of ["a", "b"]) objects.put("Pod", pod(name, "n1", { volumes }));
    const check = () => may(authorizer, kubelet("n1"), "get core/secrets team shared");
    expect(check()).toBe(true);
    objects.remove("Pod", "team/a");
    expect(check()).toBe(true);
    objects.remove("Pod", "team/b");
    expect(decide(authorizer, asking(kubelet("n1"), "get core/secrets team shared")).reason).toBe("no relationship found between node 'n1' and this object");
  });

  test("gains nothing from pods it makes itself", () => {
    const { objects, authorizer } = setUp();
    objects.put("Pod", { ...pod("mirror", "n1", { volumes: [{ name: "s", secret: { secretName: "wanted" } }] }), metadata: { name: "mirror", namespace: "team", annotations: { "kubernetes.io/config.mirror": "x" } } });
    expect(may(authorizer, kubelet("n1"), "get core/pods team mirror")).toBe(true);
    expect(may(authorizer, kubelet("n1"), "get core/secrets team wanted")).toBe(false);
  });

  test("is not one by name alone", () => {
    const { objects, authorizer } = setUp();
    objects.put("Pod", pod("mine", "n1"));
    expect(may(authorizer, user("system:node:n1"), "get core/pods team mine")).toBe(false);
  });
});

describe("reviews of access", () => {
  const { objects, authorizer, rbac } = setUp();
  objects.put(`${RBAC}/RoleBinding`, binding("vis", "ClusterRole/view", [toUser("vi")], "team"));
  const handlers = reviewHandlers({ tokens: undefined as never, audiences: [], authorizer, rbac });
  const ask = async (plural: string, spec: object, request: object = {}): Promise<unknown> => {
    try {
      return await handlers[plural]?.({ user: user("vi"), namespace: "", ...request } as never, { metadata: {}, spec } as never);
    } catch (error) {
      return error;
    }
  };
  const pods = (verb: string, namespace = "team") => ({ resourceAttributes: { verb, resource: "pods", namespace } });

  test("answer for oneself and for others", async () => {
    expect(await ask("selfsubjectaccessreviews", pods("list"))).toMatchObject({ status: { allowed: true, reason: 'RBAC: allowed by RoleBinding "vis/team" of ClusterRole "view" to User "vi"' } });
    expect(await ask("selfsubjectaccessreviews", pods("delete"))).toMatchObject({ status: { allowed: false } });
    expect(await ask("subjectaccessreviews", { ...pods("list"), user: "nobody" })).toMatchObject({ status: { allowed: false } });
    expect(await ask("subjectaccessreviews", { nonResourceAttributes: { verb: "get", path: "/metrics" }, groups: ["system:monitoring"] })).toMatchObject({ status: { allowed: true } });
    expect(await ask("localsubjectaccessreviews", { ...pods("list"), user: "vi" }, { namespace: "team" })).toMatchObject({ status: { allowed: true } });
  });

  test.each<[string, [string, object, object?], string]>([
    ["neither", ["selfsubjectaccessreviews", {}], 'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified'],
    ["nobody", ["subjectaccessreviews", pods("get")], 'SubjectAccessReview.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified'],
    ["another namespace", ["localsubjectaccessreviews", { ...pods("get", "other"), user: "vi" }, { namespace: "team" }], 'LocalSubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace'],
  ])("refuse questions about %s", async (_what, question, message) => {
    expect(await ask(...question)).toMatchObject({ code: 422, message });
  });

  test("tell who one is and list what one may", async () => {
    expect(await ask("selfsubjectreviews", {})).toMatchObject({ status: { userInfo: { username: "vi", groups: ["system:authenticated"] } } });
    const rules = (await ask("selfsubjectrulesreviews", { namespace: "team" })) as { status: { resourceRules: { resources: string[] }[]; nonResourceRules: object[]; incomplete: boolean } };
    expect(rules.status.incomplete).toBe(false);
    expect(rules.status.resourceRules.some((r) => r.resources.includes("pods/log"))).toBe(true);
    expect(rules.status.nonResourceRules.length).toBeGreaterThan(0);
  });
});

describe("granting rights", () => {
  const { objects, authorizer, rbac } = setUp();
  objects.put(`${RBAC}/RoleBinding`, binding("anns", "ClusterRole/admin", [toUser("ann")], "team"));
  const plugin = rbacEscalation(rbac, authorizer);
  const write = async (who: UserInfo, kind: string, object: Partial<AnyObject>, { namespace = "team", oldObject }: { namespace?: string; oldObject?: object } = {}): Promise<unknown> => {
    const attributes = { kind: builtinKind("rbac.authorization.k8s.io", "v1", kind), operation: oldObject ? "UPDATE" : "CREATE", subresource: "", namespace, name: "x", user: who, object: { metadata: {}, ...object }, oldObject: oldObject && { metadata: {}, ...oldObject } } as unknown as Attributes;
    if (!plugin.concerns?.(attributes) || !plugin.handles?.(attributes)) return undefined;
    try {
      return await plugin.validate?.(attributes, undefined as never);
    } catch (error) {
      return error;
    }
  };
  const secrets = { rules: [{ verbs: ["get", "list"], apiGroups: [""], resources: ["secrets"] }] };
  const nodes = { rules: [{ verbs: ["get", "list"], apiGroups: [""], resources: ["nodes"] }] };

  test("one holds is fine, others are named", async () => {
    expect(await write(user("ann"), "Role", secrets)).toBeUndefined();
    expect(await write(user("ann"), "Role", nodes)).toMatchObject({
      code: 403,
      message: 'roles.rbac.authorization.k8s.io "x" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}',
    });
    expect(await write({ name: "root", groups: ["system:masters"] }, "ClusterRole", nodes, { namespace: "" })).toBeUndefined();
  });

  test("by binding takes the rights or the verb bind", async () => {
    const to = (name: string) => ({ roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name } });
    expect(await write(user("ann"), "RoleBinding", to("view"))).toBeUndefined();
    expect(await write(user("ann"), "RoleBinding", to("cluster-admin"))).toMatchObject({ code: 403 });
    objects.put(`${RBAC}/Role`, role("binder", [{ verbs: ["bind"], apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], resourceNames: ["cluster-admin"] }], "team"));
    objects.put(`${RBAC}/RoleBinding`, binding("binders", "Role/binder", [toUser("ann")], "team"));
    expect(await write(user("ann"), "RoleBinding", to("cluster-admin"))).toBeUndefined();
  });

  test("is not what removing a finalizer is", async () => {
    const old = { ...nodes, metadata: { finalizers: ["x"] } };
    expect(await write(user("ann"), "Role", { ...nodes, metadata: {} }, { oldObject: old })).toBeUndefined();
    expect(await write(user("ann"), "Role", { ...nodes, metadata: { labels: { a: "b" } } }, { oldObject: old })).toMatchObject({ code: 403 });
  });
});

describe("the default policy", () => {
  test("sums roles into admin, edit and view", () => {
    const { clusterRoles } = defaultPolicy();
    const named = (name: string) => clusterRoles.find((r) => r.metadata.name === name);
    const [admin, edit, view] = ["admin", "edit", "view"].map((name) => named(name)?.rules ?? []);
    expect(admin?.length).toBe((edit?.length ?? 0) + 2);
    expect(edit?.length).toBeGreaterThan(view?.length ?? 0);
    expect(aggregatedRules(named("view") as never, clusterRoles)).toEqual(view as never);
    expect(named("edit")?.metadata.labels).toMatchObject({ "rbac.authorization.k8s.io/aggregate-to-admin": "true", "kubernetes.io/bootstrapping": "rbac-defaults" });
  });

  test("names every role it binds", () => {
    const { clusterRoles, clusterRoleBindings, roles, roleBindings } = defaultPolicy();
    const known = new Set([...clusterRoles.map((r) => r.metadata.name), ...roles.map((r) => `${r.metadata.namespace}/${r.metadata.name}`)]);
    expect(clusterRoleBindings.filter((b) => !known.has(b.roleRef.name))).toEqual([]);
    expect(roleBindings.filter((b) => !known.has(`${b.metadata.namespace}/${b.roleRef.name}`))).toEqual([]);
  });
});

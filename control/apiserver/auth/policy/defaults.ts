// The default roles and bindings as objects: upstream's, and the few that let minik8s' own nodes join and serve.
// Pure: what is missing or outdated in a cluster is found and written elsewhere.
import type { ClusterRole, ClusterRoleBinding, KubeObject, PolicyRule, Role, RoleBinding, Subject } from "../../../../api/types.ts";
import { AGGREGATED, CLUSTER_ROLES } from "./clusterroles.ts";
import { CONTROLLER_ROLES } from "./controllerroles.ts";
import { EVENTS, ruleOf } from "./notation.ts";

const GROUP = "rbac.authorization.k8s.io";
const AGGREGATE_TO = `${GROUP}/aggregate-to-`;
const SYSTEM = "kube-system";
const PUBLIC = "kube-public";

/** Everything a cluster starts with. */
export interface DefaultPolicy {
  readonly clusterRoles: readonly ClusterRole[];
  readonly clusterRoleBindings: readonly ClusterRoleBinding[];
  readonly roles: readonly Role[];
  readonly roleBindings: readonly RoleBinding[];
}

/** The default policy. */
export function defaultPolicy(): DefaultPolicy {
  return { clusterRoles: clusterRoles(), clusterRoleBindings: clusterRoleBindings(), roles: roles(), roleBindings: roleBindings() };
}

/** The rules an aggregated role has for these parts: every rule of every role its selectors select, each once. */
export function aggregatedRules(role: ClusterRole, parts: readonly ClusterRole[]): PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const rules = new Map<string, PolicyRule>();
  for (const selector of selectors) {
    for (const part of [...parts].sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1))) {
      const isSelected = part.metadata.name !== role.metadata.name && Object.entries(selector.matchLabels ?? {}).every(([key, value]) => part.metadata.labels?.[key] === value);
      if (isSelected) for (const rule of part.rules ?? []) rules.set(JSON.stringify(rule), rule);
    }
  }
  return [...rules.values()];
}

function clusterRoles(): ClusterRole[] {
  const plain = Object.entries(CLUSTER_ROLES).map(([name, lines]): ClusterRole => {
    const target = /^system:aggregate-to-(.*)$/.exec(name)?.[1];
    return { ...head("ClusterRole", name, target ? { [AGGREGATE_TO + target]: "true" } : {}), rules: lines.map(ruleOf) };
  });
  const controllers = Object.entries(CONTROLLER_ROLES).map(([name, lines]): ClusterRole => ({ ...head("ClusterRole", `system:controller:${name}`), rules: lines.map(ruleOf) }));
  const own = Object.entries(NODE_ROLES).map(([name, lines]): ClusterRole => ({ ...head("ClusterRole", name), rules: lines.map(ruleOf) }));
  return [...plain, ...controllers, ...own, METRICS_READER, ...aggregatedRoles([...plain, METRICS_READER])];
}

/** `view` is part of `edit` and `edit` of `admin`, so they are summed in that order. */
function aggregatedRoles(parts: readonly ClusterRole[]): ClusterRole[] {
  const known = [...parts];
  for (const name of ["view", "edit", "admin"]) {
    const { into } = AGGREGATED[name] ?? {};
    const role: ClusterRole = {
      ...head("ClusterRole", name, into ? { [AGGREGATE_TO + into]: "true" } : {}),
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [AGGREGATE_TO + name]: "true" } }] },
    };
    known.push({ ...role, rules: aggregatedRules(role, known) });
  }
  return known.slice(parts.length);
}

/** Comes with metrics-server elsewhere; here its API is part of the server. */
const METRICS_READER: ClusterRole = {
  ...head("ClusterRole", "system:aggregated-metrics-reader", Object.fromEntries(["admin", "edit", "view"].map((name) => [AGGREGATE_TO + name, "true"]))),
  rules: [ruleOf("read metrics.k8s.io nodes pods")],
};

/** What a node serves cluster networking with: the proxy, routes to other nodes and cluster DNS run in the agent. */
const NODE_ROLES: Readonly<Record<string, readonly string[]>> = {
  "minik8s:node-network": ["list,watch core endpoints namespaces services", "read core nodes", "list,watch discovery.k8s.io endpointslices", "list,watch networking.k8s.io networkpolicies servicecidrs", EVENTS],
};

const group = (name: string): Subject => ({ apiGroup: GROUP, kind: "Group", name });
const user = (name: string): Subject => ({ apiGroup: GROUP, kind: "User", name });
const account = (name: string, namespace = SYSTEM): Subject => ({ kind: "ServiceAccount", name, namespace });

function bindCluster(name: string, subjects: Subject[], role = name): ClusterRoleBinding {
  return { ...head("ClusterRoleBinding", name), ...(subjects.length > 0 && { subjects }), roleRef: { apiGroup: GROUP, kind: "ClusterRole", name: role } };
}

function clusterRoleBindings(): ClusterRoleBinding[] {
  const everybody = [group("system:authenticated"), group("system:unauthenticated")];
  const csr = "system:certificates.k8s.io:certificatesigningrequests";
  return [
    bindCluster("cluster-admin", [group("system:masters")]),
    bindCluster("system:monitoring", [group("system:monitoring")]),
    bindCluster("system:discovery", [group("system:authenticated")]),
    bindCluster("system:basic-user", [group("system:authenticated")]),
    bindCluster("system:public-info-viewer", everybody),
    bindCluster("system:node-proxier", [user("system:kube-proxy")]),
    bindCluster("system:kube-controller-manager", [user("system:kube-controller-manager")]),
    bindCluster("system:kube-dns", [account("kube-dns")]),
    bindCluster("system:kube-scheduler", [user("system:kube-scheduler")]),
    bindCluster("system:volume-scheduler", [user("system:kube-scheduler")]),
    bindCluster("system:node", []),
    bindCluster("system:service-account-issuer-discovery", [group("system:serviceaccounts")]),
    ...Object.keys(CONTROLLER_ROLES).map((name) => bindCluster(`system:controller:${name}`, [account(name)])),
    bindCluster("minik8s:node-bootstrapper", [group("system:bootstrappers:minik8s:default-node-token")], "system:node-bootstrapper"),
    bindCluster("minik8s:node-autoapprove-bootstrap", [group("system:bootstrappers:minik8s:default-node-token")], `${csr}:nodeclient`),
    bindCluster("minik8s:node-autoapprove-certificate-rotation", [group("system:nodes")], `${csr}:selfnodeclient`),
    bindCluster("minik8s:node-network", [group("system:nodes")]),
  ];
}

function role(name: string, lines: string[], namespace = SYSTEM): Role {
  return { ...head("Role", name, {}, namespace), rules: lines.map(ruleOf) };
}

function roles(): Role[] {
  const leases = ["create,get,list,update,watch coordination.k8s.io leases", "create,get,list,update,watch coordination.k8s.io leasecandidates"];
  return [
    role("extension-apiserver-authentication-reader", ["read core configmaps = extension-apiserver-authentication"]),
    role("system:controller:bootstrap-signer", ["read core secrets"]),
    role("system:controller:cloud-provider", ["create,get,list,watch core configmaps"]),
    role("system:controller:token-cleaner", ["delete,get,list,watch core secrets", EVENTS]),
    role("system::leader-locking-kube-controller-manager", leases),
    role("system::leader-locking-kube-scheduler", leases),
    role("system:controller:bootstrap-signer", ["read core configmaps", "update core configmaps = cluster-info", EVENTS], PUBLIC),
  ];
}

function bind(name: string, subjects: Subject[], options: { role?: string; namespace?: string } = {}): RoleBinding {
  return { ...head("RoleBinding", name, {}, options.namespace ?? SYSTEM), subjects, roleRef: { apiGroup: GROUP, kind: "Role", name: options.role ?? name } };
}

function roleBindings(): RoleBinding[] {
  const manager = user("system:kube-controller-manager");
  const scheduler = user("system:kube-scheduler");
  return [
    bind("system::leader-locking-kube-controller-manager", [manager, account("kube-controller-manager"), account("leader-election-controller")]),
    bind("system::leader-locking-kube-scheduler", [scheduler, account("kube-scheduler")]),
    bind("system::extension-apiserver-authentication-reader", [manager, scheduler], { role: "extension-apiserver-authentication-reader" }),
    bind("system:controller:bootstrap-signer", [account("bootstrap-signer")]),
    bind("system:controller:cloud-provider", [account("cloud-provider")]),
    bind("system:controller:token-cleaner", [account("token-cleaner")]),
    bind("system:controller:bootstrap-signer", [account("bootstrap-signer")], { namespace: PUBLIC }),
  ];
}

/** Defaults are labelled as such, and kept up to date unless somebody turns that annotation off. */
function head(kind: string, name: string, labels: Readonly<Record<string, string>> = {}, namespace?: string): KubeObject {
  return {
    apiVersion: `${GROUP}/v1`, kind,
    metadata: {
      name, ...(namespace && { namespace }),
      annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
      labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels },
    },
  };
}

// The Node authorizer: a kubelet may touch its own Node and Lease, its own pods, and what those pods refer to.
// Rules and reasons: k8s.io/kubernetes/plugin/pkg/auth/authorizer/node; NodeRestriction looks at the contents of writes.
import { LOCAL_PATH_NODE, localPathNodeLabel } from "../../../api/localpath.ts";
import { parseFieldSelector, parseLabelSelector } from "../../../api/selectors.ts";
import type { AccessRequest, Authorizer, Decision } from "./auth.ts";
import type { NodeGraph, RelatedKind } from "./nodegraph.ts";
import { NODE_RULES } from "./noderights.ts";
import { rulesAllow } from "./rules.ts";
import { nodeOf } from "./user.ts";

type ResourceAccess = Extract<AccessRequest, { resource: string }>;

const ALLOWED: Decision = { allowed: true };
const NO_OPINION: Decision = { allowed: false };
const because = (reason: string): Decision => ({ allowed: false, reason });

/** Answers for nodes; has no opinion on anybody else. */
export class NodeAuthorizer implements Authorizer {
  constructor(private readonly graph: NodeGraph) {}

  authorize(request: AccessRequest): Decision {
    const node = nodeOf(request.user);
    if (node === undefined) return NO_OPINION;
    if (node === "") return because(`unknown node for user ${JSON.stringify(request.user.name)}`);
    const rule = request.path === undefined ? RULES[request.group === "" ? request.resource : `${request.resource}.${request.group}`] : undefined;
    if (rule && request.path === undefined) return rule(node, request, this.graph);
    return rulesAllow(NODE_RULES, request) ? ALLOWED : NO_OPINION;
  }
}

type Rule = (node: string, request: ResourceAccess, graph: NodeGraph) => Decision;

const RULES: Readonly<Record<string, Rule>> = {
  secrets: readRelated("secrets"),
  configmaps: readRelated("configmaps"),
  persistentvolumeclaims: (node, request, graph) => (request.subresource === "status" ? updateClaimStatus(node, request, graph) : getRelated("persistentvolumeclaims")(node, request, graph)),
  persistentvolumes: volumes,
  "resourceclaims.resource.k8s.io": getRelated("resourceclaims"),
  "volumeattachments.storage.k8s.io": getRelated("volumeattachments"),
  serviceaccounts: accounts,
  "leases.coordination.k8s.io": ownLease,
  "csinodes.storage.k8s.io": ownCsiNode,
  "resourceslices.resource.k8s.io": slices,
  nodes: ownNode,
  pods,
};

function related(kind: RelatedKind, node: string, { namespace, name }: ResourceAccess, graph: NodeGraph): Decision {
  if (name === "") return because("No Object name found");
  return graph.isRelated(node, kind, namespace, name) ? ALLOWED : because(`no relationship found between node '${node}' and this object`);
}

function readRelated(kind: RelatedKind): Rule {
  return (node, request, graph) => {
    if (!["get", "list", "watch"].includes(request.verb)) return because("can only read resources of this type");
    if (request.subresource !== "") return because("cannot read subresource");
    if (request.namespace === "") return because("can only read namespaced object of this type");
    return related(kind, node, request, graph);
  };
}

function getRelated(kind: RelatedKind): Rule {
  return (node, request, graph) => {
    if (request.verb !== "get") return because("can only get individual resources of this type");
    if (request.subresource !== "") return because("cannot get subresource");
    return related(kind, node, request, graph);
  };
}

/** Beside upstream's: a node makes and removes the directories that are its local volumes. NodeRestriction sees what it changes. */
function volumes(node: string, request: ResourceAccess, graph: NodeGraph): Decision {
  const { verb, subresource, name, labelSelector } = request;
  const isOwn = subresource === "" && name !== "" && graph.hasLocalVolume(node, name);
  if (isOwn && (verb === "get" || verb === "patch")) return ALLOWED;
  const isForOwn = subresource === "" && name === "" && labelSelector !== undefined && selectsLabel(labelSelector, LOCAL_PATH_NODE, localPathNodeLabel(node));
  if (isForOwn && (verb === "list" || verb === "watch")) return ALLOWED;
  return getRelated("persistentvolumes")(node, request, graph);
}

function updateClaimStatus(node: string, request: ResourceAccess, graph: NodeGraph): Decision {
  if (request.verb !== "update" && request.verb !== "patch") return because("can only get/update/patch this type");
  return related("persistentvolumeclaims", node, request, graph);
}

function accounts(node: string, request: ResourceAccess, graph: NodeGraph): Decision {
  if (request.verb === "get" && request.subresource === "") return readRelated("serviceaccounts")(node, request, graph);
  if (request.verb !== "create" || request.name === "") return because("can only create tokens for individual service accounts");
  if (request.subresource !== "token") return because("can only create token subresource of serviceaccount");
  return related("serviceaccounts", node, request, graph);
}

const OWN_VERBS = ["get", "create", "update", "patch", "delete"];

/** The name is not known yet on create; NodeRestriction checks it then. */
function ownLease(node: string, { verb, namespace, name }: ResourceAccess): Decision {
  if (!OWN_VERBS.includes(verb)) return because("can only get, create, update, patch, or delete a node lease");
  if (namespace !== "kube-node-lease") return because('can only access leases in the "kube-node-lease" system namespace');
  if (verb !== "create" && name !== node) return because("can only access node lease with the same name as the requesting node");
  return ALLOWED;
}

function ownCsiNode(node: string, { verb, subresource, name }: ResourceAccess): Decision {
  if (!OWN_VERBS.includes(verb)) return because("can only get, create, update, patch, or delete a CSINode");
  if (subresource !== "") return because("cannot authorize CSINode subresources");
  if (verb !== "create" && name !== node) return because("can only access CSINode with the same name as the requesting node");
  return ALLOWED;
}

function slices(node: string, request: ResourceAccess, graph: NodeGraph): Decision {
  if (request.subresource !== "") return because("cannot authorize ResourceSlice subresources");
  switch (request.verb) {
    case "create":
      return ALLOWED;
    case "get":
    case "update":
    case "patch":
    case "delete":
      return related("resourceslices", node, request, graph);
    case "watch":
    case "list":
    case "deletecollection":
      return selects(request, "spec.nodeName", node) ? ALLOWED : because("can only list/watch/deletecollection resourceslices with nodeName field selector");
    default:
      return because("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection");
  }
}

function ownNode(node: string, { verb, subresource, name }: ResourceAccess): Decision {
  if (subresource === "status") return verb === "update" || verb === "patch" ? ALLOWED : NO_OPINION;
  if (subresource !== "") return NO_OPINION;
  if (["create", "update", "patch"].includes(verb)) return ALLOWED;
  if (!["get", "list", "watch"].includes(verb)) return NO_OPINION;
  if (name === node) return ALLOWED;
  return because(name === "" ? `node '${node}' cannot read all nodes, only its own Node object` : `node '${node}' cannot read '${name}', only its own Node object`);
}

function pods(node: string, request: ResourceAccess, graph: NodeGraph): Decision {
  const { verb, subresource } = request;
  if (subresource === "status") return verb === "update" || verb === "patch" ? ALLOWED : NO_OPINION;
  if (subresource === "eviction") return verb === "create" ? ALLOWED : NO_OPINION;
  if (subresource !== "") return NO_OPINION;
  if (verb === "create" || verb === "delete") return ALLOWED;
  if (verb === "get") return getRelated("pods")(node, request, graph);
  if (verb !== "list" && verb !== "watch") return NO_OPINION;
  if (selects(request, "spec.nodeName", node)) return ALLOWED;
  if (request.name !== "") return related("pods", node, request, graph);
  return because("can only list/watch pods with spec.nodeName field selector");
}

/** Whether the field selector demands this value. */
function selects({ fieldSelector }: ResourceAccess, field: string, value: string): boolean {
  if (!fieldSelector) return false;
  try {
    return parseFieldSelector(fieldSelector).some((r) => r.field === field && r.operator === "=" && r.value === value);
  } catch {
    return false;
  }
}

/** Whether the label selector demands this value. */
function selectsLabel(labelSelector: string, label: string, value: string): boolean {
  try {
    return parseLabelSelector(labelSelector).requirements.some(({ key, operator, values }) => key === label && (operator === "=" || operator === "in") && values.length === 1 && values[0] === value);
  } catch {
    return false;
  }
}

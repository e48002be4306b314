// NodeRestriction: a node writes only about itself, its own pods and what those use.
import type { Client } from "../../../api/client/client.ts";
import { LOCAL_PATH_FINALIZER, LOCAL_PATH_NODE, localPathNodeLabel } from "../../../api/localpath.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, Node, PersistentVolume, Pod } from "../../../api/types.ts";
import { isEqual } from "../kinds/validation/values.ts";
import { refuse } from "./attributes.ts";
import type { Authorizer } from "../auth/auth.ts";
import { restrictNodeRequest } from "./nodecsr.ts";
import { restrictTokens } from "./nodetoken.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

const POD = builtinKind("", "v1", "Pod");
const NODE = builtinKind("", "v1", "Node");
const PREFIX = "system:node:";
const GROUP = "system:nodes";
const MIRROR = "kubernetes.io/config.mirror";
const LEASES_NAMESPACE = "kube-node-lease";
const OWN_LABELS = new Set([
  "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
  "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
]);
const OWN_LABEL_DOMAINS = ["kubelet.kubernetes.io", "node.kubernetes.io"];

type Rule = (nodeName: string, attributes: Attributes, client: Client) => void | Promise<void>;

/** Keeps nodes to themselves. */
export function nodeRestriction(authorizer: Authorizer): AdmissionPlugin {
  const rules: Readonly<Record<string, Rule>> = { ...RULES, "serviceaccounts.": (nodeName, attributes, client) => restrictTokens(authorizer, { nodeName, attributes, client }) };
  const ruleOf = ({ group, plural }: { group: string; plural: string }): Rule | undefined => rules[`${plural}.${group}`];
  return {
    name: "NodeRestriction",
    concerns: ({ operation, kind }) => operation !== "CONNECT" && ruleOf(kind) !== undefined,
    handles: ({ user }) => user.groups.includes(GROUP) && user.name.startsWith(PREFIX),
    admit: (attributes, client) => ruleOf(attributes.kind)?.(attributes.user.name.slice(PREFIX.length), attributes, client),
  };
}

const RULES: Readonly<Record<string, Rule>> = {
  "pods.": restrictPods,
  "nodes.": restrictNodes,
  "persistentvolumeclaims.": restrictClaims,
  "persistentvolumes.": restrictVolumes,
  "leases.coordination.k8s.io": restrictLeases,
  "csinodes.storage.k8s.io": restrictCsiNodes,
  "resourceslices.resource.k8s.io": restrictSlices,
  "certificatesigningrequests.certificates.k8s.io": restrictNodeRequest,
};

async function restrictPods(nodeName: string, attributes: Attributes, client: Client): Promise<void> {
  const { subresource, operation, namespace, name } = attributes;
  const quoted = JSON.stringify(nodeName);
  if (subresource === "status") return restrictPodStatus(nodeName, attributes);
  if (subresource === "eviction" || (subresource === "" && operation === "DELETE")) {
    const pod = await client.get<Pod>(POD, { name, namespace });
    if (pod.spec?.nodeName === nodeName) return;
    throw refuse(attributes, subresource === "eviction" ? `node ${nodeName} can only evict pods with spec.nodeName set to itself` : `node ${quoted} can only delete pods with spec.nodeName set to itself`);
  }
  if (subresource !== "") throw refuse(attributes, `unexpected pod subresource ${JSON.stringify(subresource)}, only 'status' and 'eviction' are allowed`);
  if (operation !== "CREATE") throw refuse(attributes, `unexpected operation "${operation}", node ${quoted} can only create and delete mirror pods`);
  await restrictMirror(nodeName, attributes, client);
}

async function restrictMirror(nodeName: string, attributes: Attributes, client: Client): Promise<void> {
  const { metadata, spec } = attributes.object as Pod;
  const quoted = JSON.stringify(nodeName);
  if (metadata.annotations?.[MIRROR] === undefined) throw refuse(attributes, `pod does not have "${MIRROR}" annotation, node ${quoted} can only create mirror pods`);
  if (spec?.nodeName !== nodeName) throw refuse(attributes, `node ${quoted} can only create pods with spec.nodeName set to itself`);
  const [owner, ...others] = metadata.ownerReferences ?? [];
  if (others.length > 0) throw refuse(attributes, `node ${quoted} can only create pods with a single owner reference set to itself`);
  if (!owner || owner.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== nodeName) throw refuse(attributes, `node ${quoted} can only create pods with an owner reference set to itself`);
  if (!owner.controller) throw refuse(attributes, `node ${quoted} can only create pods with a controller owner reference set to itself`);
  if (owner.blockOwnerDeletion) throw refuse(attributes, `node ${quoted} must not set blockOwnerDeletion on an owner reference`);
  const { metadata: node } = await client.get<Node>(NODE, { name: nodeName });
  if (owner.uid !== node.uid) throw refuse(attributes, `node ${nodeName} UID mismatch: expected ${owner.uid} got ${node.uid}`);
  const reference = (spec.volumes ?? []).flatMap((volume) => Object.keys(volume)).find((source) => ["secret", "configMap", "persistentVolumeClaim", "projected"].includes(source));
  if (reference !== undefined) throw refuse(attributes, `node ${quoted} can not create pods that reference ${reference.toLowerCase()}s`);
}

function restrictPodStatus(nodeName: string, attributes: Attributes): void {
  const [pod, old] = [attributes.object as Pod, attributes.oldObject as Pod];
  const quoted = JSON.stringify(nodeName);
  if (attributes.operation !== "UPDATE") throw refuse(attributes, `unexpected operation "${attributes.operation}"`);
  if (old.spec?.nodeName !== nodeName) throw refuse(attributes, `node ${quoted} can only update pod status for pods with spec.nodeName set to itself`);
  if (!isEqual(pod.metadata.labels ?? {}, old.metadata.labels ?? {})) throw refuse(attributes, `node ${quoted} cannot update labels through pod status`);
  if (!isEqual(pod.status?.resourceClaimStatuses, old.status?.resourceClaimStatuses)) throw refuse(attributes, `node ${quoted} cannot update resource claim statues`);
}

function restrictNodes(nodeName: string, attributes: Attributes): void {
  const { name, object, oldObject, operation } = attributes;
  const quoted = JSON.stringify(nodeName);
  const requested = name || object?.metadata.name || "";
  if (requested !== nodeName) throw refuse(attributes, `node ${quoted} is not allowed to modify node ${JSON.stringify(requested)}`);
  if (operation === "DELETE") return;
  const labels = forbiddenLabels(object as Node, oldObject as Node | undefined);
  if (operation === "CREATE") {
    if (labels.length > 0) throw refuse(attributes, `node ${quoted} is not allowed to set the following labels: ${labels.join(", ")}`);
    return;
  }
  const [node, old] = [object as Node, oldObject as Node];
  if (!isEqual(node.spec?.taints, old.spec?.taints)) throw refuse(attributes, `node ${quoted} is not allowed to modify taints`);
  if (!isEqual(node.metadata.ownerReferences, old.metadata.ownerReferences)) throw refuse(attributes, `node ${quoted} is not allowed to modify ownerReferences`);
  if (labels.length > 0) throw refuse(attributes, `is not allowed to modify labels: ${labels.join(", ")}`);
}

function forbiddenLabels({ metadata: { labels = {} } }: Node, old: Node | undefined): string[] {
  const before = old?.metadata.labels ?? {};
  const changed = [...new Set([...Object.keys(labels), ...Object.keys(before)])].filter((key) => labels[key] !== before[key]);
  return changed.filter((key) => {
    const domain = key.includes("/") ? (key.split("/")[0] as string) : "";
    if (isWithin(domain, "node-restriction.kubernetes.io")) return true;
    const isReserved = isWithin(domain, "kubernetes.io") || isWithin(domain, "k8s.io");
    return isReserved && !OWN_LABELS.has(key) && !OWN_LABEL_DOMAINS.some((own) => isWithin(domain, own));
  }).sort();
}

function isWithin(domain: string, parent: string): boolean {
  return domain === parent || domain.endsWith(`.${parent}`);
}

function restrictClaims(nodeName: string, attributes: Attributes): void {
  if (attributes.subresource !== "status" || attributes.operation !== "UPDATE") throw refuse(attributes, "may only update PVC status");
  if (!isEqual(notForNodes(attributes.object as AnyObject), notForNodes(attributes.oldObject as AnyObject))) throw refuse(attributes, `node ${JSON.stringify(nodeName)} is not allowed to update fields other than status.quantity and status.conditions`);
}

function notForNodes({ metadata, spec, status }: AnyObject): unknown {
  const { phase, accessModes } = (status ?? {}) as Record<string, unknown>;
  return { name: metadata.name, labels: metadata.labels, annotations: metadata.annotations, finalizers: metadata.finalizers, spec, phase, accessModes };
}

/** All a node says of a volume is that its directory on this node is gone. */
function restrictVolumes(nodeName: string, attributes: Attributes): void {
  const { operation, subresource, object, oldObject } = attributes;
  const quoted = JSON.stringify(nodeName);
  if (operation !== "UPDATE" || subresource !== "") throw refuse(attributes, `unexpected operation "${operation}", node ${quoted} can only update its own local volumes`);
  const [volume, old] = [object as PersistentVolume, oldObject as PersistentVolume];
  if (old.metadata.labels?.[LOCAL_PATH_NODE] !== localPathNodeLabel(nodeName)) throw refuse(attributes, `node ${quoted} can only update its own local volumes`);
  if (!old.metadata.deletionTimestamp || !isEqual(withoutFinalizer(volume), withoutFinalizer(old))) throw refuse(attributes, `node ${quoted} is only allowed to remove finalizer ${LOCAL_PATH_FINALIZER} of a volume that is being deleted`);
}

function withoutFinalizer({ metadata, spec, status }: PersistentVolume): unknown {
  const { finalizers = [], managedFields: _fields, resourceVersion: _version, generation: _generation, ...rest } = metadata;
  return { metadata: rest, finalizers: finalizers.filter((finalizer) => finalizer !== LOCAL_PATH_FINALIZER), spec, status };
}

function restrictLeases(nodeName: string, attributes: Attributes): void {
  if (attributes.namespace !== LEASES_NAMESPACE) throw refuse(attributes, `can only access leases in the ${JSON.stringify(LEASES_NAMESPACE)} system namespace`);
  const name = attributes.name || attributes.object?.metadata.name;
  if (name !== nodeName) throw refuse(attributes, "can only access node lease with the same name as the requesting node");
}

function restrictCsiNodes(nodeName: string, attributes: Attributes): void {
  const name = attributes.name || attributes.object?.metadata.name;
  if (name !== nodeName) throw refuse(attributes, "can only access CSINode with the same name as the requesting node");
}

function restrictSlices(nodeName: string, attributes: Attributes): void {
  const wanted = (attributes.operation === "CREATE" ? attributes.object : attributes.oldObject)?.["spec"]?.nodeName as unknown;
  if (wanted !== nodeName) throw refuse(attributes, attributes.operation === "CREATE" ? "can only create ResourceSlice with the same NodeName as the requesting node" : "can only access ResourceSlice with the same NodeName as the requesting node");
}

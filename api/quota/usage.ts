// What one object counts for in a resource quota: the same answer for admission, which guards it, and the controller, which recounts.
import { addQuantities, compareQuantities, formatQuantity, parseQuantity, quantityOf, wholeValue } from "../quantity.ts";
import { podResources, type ResourceList } from "../podresources.ts";
import type { AnyObject, PersistentVolumeClaim, Pod, PodSpec, ResourceClaim, Service } from "../types.ts";

/** A resource type, as quotas name it. */
export interface ResourceType {
  readonly group: string;
  readonly plural: string;
}

const BY_CLASS = ".storageclass.storage.k8s.io/";
const DEVICES = ".deviceclass.resource.k8s.io/devices";
/** What "all devices" may come to at most. */
const MAX_DEVICES = 32;
const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";
const POD_RESOURCES = ["count/pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods"];
const SERVICE_RESOURCES = ["count/services", "services", "services.nodeports", "services.loadbalancers"];
const CLAIM_RESOURCES = ["persistentvolumeclaims", "requests.storage"];
/** Types that could be counted before all types could, by their old names. */
const ALIASED = new Set(["configmaps", "resourcequotas", "replicationcontrollers", "secrets"]);
const IGNORED = new Set(["bindings", "componentstatuses", "tokenreviews", "selfsubjectreviews", "subjectaccessreviews", "selfsubjectaccessreviews", "localsubjectaccessreviews", "selfsubjectrulesreviews", "events"]);

/** Whether objects of this type are never counted. */
export function isUncounted({ plural }: ResourceType): boolean {
  return IGNORED.has(plural);
}

/** `count/pods`, `count/deployments.apps`. */
export function countName({ group, plural }: ResourceType): string {
  return group === "" ? `count/${plural}` : `count/${plural}.${group}`;
}

/** Which of a quota's resources objects of this type use. */
export function resourcesUsedBy(type: ResourceType, names: readonly string[]): string[] {
  const isCore = type.group === "";
  if (isCore && type.plural === "pods") return names.filter((name) => POD_RESOURCES.includes(name) || name.startsWith("hugepages-") || name.startsWith("requests.hugepages-") || isExtendedRequest(name));
  if (isCore && type.plural === "services") return names.filter((name) => SERVICE_RESOURCES.includes(name));
  if (isCore && type.plural === "persistentvolumeclaims") return names.filter((name) => name === countName(type) || CLAIM_RESOURCES.includes(name) || CLAIM_RESOURCES.some((resource) => name.endsWith(`${BY_CLASS}${resource}`)));
  if (isDeviceClaim(type)) return names.filter((name) => name === countName(type) || name.endsWith(DEVICES));
  return names.filter((name) => name === countName(type) || (isCore && ALIASED.has(type.plural) && name === type.plural));
}

/** What one object uses; `nowMs` decides whether a pod that should be gone still counts. */
export function usageOf(type: ResourceType, object: AnyObject, nowMs: number): ResourceList {
  if (type.group === "" && type.plural === "pods") return podUsage(object as Pod, nowMs);
  if (type.group === "" && type.plural === "services") return serviceUsage(object as Service);
  if (type.group === "" && type.plural === "persistentvolumeclaims") return claimUsage(object as PersistentVolumeClaim);
  if (isDeviceClaim(type)) return { [countName(type)]: "1", ...devicesAsked(object as ResourceClaim) };
  const usage: ResourceList = { [countName(type)]: "1" };
  if (type.group === "" && ALIASED.has(type.plural)) usage[type.plural] = "1";
  return usage;
}

/** The compute part of a pod's or a container's usage. */
export function computeUsage(requests: Readonly<ResourceList>, limits: Readonly<ResourceList>): ResourceList {
  const usage: ResourceList = { pods: "1" };
  for (const name of ["cpu", "memory", "ephemeral-storage"]) {
    const [request, limit] = [requests[name], limits[name]];
    if (request !== undefined) usage[name] = usage[`requests.${name}`] = request;
    if (limit !== undefined) usage[`limits.${name}`] = limit;
  }
  for (const name in requests) {
    if (name.startsWith("hugepages-")) usage[name] = usage[`requests.${name}`] = requests[name] as string;
    else if (isExtendedName(name)) usage[`requests.${name}`] = requests[name] as string;
  }
  return usage;
}

function podUsage({ metadata, spec, status }: Pod, nowMs: number): ResourceList {
  const usage: ResourceList = { "count/pods": "1" };
  if (status?.phase === "Failed" || status?.phase === "Succeeded" || isOverdue(metadata, nowMs)) return usage;
  return { ...usage, ...computeUsage(podResources(spec as PodSpec, "requests"), podResources(spec as PodSpec, "limits")) };
}

function isOverdue({ deletionTimestamp, deletionGracePeriodSeconds }: Pod["metadata"], nowMs: number): boolean {
  return deletionTimestamp !== undefined && deletionGracePeriodSeconds !== undefined && nowMs > Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

function serviceUsage({ spec }: Service): ResourceList {
  const ports = spec?.ports ?? [];
  const isBalanced = spec?.type === "LoadBalancer";
  const opensAll = spec?.type === "NodePort" || (isBalanced && spec?.allocateLoadBalancerNodePorts !== false);
  const opened = opensAll ? ports.length : isBalanced ? ports.filter(({ nodePort }) => nodePort).length : 0;
  return { "count/services": "1", services: "1", "services.loadbalancers": isBalanced ? "1" : "0", "services.nodeports": String(opened) };
}

function claimUsage({ metadata, spec, status }: PersistentVolumeClaim): ResourceList {
  const usage: ResourceList = { persistentvolumeclaims: "1", "count/persistentvolumeclaims": "1" };
  const storageClass = metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? "";
  if (storageClass !== "") usage[`${storageClass}${BY_CLASS}persistentvolumeclaims`] = "1";
  const sizes = [spec?.resources?.requests?.["storage"], status?.allocatedResources?.["storage"]].filter((size) => size !== undefined).map(parseQuantity);
  const [first, second] = sizes;
  const largest = first && second && compareQuantities(second, first) > 0 ? second : first;
  if (!largest) return usage;
  const size = formatQuantity(quantityOf(wholeValue(largest), largest.format));
  usage["requests.storage"] = size;
  if (storageClass !== "") usage[`${storageClass}${BY_CLASS}requests.storage`] = size;
  return usage;
}

const isDeviceClaim = ({ group, plural }: ResourceType): boolean => group === "resource.k8s.io" && plural === "resourceclaims";

/** Devices by class, as many as a claim may get: of alternatives the one that takes most of a class. */
function devicesAsked({ spec }: ResourceClaim): ResourceList {
  const total = new Map<string, number>();
  for (const { exactly, firstAvailable } of spec?.devices?.requests ?? []) {
    const most = new Map<string, number>();
    for (const { deviceClassName, allocationMode, count = 0 } of firstAvailable ?? (exactly ? [exactly] : [])) {
      const asked = allocationMode === "All" ? MAX_DEVICES : allocationMode === "ExactCount" ? count : 0;
      most.set(deviceClassName, Math.max(most.get(deviceClassName) ?? 0, asked));
    }
    for (const [name, count] of most) total.set(name, (total.get(name) ?? 0) + count);
  }
  return Object.fromEntries([...total].map(([name, count]) => [`${name}${DEVICES}`, String(count)]));
}

function isExtendedName(name: string): boolean {
  return name.includes("/") && !name.includes("kubernetes.io/");
}

function isExtendedRequest(name: string): boolean {
  return name.startsWith("requests.") && (isExtendedName(name) || name.startsWith("requests.deviceclass.resource.kubernetes.io/"));
}

/** a + b, name by name. */
export function addUsage(a: Readonly<ResourceList>, b: Readonly<ResourceList>): ResourceList {
  const total: ResourceList = { ...a };
  for (const name in b) total[name] = formatQuantity(addQuantities(parseQuantity(total[name] ?? "0"), parseQuantity(b[name] as string)));
  return total;
}

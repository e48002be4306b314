// Whether this node can run a pod that was bound to it: the last look, after the scheduler's. Pure.
// Reasons and messages are upstream's; a refused pod fails for good.
import type { NodeSelectorRequirement, NodeSelectorTerm, Node, Pod, Taint, Toleration } from "../../api/types.ts";
import type { Pressure } from "./nodestatus.ts";
import { amount, milliCpu, podRequest, qosClass } from "./qos.ts";

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

export interface AdmissionInput {
  readonly pod: Pod;
  /** The other pods that use the node. */
  readonly others: readonly Pod[];
  /** This node's object; undefined while it is not known, and then nothing is refused for it. */
  readonly node: Node | undefined;
  readonly hasAppArmor: boolean;
  readonly pressure: Pressure;
  readonly isStatic: boolean;
  /** Further sysctls this node allows; one that ends with `*` is a prefix. */
  readonly allowedSysctls?: readonly string[];
}

/** Sysctls a pod may set without being able to hurt others (upstream's list for kernels of this decade). */
const SAFE_SYSCTLS: ReadonlySet<string> = new Set([
  "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
]);

/** Why the pod is refused; undefined when it is admitted. */
export function refusal(input: AdmissionInput): Refusal | undefined {
  return badSysctl(input) ?? badAppArmor(input) ?? pressed(input) ?? (input.node && misfit(input, input.node));
}

function badSysctl({ pod, allowedSysctls = [] }: AdmissionInput): Refusal | undefined {
  for (const { name } of pod.spec?.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    if (!SAFE_SYSCTLS.has(dotted) && !allowedSysctls.some((pattern) => allows(pattern.replaceAll("/", "."), dotted))) return { reason: "SysctlForbidden", message: `forbidden sysctl: "${dotted}" not allowlisted` };
    if (dotted.startsWith("net.") && pod.spec?.hostNetwork) return { reason: "SysctlForbidden", message: `forbidden sysctl: "${dotted}" not allowed with host net enabled` };
    if (dotted.startsWith("kernel.shm") && pod.spec?.hostIPC) return { reason: "SysctlForbidden", message: `forbidden sysctl: "${dotted}" not allowed with host ipc enabled` };
  }
  return undefined;
}

const allows = (pattern: string, name: string): boolean => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern);

function badAppArmor({ pod, hasAppArmor }: AdmissionInput): Refusal | undefined {
  if (hasAppArmor) return undefined;
  const contexts = [pod.spec?.securityContext, ...[...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((container) => container.securityContext)];
  const wantsProfile = contexts.some((context) => context?.appArmorProfile && context.appArmorProfile.type !== "Unconfined");
  return wantsProfile ? { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" } : undefined;
}

/** Memory is refused to those who said nothing of theirs; a node without disk or process ids has nothing for anybody. */
function pressed({ pod, pressure, isStatic }: AdmissionInput): Refusal | undefined {
  const conditions = CONDITIONS.filter(([kind]) => pressure[kind]).map(([, condition]) => condition);
  if (conditions.length === 0 || isStatic || (pod.spec?.priority ?? 0) >= 2_000_000_000) return undefined;
  if (conditions.join(" ") === "MemoryPressure" && (qosClass(pod) !== "BestEffort" || toleratesMemoryPressure(pod))) return undefined;
  return { reason: "Evicted", message: `The node had condition: [${conditions.join(" ")}]. ` };
}

const CONDITIONS: readonly (readonly [keyof Pressure, string])[] = [["memory", "MemoryPressure"], ["disk", "DiskPressure"], ["pid", "PIDPressure"]];

const toleratesMemoryPressure = (pod: Pod): boolean => (pod.spec?.tolerations ?? []).some((toleration) => tolerates(toleration, { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" }));

function misfit({ pod, others, isStatic }: AdmissionInput, node: Node): Refusal | undefined {
  const labels = node.metadata.labels ?? {};
  const os = pod.spec?.nodeSelector?.["kubernetes.io/os"];
  if (os !== undefined && labels["kubernetes.io/os"] !== os) return { reason: "PodOSSelectorNodeLabelDoesNotMatch", message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label" };
  if (pod.spec?.os && pod.spec.os.name !== "linux") return { reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS" };
  const strict = pod.spec?.securityContext?.supplementalGroupsPolicy === "Strict";
  if (strict && node.status?.features?.supplementalGroupsPolicy !== true) return { reason: "SupplementalGroupsPolicyNotSupported", message: "SupplementalGroupsPolicy=Strict is not supported in this node" };
  const lacking = insufficient(pod, others, node);
  if (lacking) return lacking;
  if (!matchesNode(pod, node)) return { reason: "NodeAffinity", message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" };
  if (portsClash(pod, others)) return { reason: "NodePorts", message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" };
  const taint = isStatic ? undefined : (node.spec?.taints ?? []).find((one) => one.effect === "NoExecute" && !pod.spec?.tolerations?.some((toleration) => tolerates(toleration, one)));
  return taint && { reason: "TaintToleration", message: `Predicate TaintToleration failed: node(s) had untolerated taint(s)` };
}

const out = (resource: string, { requested, used, capacity }: { requested: number; used: number; capacity: number }): Refusal => ({
  reason: `OutOf${resource}`, message: `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
});

function insufficient(pod: Pod, others: readonly Pod[], node: Node): Refusal | undefined {
  const allocatable = node.status?.allocatable;
  if (!allocatable) return undefined;
  const pods = amount(allocatable, "pods");
  if (pods > 0 && others.length + 1 > pods) return out("pods", { requested: 1, used: others.length, capacity: pods });
  for (const resource of Object.keys(allocatable)) {
    if (resource === "pods") continue;
    const requested = podRequest(pod, resource);
    const capacity = resource === "cpu" ? milliCpu(allocatable) : amount(allocatable, resource);
    const used = others.reduce((sum, other) => sum + podRequest(other, resource), 0);
    if (requested > 0 && used + requested > capacity) return out(resource, { requested, used, capacity });
  }
  return undefined;
}

function matchesNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(pod.spec?.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || required.nodeSelectorTerms.some((term) => matchesTerm(term, labels, node.metadata.name ?? ""));
}

function matchesTerm(term: NodeSelectorTerm, labels: Readonly<Record<string, string>>, name: string): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  return expressions.every((one) => holds(one, labels[one.key])) && fields.every((one) => holds(one, one.key === "metadata.name" ? name : undefined));
}

function holds({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  if (operator === "In") return value !== undefined && values.includes(value);
  if (operator === "NotIn") return value === undefined || !values.includes(value);
  if (operator === "Exists") return value !== undefined;
  if (operator === "DoesNotExist") return value === undefined;
  const [limit] = values;
  if (value === undefined || limit === undefined || !/^-?\d+$/.test(value) || !/^-?\d+$/.test(limit)) return false;
  return operator === "Gt" ? BigInt(value) > BigInt(limit) : BigInt(value) < BigInt(limit);
}

function portsClash(pod: Pod, others: readonly Pod[]): boolean {
  const taken = others.flatMap(hostPorts);
  return hostPorts(pod).some((wanted) => taken.some((have) => have.port === wanted.port && have.protocol === wanted.protocol && (have.ip === wanted.ip || have.ip === ANY || wanted.ip === ANY)));
}

const ANY = "0.0.0.0";

function hostPorts(pod: Pod): { port: number; protocol: string; ip: string }[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  return [...sidecars, ...(pod.spec?.containers ?? [])].flatMap((container) => container.ports ?? []).filter((port) => (port.hostPort ?? 0) > 0).map((port) => ({ port: port.hostPort ?? 0, protocol: port.protocol ?? "TCP", ip: port.hostIP || ANY }));
}

function tolerates(toleration: Toleration, taint: Pick<Taint, "key" | "effect" | "value">): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  return toleration.operator === "Exists" || (Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? ""));
}

/** The status message of a refused pod. */
export const refusalMessage = ({ message }: Refusal): string => `Pod was rejected: ${message}`;


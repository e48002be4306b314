// Which pods go first when a node runs out of something, and the words they are told. Pure.
// Order as upstream: those over their request first, then by priority, then by how far they are over.
import { formatQuantity, parseQuantity, quantityOf } from "../../api/quantity.ts";
import type { Pod } from "../../api/types.ts";
import type { Signal } from "./evictionsignals.ts";
import { amount, podRequest, requestOf } from "./qos.ts";

/** What one pod uses now. */
export interface PodUsage {
  readonly uid: string;
  readonly pod: Pod;
  readonly containers: readonly { readonly name: string; readonly memoryBytes: number; readonly diskBytes: number }[];
  /** In emptyDirs on disk and in logs. */
  readonly localBytes?: number;
  readonly processes?: number;
}

const total = (usage: PodUsage, figure: "memoryBytes" | "diskBytes"): number => usage.containers.reduce((sum, container) => sum + container[figure], 0);
const priority = ({ pod }: PodUsage): number => pod.spec?.priority ?? 0;

/** First to go first. */
export function rankForMemory(usages: readonly PodUsage[]): PodUsage[] {
  return ranked(usages, (usage) => total(usage, "memoryBytes") - podRequest(usage.pod, "memory"));
}

export function rankForDisk(usages: readonly PodUsage[]): PodUsage[] {
  return ranked(usages, (usage) => total(usage, "diskBytes") + (usage.localBytes ?? 0) - podRequest(usage.pod, "ephemeral-storage"));
}

export function rankForPids(usages: readonly PodUsage[]): PodUsage[] {
  return [...usages].sort((a, b) => priority(a) - priority(b) || (b.processes ?? 0) - (a.processes ?? 0));
}

function ranked(usages: readonly PodUsage[], excess: (usage: PodUsage) => number): PodUsage[] {
  return [...usages].sort((a, b) => Number(excess(b) > 0) - Number(excess(a) > 0) || priority(a) - priority(b) || excess(b) - excess(a));
}

/** `The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container app was using 60Mi, ...` */
export function lowResourceMessage({ resource, threshold, available }: Signal, usage: PodUsage | undefined): string {
  const head = `The node was low on resource: ${resource}. Threshold quantity: ${shown(threshold, resource)}, available: ${resource === "memory" || resource === "ephemeral-storage" ? `${Math.floor(available / 1024)}Ki` : available}. `;
  if (!usage || (resource !== "memory" && resource !== "ephemeral-storage")) return head;
  const figure = resource === "memory" ? "memoryBytes" : "diskBytes";
  const greedy = usage.containers.flatMap((container) => {
    const spec = usage.pod.spec?.containers.find(({ name }) => name === container.name);
    const request = spec ? requestOf(spec, resource) : 0;
    return container[figure] > request ? [`Container ${container.name} was using ${Math.floor(container[figure] / 1024)}Ki, request is ${request === 0 ? "0" : shown(request, resource)}, has larger consumption of ${resource}. `] : [];
  });
  return head + greedy.join("");
}

function shown(value: number, resource: string): string {
  return resource === "memory" || resource === "ephemeral-storage" ? formatQuantity(quantityOf(value, "BinarySI")) : String(value);
}

/** Local storage in use, in bytes. */
export interface StorageUsage {
  /** By volume name, emptyDirs on disk or in memory. */
  readonly emptyDirs: Readonly<Record<string, number>>;
  /** By container name: writable layer and logs. */
  readonly containers: Readonly<Record<string, number>>;
}

/** Why the pod must go for using more local storage than it may; undefined when it does not. */
export function localStorageBreach(pod: Pod, usage: StorageUsage): string | undefined {
  for (const { name, emptyDir } of pod.spec?.volumes ?? []) {
    if (emptyDir?.sizeLimit === undefined || parseQuantity(emptyDir.sizeLimit).nano === 0n) continue;
    if ((usage.emptyDirs[name] ?? 0) > amount({ size: emptyDir.sizeLimit }, "size")) return `Usage of EmptyDir volume "${name}" exceeds the limit "${emptyDir.sizeLimit}". `;
  }
  for (const { name, resources } of pod.spec?.containers ?? []) {
    const limit = resources?.limits?.["ephemeral-storage"];
    if (limit !== undefined && (usage.containers[name] ?? 0) > amount({ limit }, "limit")) return `Container ${name} exceeded its local ephemeral storage limit "${limit}". `;
  }
  const limits = (pod.spec?.containers ?? []).flatMap(({ resources }) => resources?.limits?.["ephemeral-storage"] ?? []);
  if (limits.length === 0) return undefined;
  const allowed = limits.reduce((sum, limit) => sum + amount({ limit }, "limit"), 0);
  const used = [...Object.entries(usage.emptyDirs).filter(([name]) => pod.spec?.volumes?.find((volume) => volume.name === name)?.emptyDir?.medium !== "Memory").map(([, bytes]) => bytes), ...Object.values(usage.containers)].reduce((sum, bytes) => sum + bytes, 0);
  return used > allowed ? `Pod ephemeral local storage usage exceeds the total limit of containers ${formatQuantity(quantityOf(allowed, "BinarySI"))}. ` : undefined;
}

// Carries a granted resize out: the pod's cgroup grows first, containers follow, and what is left over is taken back last.
// In that order no child ever asks for more than its parent has.
import type { Container, Pod } from "../../api/types.ts";
import { effectiveResources, isResized } from "./allocation.ts";
import { amount } from "./qos.ts";
import { containerResources, podResources } from "./resources.ts";
import type { NodeServices } from "./services.ts";

/** The runtime or the kernel would not do it; the message is the condition's. */
export class ResizeError extends Error {
  override readonly name = "ResizeError";
}

export interface Resized {
  readonly id: string;
  readonly container: Container;
}

/** Brings the pod and its running containers to the resources it has been granted; rejects with ResizeError and may be tried again. */
export async function resizePod(node: NodeServices, pod: Pod, resized: readonly Resized[]): Promise<void> {
  const uid = pod.metadata.uid ?? "";
  await refuseImpossible(node, pod, resized);
  try {
    await node.cgroups.resize(pod, "grow");
    for (const { id, container } of smallestFirst(node, pod, resized)) {
      const { oomScoreAdj: _fixed, ...resources } = containerResources(pod, container, node.machine);
      await node.runtime.pods.updateResources(id, resources);
      await node.allocations.actuate(uid, id, effectiveResources(pod, container));
    }
    await node.cgroups.resize(pod, "settle");
    await node.allocations.actuatePod(uid, pod.spec?.resources);
  } catch (error) {
    throw new ResizeError((error as Error).message, { cause: error });
  }
}

/** The words of the events about a resize, with what it asks for. */
export function resizeMessage(prefix: string, pod: Pod, error?: string): string {
  return `${prefix}: ${JSON.stringify({ initContainers: listed(pod.spec?.initContainers), containers: listed(pod.spec?.containers), generation: pod.metadata.generation ?? 0, error })}`;
}

const listed = (containers: readonly Container[] | undefined): object[] | undefined => containers?.map(({ name, resources = {} }) => ({ name, resources }));

function smallestFirst(node: NodeServices, pod: Pod, resized: readonly Resized[]): Resized[] {
  const uid = pod.metadata.uid ?? "";
  const growth = ({ id, container }: Resized): number => amount(effectiveResources(pod, container).limits, "memory") - amount(node.allocations.actuated(uid, id)?.limits, "memory");
  return resized.filter(({ id, container }) => isResized(effectiveResources(pod, container), node.allocations.actuated(uid, id))).sort((a, b) => growth(a) - growth(b));
}

/** A memory limit below what is in use would kill instead of shrinking. */
async function refuseImpossible(node: NodeServices, pod: Pod, resized: readonly Resized[]): Promise<void> {
  const uid = pod.metadata.uid ?? "";
  const shrinking = resized.filter(({ id, container }) => {
    const wanted = amount(effectiveResources(pod, container).limits, "memory");
    const have = amount(node.allocations.actuated(uid, id)?.limits, "memory");
    return wanted > 0 && (have === 0 || wanted < have);
  });
  const podLimit = podResources(pod).memoryLimitBytes;
  const podHas = amount(node.allocations.actuatedPod(uid)?.limits, "memory");
  const podShrinks = podLimit !== undefined && (shrinking.length > 0 || (podHas > 0 && podLimit < podHas));
  if (shrinking.length === 0 && !podShrinks) return;
  const usage = new Map((await node.runtime.pods.stats()).map((stats) => [stats.id, stats.memoryUsageBytes]));
  const complaints = shrinking.flatMap(({ id, container }) => {
    const used = usage.get(id) ?? 0;
    const limit = amount(effectiveResources(pod, container).limits, "memory");
    return used >= limit ? [`attempting to set container "${container.name}" memory limit (${limit}) below current usage (${used})`] : [];
  });
  const podUsage = [...(node.cache.get(uid)?.containers ?? [])].reduce((sum, { id }) => sum + (usage.get(id) ?? 0), 0);
  if (podShrinks && podUsage >= podLimit) complaints.unshift(`attempting to set pod memory limit (${podLimit}) below current usage (${podUsage})`);
  if (complaints.length > 0) throw new ResizeError(`cannot decrease memory limits: ${complaints.length === 1 ? complaints[0] : `[${complaints.join(", ")}]`}`);
}

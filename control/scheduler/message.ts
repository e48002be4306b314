// Why a pod has no node, in upstream's sentence: what events and the PodScheduled condition say.
// Wording: k8s.io/kubernetes/pkg/scheduler/framework FitError; people and tools search for it.
import type { Diagnosis } from "./cycle.ts";

/** What upstream says when there is no node at all. */
export const NO_NODES = "no nodes available to schedule pods";
const MAX_NOTE_LENGTH = 1024;

/** `0/5 nodes are available: 3 Insufficient cpu, 2 ...`, and what came of trying to preempt. */
export function fitErrorMessage(diagnosis: Diagnosis, postFilter = ""): string {
  const head = `0/${diagnosis.nodeCount} nodes are available:`;
  const reasons = diagnosis.preFilter ? diagnosis.preFilter.reasons.join(", ") : histogram(diagnosis).join(", ");
  return `${head}${reasons === "" ? "" : ` ${reasons}.`}${postFilter === "" ? "" : ` ${postFilter}`}`;
}

/** Cut to what an event's note may hold. */
export function truncateNote(message: string): string {
  return message.length <= MAX_NOTE_LENGTH ? message : `${message.slice(0, MAX_NOTE_LENGTH - 4)} ...`;
}

/** `<count> <reason>`, sorted as text as upstream does. */
function histogram({ byNode, others, nodeCount }: Diagnosis): string[] {
  const counts = new Map<string, number>();
  const add = (reason: string, count: number): void => void counts.set(reason, (counts.get(reason) ?? 0) + count);
  for (const status of byNode.values()) for (const reason of status.reasons) add(reason, 1);
  if (byNode.size < nodeCount) for (const reason of others?.reasons ?? []) add(reason, nodeCount - byNode.size);
  return [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
}

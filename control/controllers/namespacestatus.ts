// The conditions of a namespace being deleted: what worked, what remains, and what holds it. Pure.
import type { Namespace } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import { findCondition } from "./conditions.ts";

type Condition = NonNullable<NonNullable<Namespace["status"]>["conditions"]>[number];

/** What is left: instances by `plural.group`, and by finalizer. */
export interface Remains {
  readonly resources: ReadonlyMap<string, number>;
  readonly finalizers: ReadonlyMap<string, number>;
}

const WHEN_WELL: readonly (readonly [type: string, reason: string, message: string])[] = [
  ["NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"],
  ["NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"],
  ["NamespaceDeletionContentFailure", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
  ["NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"],
  ["NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"],
];

/** The new list of conditions; undefined when the one there says it already. */
export function namespaceConditions(current: readonly Condition[], outcome: { remains: Remains; failures: readonly string[] }, now: number): Condition[] | undefined {
  const problems = problemsOf(outcome);
  let hasChanged = false;
  const conditions = WHEN_WELL.map(([type, reason, message]): Condition => {
    const problem = problems.get(type);
    const wanted = problem ? { type, status: "True", ...problem } : { type, status: "False", reason, message };
    const old = findCondition(current, type);
    if (old && old.status === wanted.status && old.reason === wanted.reason && old.message === wanted.message) return old;
    hasChanged = true;
    return { ...wanted, lastTransitionTime: old?.status === wanted.status ? old.lastTransitionTime : timestamp(now) };
  });
  const others = current.filter(({ type }) => !WHEN_WELL.some(([known]) => known === type));
  return hasChanged ? [...others, ...conditions] : undefined;
}

function problemsOf({ remains, failures }: { remains: Remains; failures: readonly string[] }): Map<string, { reason: string; message: string }> {
  const problems = new Map<string, { reason: string; message: string }>();
  if (failures.length > 0) problems.set("NamespaceDeletionContentFailure", { reason: "ContentDeletionFailed", message: `Failed to delete all resource types, ${failures.length} remaining: ${failures.toSorted().join(", ")}` });
  if (remains.resources.size > 0) {
    const list = [...remains.resources].map(([resource, count]) => `${resource} has ${count} resource instances`).sort().join(", ");
    problems.set("NamespaceContentRemaining", { reason: "SomeResourcesRemain", message: `Some resources are remaining: ${list}` });
  }
  if (remains.finalizers.size > 0) {
    const list = [...remains.finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`).sort().join(", ");
    problems.set("NamespaceFinalizersRemaining", { reason: "SomeFinalizersRemain", message: `Some content in the namespace has finalizers remaining: ${list}` });
  }
  return problems;
}

// Whether a toleration tolerates a taint, the one rule filters, scores and hints share.
// Semantics: k8s.io/api/core/v1 Toleration.ToleratesTaint.
import type { Taint, Toleration } from "../../api/types.ts";

/** True when any of the tolerations tolerates the taint. */
export function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  for (const toleration of tolerations) if (toleratesOne(toleration, taint)) return true;
  return false;
}

/** The first NoSchedule or NoExecute taint nothing tolerates. */
export function untoleratedTaint(tolerations: readonly Toleration[], taints: readonly Taint[]): Taint | undefined {
  for (const taint of taints) if (!tolerates(tolerations, taint)) return taint;
  return undefined;
}

function toleratesOne(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  const { operator = "Equal" } = toleration;
  return operator === "Exists" || (operator === "Equal" && (toleration.value ?? "") === (taint.value ?? ""));
}

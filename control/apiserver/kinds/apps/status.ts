// What a workload's status may say: no number below zero, none above the total, and no lost collisions.
import { field, type FieldError } from "../../../../api/errors.ts";
import { checkNonNegative } from "../validation/values.ts";

// Statuses of different workloads, read by field name.
type Status = object | undefined;

export interface StatusRules {
  readonly counts: readonly string[];
  /** Those that may not exceed `replicas`. */
  readonly parts?: readonly string[];
  /** How `availableReplicas` above `readyReplicas` is refused. */
  readonly ready?: string;
}

/** Checks a new status against its rules and the old one. */
export function statusErrors(status: Status, old: Status, { counts, parts = [], ready = "readyReplicas" }: StatusRules): FieldError[] {
  const errors: FieldError[] = [];
  const now = (status ?? {}) as Record<string, number | undefined>;
  const before = (old ?? {}) as Record<string, number | undefined>;
  for (const name of [...counts, ...parts, "observedGeneration", "collisionCount"]) checkNonNegative(errors, `status.${name}`, now[name]);
  const total = now["replicas"] ?? 0;
  for (const name of parts) if ((now[name] ?? 0) > total) errors.push(field.invalid(`status.${name}`, now[name], "cannot be greater than status.replicas"));
  if (parts.includes("availableReplicas") && (now["availableReplicas"] ?? 0) > (now["readyReplicas"] ?? 0)) errors.push(field.invalid("status.availableReplicas", now["availableReplicas"], `cannot be greater than ${ready}`));
  if ((now["collisionCount"] ?? 0) < (before["collisionCount"] ?? 0)) errors.push(field.invalid("status.collisionCount", now["collisionCount"] ?? 0, "cannot be decremented"));
  return errors;
}

// Holds a pod against a level: the checks of that level and version, baseline first, each in the order of its name.
import type { ObjectMeta, PodSpec } from "../../../../api/types.ts";
import { BASELINE } from "./baseline.ts";
import type { Check, VersionedCheck, Violation } from "./check.ts";
import type { LevelVersion } from "./levels.ts";
import { RESTRICTED } from "./restricted.ts";

/** Everything a pod violates; empty when it is allowed. */
export function evaluate({ level, minor }: LevelVersion, spec: PodSpec, metadata: ObjectMeta): Violation[] {
  if (level === "privileged") return [];
  return checksOf(level, minor === "latest" ? Infinity : minor).flatMap(({ check }) => check(spec, metadata) ?? []);
}

/** `reason (detail), reason (detail)`. */
export function describe(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => (detail === "" ? reason : `${reason} (${detail})`)).join(", ");
}

const known = new Map<string, readonly VersionedCheck[]>();

function checksOf(level: "baseline" | "restricted", minor: number): readonly VersionedCheck[] {
  const key = `${level}/${minor}`;
  const found = known.get(key);
  if (found) return found;
  const restricted = level === "restricted" ? at(RESTRICTED, minor) : [];
  const overridden = new Set(restricted.flatMap(({ version }) => version.overrides ?? []));
  const checks = [...at(BASELINE, minor).filter(({ id }) => !overridden.has(id)), ...restricted].map(({ version }) => version);
  known.set(key, checks);
  return checks;
}

function at(checks: readonly Check[], minor: number): { id: string; version: VersionedCheck }[] {
  return checks.flatMap(({ id, versions }) => {
    const version = versions.findLast(({ from }) => from <= minor);
    return version ? [{ id, version }] : [];
  });
}

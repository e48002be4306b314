// What one check of pod security is, and the words all of them share.
import type { Container, ObjectMeta, PodSpec } from "../../../../api/types.ts";
import type { Level } from "./levels.ts";

/** Why a pod is not allowed: a few words, and who is to blame. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export type CheckPod = (spec: PodSpec, metadata: ObjectMeta) => Violation | undefined;

/** A check as it is from a minor version on. */
export interface VersionedCheck {
  readonly from: number;
  readonly check: CheckPod;
  /** Checks of the level below that this one makes superfluous. */
  readonly overrides?: readonly string[];
}

export interface Check {
  readonly id: string;
  readonly level: Exclude<Level, "privileged">;
  readonly versions: readonly VersionedCheck[];
}

/** Init containers, containers and ephemeral ones, in this order. */
export function allContainers({ initContainers, containers, ephemeralContainers }: PodSpec): Container[] {
  return [...(initContainers ?? []), ...(containers ?? []), ...((ephemeralContainers ?? []) as Container[])];
}

/** The names of the containers a condition holds for. */
export function namesOf(spec: PodSpec, condition: (container: Container) => boolean): string[] {
  return allContainers(spec).filter(condition).map(({ name }) => name);
}

export const plural = (singular: string, many: string, count: number): string => (count === 1 ? singular : many);

/** `"a", "b"`. */
export const quoted = (items: readonly string[]): string => items.map((item) => `"${item}"`).join(", ");

/** `container "a"`, `containers "a", "b"`. */
export const containersText = (names: readonly string[]): string => `${plural("container", "containers", names.length)} ${quoted(names)}`;

/** Who set something: the pod, some containers, or both. */
export function settersText(pod: boolean, names: readonly string[]): string {
  return [...(pod ? ["pod"] : []), ...(names.length > 0 ? [containersText(names)] : [])].join(" and ");
}

/** Each value once, sorted. */
export const distinct = (values: readonly string[]): string[] => [...new Set(values)].sort();

export const isWindows = ({ os }: PodSpec): boolean => os?.name === "windows";
/** A pod whose users are not the host's may do what is harmless then. */
export const hasOwnUsers = ({ hostUsers }: PodSpec): boolean => hostUsers === false;

/** The same check, skipped where `condition` holds. */
export function unless(condition: (spec: PodSpec) => boolean, check: CheckPod): CheckPod {
  return (spec, metadata) => (condition(spec) ? undefined : check(spec, metadata));
}

/** Whether a seccomp or AppArmor profile is one that confines nothing. */
export const isBadProfile = (type: string | undefined): boolean => type !== undefined && type !== "RuntimeDefault" && type !== "Localhost";

export const seccompType = ({ securityContext }: Container | PodSpec): string | undefined => securityContext?.seccompProfile?.type;

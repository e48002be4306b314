// What the rules for one part of a pod need to know about the rest of it.
import type { ObjectMeta, PodSpec, Volume } from "../../../../../api/types.ts";

/** Worked out once per pod. */
export interface PodContext {
  readonly gracePeriodSeconds: number | undefined;
  readonly restartPolicy: string;
  readonly os: string | undefined;
  readonly hostUsers: boolean;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly claimNames: ReadonlySet<string>;
  /** The pod's metadata; undefined in templates. */
  readonly metadata: ObjectMeta | undefined;
}

/** The context of a pod, or of a template when there is no metadata. */
export function contextOf(spec: PodSpec, metadata: ObjectMeta | undefined, volumes: ReadonlyMap<string, Volume>): PodContext {
  return {
    gracePeriodSeconds: spec.terminationGracePeriodSeconds,
    restartPolicy: spec.restartPolicy ?? "",
    os: spec.os?.name,
    hostUsers: spec.hostUsers !== false,
    volumes, metadata,
    claimNames: new Set((spec.resourceClaims ?? []).map(({ name }) => name)),
  };
}

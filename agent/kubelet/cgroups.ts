// The cgroup tree the pods of a node live in; `cgroupfs.ts` makes it real.
import type { Pod } from "../../api/types.ts";

/** Pod-level cgroups. All calls are idempotent; removal succeeds on absence. */
export interface Cgroups {
  /** What the runtime is told as the parent of the pod's containers. */
  parentOf(pod: Pod): string;
  /** Makes the pod's cgroup with its limits, or brings the limits up to date. */
  ensure(pod: Pod): Promise<void>;
  remove(uid: string): Promise<void>;
  /** Uids of pods that have a cgroup, for finding orphans. */
  uids(): Promise<string[]>;
}

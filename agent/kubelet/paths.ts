// Where a node keeps what belongs to a pod: one place for every path, laid out as upstream does.
import { dirname, join } from "node:path";
import type { Pod } from "../../api/types.ts";

export class Paths {
  constructor(readonly dataDir: string, readonly podLogs: string) {}

  /** Where log collectors look for links to all container logs: beside the pods' own. */
  get containerLogs(): string {
    return join(dirname(this.podLogs), "containers");
  }

  get pods(): string {
    return join(this.dataDir, "pods");
  }

  pod(uid: string): string {
    return join(this.pods, uid);
  }

  volumes(uid: string): string {
    return join(this.pod(uid), "volumes");
  }

  /** A volume's directory; `plugin` is upstream's name, as in `kubernetes.io~empty-dir`. */
  volume(uid: string, plugin: string, name: string): string {
    return join(this.volumes(uid), plugin, name);
  }

  subpaths(uid: string): string {
    return join(this.pod(uid), "volume-subpaths");
  }

  container(uid: string, name: string): string {
    return join(this.pod(uid), "containers", name);
  }

  hostsFile(uid: string): string {
    return join(this.pod(uid), "etc-hosts");
  }

  podLogDirectory(pod: Pick<Pod, "metadata">): string {
    return join(this.podLogs, `${pod.metadata.namespace}_${pod.metadata.name}_${pod.metadata.uid}`);
  }

  get pauseProfile(): string {
    return join(this.dataDir, "run", "pause-seccomp.json");
  }

  get seccomp(): string {
    return join(this.dataDir, "seccomp");
  }
}

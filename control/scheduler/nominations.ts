// Pods room was made for: until they are placed, others of no more importance may not take that room.
// Kept from the pods' own status and from decisions whose status patch is still on its way.
import type { Nominations } from "./cycle.ts";
import type { NodeState } from "./nodestate.ts";
import type { PodInfo } from "./podinfo.ts";

/** Which waiting pods are nominated to which nodes. */
export class Nominator implements Nominations {
  readonly #byNode = new Map<string, Map<string, PodInfo>>();
  readonly #nodeOf = new Map<string, string>();

  /** Records where a pod is nominated to; undefined or empty takes it back. */
  set(pod: PodInfo, nodeName: string | undefined): void {
    this.remove(pod.uid);
    if (!nodeName) return;
    this.#nodeOf.set(pod.uid, nodeName);
    const pods = this.#byNode.get(nodeName);
    if (pods) pods.set(pod.uid, pod);
    else this.#byNode.set(nodeName, new Map([[pod.uid, pod]]));
  }

  remove(uid: string): void {
    const nodeName = this.#nodeOf.get(uid);
    if (nodeName === undefined) return;
    this.#nodeOf.delete(uid);
    const pods = this.#byNode.get(nodeName);
    pods?.delete(uid);
    if (pods?.size === 0) this.#byNode.delete(nodeName);
  }

  on(node: NodeState, pod: PodInfo): readonly PodInfo[] {
    if (this.#byNode.size === 0) return NOBODY;
    return this.all(node.name).filter((other) => other.uid !== pod.uid && other.priority >= pod.priority);
  }

  /** Everyone nominated to a node. */
  all(nodeName: string): readonly PodInfo[] {
    return [...(this.#byNode.get(nodeName)?.values() ?? [])];
  }
}

const NOBODY: readonly PodInfo[] = [];

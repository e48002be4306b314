// The pods of one node, by index.
import type { Informer } from "../../../api/client/informer.ts";
import type { Pod, Stored } from "../../../api/types.ts";

const NODE_INDEX = "nodeName";

/** Adds the index; safe to call by every controller that wants it. */
export function indexByNode(pods: Informer<Pod>): void {
  pods.addIndex(NODE_INDEX, (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
}

export function podsOnNode(pods: Informer<Pod>, nodeName: string): readonly Stored<Pod>[] {
  return pods.lister.byIndex(NODE_INDEX, nodeName);
}

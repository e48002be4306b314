// What the control plane and a node agree on about volumes that are directories on that node.
// The control plane makes and deletes the PersistentVolume; the node makes and removes the directory.
import { createHash } from "node:crypto";

/** The class's provisioner, and the annotation value its volumes carry. */
export const LOCAL_PATH_PROVISIONER = "minik8s.io/local-path";
/** On a volume until its node has removed the directory. */
export const LOCAL_PATH_FINALIZER = "minik8s.io/local-path";
/** The label a node finds its volumes by. */
export const LOCAL_PATH_NODE = "minik8s.io/local-path-node";

const MAX_LABEL = 63;

/** The label's value for a node: its name, or a hash of one that is too long for a label. */
export function localPathNodeLabel(nodeName: string): string {
  return nodeName.length <= MAX_LABEL ? nodeName : createHash("sha256").update(nodeName).digest("hex").slice(0, MAX_LABEL);
}

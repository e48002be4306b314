// Pods that need what only some nodes can do go to nodes that say they can: `status.declaredFeatures`.
// Which features a pod needs is inferred from its spec. Rules: k8s.io/component-helpers/nodedeclaredfeatures.
import type { PodSpec } from "../../../api/types.ts";
import { unresolvable, type Plugin } from "../framework.ts";
import { isOwnUpdate } from "./node.ts";

const NAME = "NodeDeclaredFeatures";
const NOT_DECLARED = unresolvable(NAME, "node(s) didn't match Pod's required features");
const NONE: readonly string[] = [];

/** The node declares every feature the pod needs. */
export const nodeDeclaredFeatures: Plugin = {
  name: NAME,
  filterNode: ({ shape: { features } }, node) => (features.every((feature) => node.declaredFeatures.includes(feature)) ? undefined : NOT_DECLARED),
  hint: {
    on: ["NodeAdd", "NodeUpdate", "PodUpdate"],
    helps: (event, pod) => {
      if (event.type === "NodeUpdate") return event.node.declaredFeatures.join() !== event.old.declaredFeatures.join();
      return event.type === "NodeAdd" || isOwnUpdate(event, pod);
    },
  },
};

/** The features without which a node could not run the pod. */
export function neededFeatures({ containers, initContainers = [], hostNetwork, hostUsers }: PodSpec): readonly string[] {
  const restartsAll = [...initContainers, ...containers].some(({ restartPolicyRules }) => restartPolicyRules?.some(({ action }) => action === "RestartAllContainers"));
  const mapsHostNetwork = hostNetwork === true && hostUsers === false;
  if (!restartsAll && !mapsHostNetwork) return NONE;
  return [...(restartsAll ? ["RestartAllContainersOnContainerExits"] : []), ...(mapsHostNetwork ? ["UserNamespacesHostNetworkSupport"] : [])];
}

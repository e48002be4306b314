// DefaultTolerationSeconds and TaintNodesByCondition: pods outlive a short outage, and new nodes wait until they are ready.
import type { Node, Pod, PodSpec, Toleration } from "../../../api/types.ts";
import { isOn } from "./attributes.ts";
import type { AdmissionPlugin } from "./plugin.ts";

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";
const DEFAULT_SECONDS = 300;

/** Pods stay five minutes on a node that is not ready or cannot be reached, unless they say otherwise. */
export function defaultTolerationSeconds(): AdmissionPlugin {
  return {
    name: "DefaultTolerationSeconds",
    concerns: (door) => isOn(door, "pods", ["CREATE", "UPDATE"]),
    admit: ({ object }) => {
      const spec = (object as Pod).spec as PodSpec;
      for (const key of [NOT_READY, UNREACHABLE]) {
        if (spec.tolerations?.some((toleration) => tolerates(toleration, key))) continue;
        spec.tolerations = [...(spec.tolerations ?? []), { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: DEFAULT_SECONDS }];
      }
    },
  };
}

function tolerates({ key = "", effect = "" }: Toleration, taint: string): boolean {
  return (key === taint || key === "") && (effect === "NoExecute" || effect === "");
}

/** A new node takes no pods before it has said that it is ready. */
export function taintNodesByCondition(): AdmissionPlugin {
  return {
    name: "TaintNodesByCondition",
    concerns: (door) => isOn(door, "nodes", ["CREATE"]),
    admit: ({ object }) => {
      const node = object as Node;
      node.spec ??= {};
      if (node.spec.taints?.some(({ key, effect }) => key === NOT_READY && effect === "NoSchedule")) return;
      node.spec.taints = [...(node.spec.taints ?? []), { key: NOT_READY, effect: "NoSchedule" }];
    },
  };
}

// SchedulingGates: a pod with gates is not even tried until the last one is removed.
import { unresolvable, type Plugin } from "../framework.ts";

export const schedulingGates: Plugin = {
  name: "SchedulingGates",
  preEnqueue: (pod) => {
    const gates = pod.pod.spec?.schedulingGates ?? [];
    if (gates.length === 0) return undefined;
    return unresolvable("SchedulingGates", `waiting for scheduling gates: [${gates.map((g) => g.name).join(" ")}]`);
  },
  hint: { on: ["PodUpdate"], helps: (event, pod) => event.type === "PodUpdate" && event.pod.uid === pod.uid && (event.pod.pod.spec?.schedulingGates ?? []).length === 0 },
};

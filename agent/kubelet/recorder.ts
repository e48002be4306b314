// Events as the kubelet tells them: a narrow sink, and references to pods and single containers.
// Who sends them (aggregation, rate limits) is the API client's recorder.
import type { ObjectReference, Pod } from "../../api/types.ts";

export type EventType = "Normal" | "Warning";

/** Takes one event about an object; never blocks and never throws. */
export interface EventSink {
  event(about: ObjectReference, type: EventType, reason: string, message: string): void;
}

/** The pod itself. */
export function podRef(pod: Pod): ObjectReference {
  const { name, namespace, uid, resourceVersion } = pod.metadata;
  return { apiVersion: "v1", kind: "Pod", name, namespace, uid, resourceVersion };
}

/** One container of the pod, as upstream names it: `spec.containers{app}`. */
export function containerRef(pod: Pod, name: string): ObjectReference {
  const field = pod.spec?.initContainers?.some((c) => c.name === name) ? "initContainers" : pod.spec?.ephemeralContainers?.some((c) => c.name === name) ? "ephemeralContainers" : "containers";
  return { ...podRef(pod), fieldPath: `spec.${field}{${name}}` };
}

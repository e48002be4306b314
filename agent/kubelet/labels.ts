// The labels and annotations that tie sandboxes and containers in a runtime to pods, with upstream's names.
// They are all an agent has after a restart, so adoption depends on them; nothing else is remembered on disk for it.
import type { Container, Pod } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";

export const POD_NAME = "io.kubernetes.pod.name";
export const POD_NAMESPACE = "io.kubernetes.pod.namespace";
export const POD_UID = "io.kubernetes.pod.uid";
export const CONTAINER_NAME = "io.kubernetes.container.name";
const HASH = "io.kubernetes.container.hash";
const RESTART_COUNT = "io.kubernetes.container.restartCount";
const TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath";
const TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy";
const PRE_STOP = "io.kubernetes.container.preStopHandler";
const PORTS = "io.kubernetes.container.ports";
const DELETION_GRACE = "io.kubernetes.pod.deletionGracePeriod";
const TERMINATION_GRACE = "io.kubernetes.pod.terminationGracePeriod";
/** Where the termination message file lies on the host; ours, because records do not list mounts. */
const TERMINATION_FILE = "minik8s.io/termination-message-file";

/** A container's identity for change detection: only a new name or image makes a running container outdated. */
export function hashOf(container: Pick<Container, "name" | "image">): string {
  return fnv1a(JSON.stringify({ name: container.name, image: container.image ?? "" })).toString(16);
}

/** Labels of a pod's sandbox: the pod's own, then its identity. */
export function sandboxLabels(pod: Pod): Record<string, string> {
  return { ...pod.metadata.labels, [POD_NAME]: pod.metadata.name ?? "", [POD_NAMESPACE]: pod.metadata.namespace ?? "", [POD_UID]: pod.metadata.uid ?? "" };
}

/** Labels of a container: the pod's identity and its own name. */
export function containerLabels(pod: Pod, name: string): Record<string, string> {
  return { [CONTAINER_NAME]: name, [POD_NAME]: pod.metadata.name ?? "", [POD_NAMESPACE]: pod.metadata.namespace ?? "", [POD_UID]: pod.metadata.uid ?? "" };
}

/** Annotations of a container: what is needed to judge, stop and report it without its pod's spec. */
export function containerAnnotations(pod: Pod, container: Container, extra: { restartCount: number; terminationFile: string }): Record<string, string> {
  return {
    [HASH]: hashOf(container),
    [RESTART_COUNT]: String(extra.restartCount),
    [TERMINATION_PATH]: container.terminationMessagePath ?? "/dev/termination-log",
    [TERMINATION_POLICY]: container.terminationMessagePolicy ?? "File",
    [TERMINATION_FILE]: extra.terminationFile,
    ...(container.lifecycle?.preStop && { [PRE_STOP]: JSON.stringify(container.lifecycle.preStop) }),
    ...(container.ports?.length && { [PORTS]: JSON.stringify(container.ports) }),
    ...(pod.metadata.deletionGracePeriodSeconds !== undefined && { [DELETION_GRACE]: String(pod.metadata.deletionGracePeriodSeconds) }),
    ...(pod.spec?.terminationGracePeriodSeconds !== undefined && { [TERMINATION_GRACE]: String(pod.spec.terminationGracePeriodSeconds) }),
  };
}

/** The hash a running container was started with; undefined when it carries none. */
export const recordedHash = (record: ContainerRecord): string | undefined => record.annotations[HASH];

/** How often the container had been restarted when this instance was made. */
export const restartCountOf = (record: ContainerRecord): number => Number(record.annotations[RESTART_COUNT] ?? record.attempt) || 0;

/** How and where this container leaves its last words. */
export function terminationMessageOf(record: ContainerRecord): { file: string | undefined; policy: string } {
  return { file: record.annotations[TERMINATION_FILE], policy: record.annotations[TERMINATION_POLICY] ?? "File" };
}

/** What can be restored of a container whose pod is gone from the API: enough to stop it gracefully. */
export function restoreSpec(record: ContainerRecord): { container: Container; graceSeconds: number } {
  const preStop = record.annotations[PRE_STOP];
  const ports = record.annotations[PORTS];
  const grace = record.annotations[DELETION_GRACE] ?? record.annotations[TERMINATION_GRACE];
  return {
    container: {
      name: record.name,
      ...(preStop && { lifecycle: { preStop: JSON.parse(preStop) as NonNullable<Container["lifecycle"]>["preStop"] } }),
      ...(ports && { ports: JSON.parse(ports) as NonNullable<Container["ports"]> }),
    },
    graceSeconds: grace === undefined ? 30 : Number(grace),
  };
}

/** 32-bit FNV-1a over UTF-8. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

// The security context a container really runs with: the pod's merged under the container's own. Pure.
// Refusals (runAsNonRoot) come in upstream's words.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Container, Pod, SecurityContext } from "../../api/types.ts";
import type { ContainerConfig, NamespaceOptions, SecurityProfile } from "../runtime/runtime.ts";
import { podLabel } from "./actions.ts";

/** The pod may not run like this; becomes CreateContainerConfigError. */
export class SecurityError extends Error {
  override readonly name = "SecurityError";
}

/** The user an image says it runs as. */
export interface ImageUser {
  readonly uid: number | undefined;
  readonly username: string;
}

/** Reads an image's USER: `1000`, `1000:1000`, `www-data`, or nothing, which is root. */
export function imageUser(user: string): ImageUser {
  const [name = ""] = user.split(":");
  if (name === "") return { uid: 0, username: "" };
  return /^\d+$/.test(name) ? { uid: Number(name), username: "" } : { uid: undefined, username: name };
}

/** The container's security context with the pod's filled in where it says nothing. */
export function effectiveContext(pod: Pod, container: Container): SecurityContext {
  const { runAsUser, runAsGroup, runAsNonRoot, seccompProfile, appArmorProfile } = pod.spec?.securityContext ?? {};
  return {
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    ...(runAsNonRoot !== undefined && { runAsNonRoot }),
    ...(seccompProfile && { seccompProfile }),
    ...(appArmorProfile && { appArmorProfile }),
    ...container.securityContext,
  };
}

/** Throws SecurityError when the container must not run as root and would, or might. */
export function verifyNonRoot(pod: Pod, container: Container, image: ImageUser): void {
  const context = effectiveContext(pod, container);
  if (!context.runAsNonRoot) return;
  const where = `(pod: "${podLabel(pod)}", container: ${container.name})`;
  if (context.runAsUser !== undefined) {
    if (context.runAsUser === 0) throw new SecurityError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  if (image.uid === undefined) throw new SecurityError(`container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`);
  if (image.uid === 0) throw new SecurityError(`container has runAsNonRoot and image will run as root ${where}`);
}

/** The runtime's form of the effective context. `seccompRoot` holds Localhost profiles. */
export function containerSecurity(pod: Pod, container: Container, options: { image: ImageUser; namespaces: NamespaceOptions; seccompRoot: string; isSeccompDefault?: boolean }): ContainerConfig["security"] {
  verifyNonRoot(pod, container, options.image);
  const context = effectiveContext(pod, container);
  const podContext = pod.spec?.securityContext;
  const user = context.runAsUser ?? options.image.uid;
  const seccomp = profile(context.seccompProfile, (name) => join(options.seccompRoot, name)) ?? { type: options.isSeccompDefault ? ("RuntimeDefault" as const) : ("Unconfined" as const) };
  const apparmor = profile(context.appArmorProfile, (name) => name);
  return {
    privileged: context.privileged ?? false,
    readOnlyRootFilesystem: context.readOnlyRootFilesystem ?? false,
    noNewPrivileges: context.allowPrivilegeEscalation === false,
    addCapabilities: context.capabilities?.add ?? [],
    dropCapabilities: context.capabilities?.drop ?? [],
    ...(user !== undefined ? { runAsUser: user } : { runAsUsername: options.image.username }),
    ...(context.runAsGroup !== undefined && { runAsGroup: context.runAsGroup }),
    supplementalGroups: supplementalGroups(pod),
    ...(podContext?.supplementalGroupsPolicy && { supplementalGroupsPolicy: podContext.supplementalGroupsPolicy as "Merge" | "Strict" }),
    seccomp,
    ...(apparmor && { apparmor }),
    ...procPaths(context),
    namespaces: options.namespaces,
  };
}

/** What nobody needs and some could misuse. A CRI runtime masks exactly what it is told to, and nothing when told nothing. */
const MASKED_PATHS = [
  "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
  ...Array.from({ length: availableParallelism() }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`),
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function procPaths({ procMount, privileged }: SecurityContext): Pick<ContainerConfig["security"], "maskedPaths" | "readonlyPaths"> {
  return procMount === "Unmasked" || privileged ? { maskedPaths: [], readonlyPaths: [] } : { maskedPaths: MASKED_PATHS, readonlyPaths: READONLY_PATHS };
}

/** fsGroup first, then the groups named. */
export function supplementalGroups(pod: Pod): number[] {
  const { fsGroup, supplementalGroups: named = [] } = pod.spec?.securityContext ?? {};
  return [...(fsGroup !== undefined ? [fsGroup] : []), ...named];
}

/** The namespaces of a pod's containers; ephemeral ones may join the processes of another container. */
export function namespacesOf(pod: Pod, { targetContainerId, user }: { readonly targetContainerId?: string | undefined; readonly user?: NamespaceOptions["user"] } = {}): NamespaceOptions {
  const spec = pod.spec;
  const pid = spec?.hostPID ? "node" : spec?.shareProcessNamespace ? "pod" : "container";
  return {
    network: spec?.hostNetwork ? "node" : "pod",
    pid: targetContainerId !== undefined && pid === "container" ? { targetContainerId } : pid,
    ipc: spec?.hostIPC ? "node" : "pod",
    ...(user && { user }),
  };
}

function profile(wanted: { type: string; localhostProfile?: string | undefined } | undefined, resolve: (name: string) => string): SecurityProfile | undefined {
  if (!wanted) return undefined;
  if (wanted.type !== "Localhost") return { type: wanted.type as "RuntimeDefault" | "Unconfined" };
  return { type: "Localhost", localhostRef: resolve(wanted.localhostProfile ?? "") };
}

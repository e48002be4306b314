// The sandbox a pod needs, in the runtime's terms. Pure.
import type { Pod } from "../../api/types.ts";
import type { NamespaceOptions, SandboxConfig } from "../runtime/runtime.ts";
import type { DnsConfig } from "./dns.ts";
import { sandboxHostName } from "./hosts.ts";
import { sandboxLabels } from "./labels.ts";
import { effectiveContext, namespacesOf, supplementalGroups } from "./security.ts";

export interface SandboxInput {
  readonly pod: Pod;
  readonly attempt: number;
  readonly dns: DnsConfig;
  readonly clusterDomain: string;
  readonly logDirectory: string;
  readonly cgroupParent: string;
  readonly runtimeHandler: string;
  /** The host ids of a user namespace of the pod's own. */
  readonly user?: NamespaceOptions["user"];
}

/** The configuration of the pod's `attempt`-th sandbox; throws for an FQDN that is too long. */
export function sandboxConfig(input: SandboxInput): SandboxConfig {
  const { pod } = input;
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  const { runAsUser, runAsGroup, sysctls = [] } = pod.spec?.securityContext ?? {};
  return {
    name, namespace, uid,
    attempt: input.attempt,
    hostname: pod.spec?.hostNetwork ? "" : sandboxHostName(pod, input.clusterDomain),
    logDirectory: input.logDirectory,
    dns: input.dns,
    portMappings: portMappings(pod),
    labels: sandboxLabels(pod),
    annotations: { ...pod.metadata.annotations },
    cgroupParent: input.cgroupParent,
    // runc knows sysctls by their dotted names only.
    sysctls: Object.fromEntries(sysctls.map(({ name, value }) => [name.replaceAll("/", "."), value])),
    namespaces: namespacesOf(pod, { user: input.user }),
    privileged: [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].some((c) => effectiveContext(pod, c).privileged === true),
    seccomp: { type: "RuntimeDefault" },
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    supplementalGroups: supplementalGroups(pod),
    runtimeHandler: input.runtimeHandler,
  };
}

function portMappings(pod: Pod): SandboxConfig["portMappings"] {
  if (pod.spec?.hostNetwork) return [];
  const containers = [...(pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always"), ...(pod.spec?.containers ?? [])];
  return containers.flatMap((container) => container.ports ?? []).filter((port) => (port.hostPort ?? 0) > 0).map((port) => ({
    protocol: (port.protocol ?? "TCP") as "TCP" | "UDP" | "SCTP",
    containerPort: port.containerPort,
    hostPort: port.hostPort ?? 0,
    hostIP: port.hostIP ?? "",
  }));
}

// What minik8s knows of a container that Docker does not, kept as one label: identity, labels and annotations of CRI's kind.
// Image labels mix with a container's own in Docker, so the kubelet's are not put there one by one.
import type { ContainerConfig, SandboxConfig } from "../runtime.ts";

export const TYPE_LABEL = "minik8s.io/type";
export const RECORD_LABEL = "minik8s.io/record";

export interface SandboxLabel {
  readonly type: "sandbox";
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  readonly hostNetwork: boolean;
  readonly logDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerLabel {
  readonly type: "container";
  readonly name: string;
  readonly attempt: number;
  readonly sandboxId: string;
  readonly podUid: string;
  readonly image: string;
  /** Absolute. */
  readonly logPath: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A sandbox's Docker labels. */
export function sandboxLabels(config: SandboxConfig): Record<string, string> {
  const { name, namespace, uid, attempt, logDirectory, labels, annotations } = config;
  return encode({ type: "sandbox", name, namespace, uid, attempt, hostNetwork: config.namespaces.network === "node", logDirectory, labels, annotations });
}

/** A container's Docker labels. */
export function containerLabels(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Record<string, string> {
  const { name, attempt, image, labels, annotations } = config;
  return encode({ type: "container", name, attempt, sandboxId, podUid: sandbox.uid, image, logPath: `${sandbox.logDirectory}/${config.logPath}`, labels, annotations });
}

function encode(record: SandboxLabel | ContainerLabel): Record<string, string> {
  return { [TYPE_LABEL]: record.type, [RECORD_LABEL]: JSON.stringify(record) };
}

/** undefined for containers that are not ours. */
export function decodeLabels(labels: Readonly<Record<string, string>> | undefined): SandboxLabel | ContainerLabel | undefined {
  const text = labels?.[RECORD_LABEL];
  return text === undefined ? undefined : (JSON.parse(text) as SandboxLabel | ContainerLabel);
}

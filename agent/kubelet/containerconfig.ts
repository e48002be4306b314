// A container in the runtime's terms, from its spec and what was prepared for it. Pure.
// Env, mounts and files are made by the caller.
import { join } from "node:path";
import type { Container, Pod } from "../../api/types.ts";
import type { ContainerConfig, Mount, NamespaceOptions } from "../runtime/runtime.ts";
import { expand } from "./expand.ts";
import { containerAnnotations, containerLabels } from "./labels.ts";
import { containerResources, type Machine } from "./resources.ts";
import { containerSecurity, namespacesOf, type ImageUser } from "./security.ts";

export interface ContainerInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly restartCount: number;
  /** The image as the runtime knows it. */
  readonly imageId: string;
  readonly image: ImageUser;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices?: ContainerConfig["devices"];
  readonly machine: Machine;
  readonly seccompRoot: string;
  /** What containers that name no profile get. */
  readonly isSeccompDefault?: boolean;
  /** The host's file behind terminationMessagePath. */
  readonly terminationFile: string;
  /** For ephemeral containers that join another's processes. */
  readonly targetContainerId?: string | undefined;
  readonly user?: NamespaceOptions["user"];
}

/** The configuration; throws SecurityError where the pod may not run as it would. */
export function containerConfig(input: ContainerInput): ContainerConfig {
  const { pod, container, restartCount } = input;
  const values = new Map(input.env.map(({ name, value }) => [name, value]));
  const expanded = (text: string): string => expand(text, (name) => values.get(name));
  return {
    name: container.name,
    attempt: restartCount,
    image: input.imageId,
    command: (container.command ?? []).map(expanded),
    args: (container.args ?? []).map(expanded),
    workingDir: container.workingDir ?? "",
    env: input.env,
    mounts: input.mounts,
    devices: input.devices ?? [],
    labels: containerLabels(pod, container.name),
    annotations: containerAnnotations(pod, container, { restartCount, terminationFile: input.terminationFile }),
    logPath: join(container.name, `${restartCount}.log`),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    ...(container.lifecycle?.stopSignal && { stopSignal: container.lifecycle.stopSignal }),
    resources: containerResources(pod, container, input.machine),
    security: containerSecurity(pod, container, { image: input.image, namespaces: namespacesOf(pod, { targetContainerId: input.targetContainerId, user: input.user }), seccompRoot: input.seccompRoot, isSeccompDefault: input.isSeccompDefault ?? false }),
  };
}

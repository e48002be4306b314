// What is mounted into a container: its volumes, the managed /etc/hosts and its termination message file.
// Volumes are set up before; paths inside them are resolved here, safely, by `agent/volumes/subpath.ts`.
import { chmod, readFile, writeFile } from "node:fs/promises";
import type { Container, Pod, VolumeMount } from "../../api/types.ts";
import type { ContainerConfig, Mount } from "../runtime/runtime.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { expand } from "./expand.ts";
import { hostsFile } from "./hosts.ts";
import type { NodeServices } from "./services.ts";

export interface MountsInput {
  readonly node: NodeServices;
  readonly pod: Pod;
  readonly container: Container;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly podIps: readonly string[];
  readonly terminationFile: string;
}

const HOSTS = "/etc/hosts";

/** All mounts of the container; throws with upstream's words for a volume or sub-path that is not there. */
export async function containerMounts(input: MountsInput): Promise<Mount[]> {
  const { node, pod, container } = input;
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) mounts.push(await volumeMount(input, mount, index));
  if (!container.volumeMounts?.some((mount) => mount.mountPath === HOSTS)) {
    const hostPath = await writeHosts(node, pod, input.podIps);
    mounts.push({ containerPath: HOSTS, hostPath, readOnly: false, propagation: "private" });
  }
  const terminationPath = container.terminationMessagePath ?? "/dev/termination-log";
  if (terminationPath !== "") {
    // The umask may have taken bits away, and any user of the container must be able to write.
    await chmod(input.terminationFile, 0o666);
    mounts.push({ containerPath: terminationPath, hostPath: input.terminationFile, readOnly: false, propagation: "private" });
  }
  return mounts;
}

/** The block devices the container asks for; throws with upstream's words for one that is not there. */
export function containerDevices(container: Container, volumes: ReadonlyMap<string, MountedVolume>): ContainerConfig["devices"] {
  return (container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const volume = volumes.get(name);
    if (!volume) throw new Error(`cannot find volume "${name}" to pass into container "${container.name}"`);
    if (!volume.isDevice) throw new Error(`volume ${name} has volumeMode Filesystem, but is specified in volumeDevices`);
    return { hostPath: volume.hostPath, containerPath: devicePath, permissions: volume.readOnly ? "r" : "mrw" };
  });
}

async function volumeMount({ node, pod, container, volumes, env }: MountsInput, mount: VolumeMount, index: number): Promise<Mount> {
  const volume = volumes.get(mount.name);
  if (volume?.isDevice) throw new Error(`volume ${mount.name} has volumeMode Block, but is specified in volumeMounts`);
  if (!volume) throw new Error(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
  const values = new Map(env.map(({ name, value }) => [name, value]));
  const subPath = mount.subPathExpr ? strictExpand(mount.subPathExpr, values) : (mount.subPath ?? "");
  const containerPath = mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`;
  const common = { containerPath, readOnly: volume.readOnly || mount.readOnly === true, propagation: propagationOf(mount) } as const;
  if (volume.image !== undefined) return { ...common, hostPath: "", image: volume.image, readOnly: true, ...(subPath && { imageSubPath: subPath }) };
  const hostPath = subPath === "" ? volume.hostPath : await node.volumes.subPath({ pod, volume: mount.name, root: volume.hostPath, subPath, container: container.name, index });
  const isRecursive = common.readOnly && (mount.recursiveReadOnly === "Enabled" || (mount.recursiveReadOnly === "IfPossible" && node.supportsRecursiveReadOnly(pod)));
  return { ...common, hostPath, ...(isRecursive && { recursiveReadOnly: true }) };
}

function strictExpand(text: string, values: ReadonlyMap<string, string>): string {
  return expand(text, (name) => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`missing value for "${name}"`);
    return value;
  });
}

function propagationOf(mount: VolumeMount): Mount["propagation"] {
  if (mount.mountPropagation === "HostToContainer") return "hostToContainer";
  return mount.mountPropagation === "Bidirectional" ? "bidirectional" : "private";
}

async function writeHosts(node: NodeServices, pod: Pod, podIps: readonly string[]): Promise<string> {
  const path = node.paths.hostsFile(pod.metadata.uid ?? "");
  const nodeHosts = pod.spec?.hostNetwork ? await readFile(HOSTS, "utf8").catch(() => "") : "";
  await writeFile(path, hostsFile(pod, { podIps, clusterDomain: node.clusterDomain, nodeHosts }), { mode: 0o644 });
  return path;
}

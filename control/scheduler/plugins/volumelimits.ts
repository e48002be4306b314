// NodeVolumeLimits: no more volumes of a CSI driver on a node than the driver says it can attach there.
import { unresolvable, unschedulable, type Plugin, type Preparation, type Status } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import { classOf } from "../pvmatch.ts";
import type { Volumes } from "../volumes.ts";
import { isOwnUpdate } from "./node.ts";

const NAME = "NodeVolumeLimits";
const EXCEEDED = unschedulable(NAME, "node(s) exceed max volume count");

export function nodeVolumeLimits(volumes: Volumes): Plugin {
  return {
    name: NAME,
    prepareFilter: (pod) => (pod.claims.length === 0 ? undefined : prepare(pod, volumes)),
    hint: {
      on: ["NodeAdd", "AssignedPodDelete", "ObjectChange", "PodUpdate"],
      helps: (event, pod) => (event.type === "ObjectChange" ? ["csinodes", "persistentvolumeclaims", "volumeattachments"].includes(event.resource) : event.type !== "PodUpdate" || isOwnUpdate(event, pod)),
    },
  };
}

function prepare(pod: PodInfo, volumes: Volumes): Preparation {
  for (const { key, name } of pod.claims) {
    if (!volumes.claims.get(key)) return { reject: unresolvable(NAME, `looking up PVC ${key}: persistentvolumeclaim ${JSON.stringify(name)} not found`) };
  }
  const wanted = handlesOf(pod, volumes);
  return wanted.size === 0 ? undefined : { filter: (node) => check(wanted, node, volumes) };
}

function check(wanted: ReadonlyMap<string, string>, node: NodeState, volumes: Volumes): Status | undefined {
  const limits = new Map<string, number>();
  for (const driver of volumes.csiNode(node.name)?.spec?.drivers ?? []) if (driver.allocatable?.count !== undefined) limits.set(driver.name, driver.allocatable.count);
  if (limits.size === 0) return undefined;
  const attached = attachedTo(node, volumes);
  const counts = new Map<string, number>();
  for (const driver of attached.values()) counts.set(driver, (counts.get(driver) ?? 0) + 1);
  for (const [handle, driver] of wanted) if (!attached.has(handle)) counts.set(driver, (counts.get(driver) ?? 0) + 1);
  for (const driver of new Set(wanted.values())) if ((counts.get(driver) ?? 0) > (limits.get(driver) ?? Infinity)) return EXCEEDED;
  return undefined;
}

/** What the node's pods use and what is attached to it, each volume once. */
function attachedTo(node: NodeState, volumes: Volumes): Map<string, string> {
  const attached = new Map<string, string>();
  for (const pod of node.pods.values()) for (const [handle, driver] of handlesOf(pod, volumes)) attached.set(handle, driver);
  for (const { spec } of volumes.attachments()) {
    if (spec?.nodeName !== node.name) continue;
    const source = volumes.volumes.get(spec.source.persistentVolumeName ?? "")?.spec?.csi ?? spec.source.inlineVolumeSpec?.csi;
    if (source) attached.set(`${source.driver}/${source.volumeHandle}`, source.driver);
  }
  return attached;
}

/** CSI volumes of a pod: driver by unique name. A claim without a volume yet counts for the driver that will make it. */
function handlesOf(pod: PodInfo, volumes: Volumes): Map<string, string> {
  const handles = new Map<string, string>();
  for (const { key } of pod.claims) {
    const claim = volumes.claims.get(key);
    if (!claim) continue;
    const volume = volumes.volumes.get(claim.spec?.volumeName ?? "");
    const csi = volume?.spec?.csi;
    if (csi) handles.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
    const provisioner = volume ? undefined : volumes.storageClass(classOf(claim))?.provisioner;
    if (provisioner && volumes.driver(provisioner)) handles.set(`${provisioner}/${key}`, provisioner);
  }
  return handles;
}

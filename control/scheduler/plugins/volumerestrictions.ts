// VolumeRestrictions: a claim for one pod only is used by one pod only, and old kinds of disks are not mounted twice.
import type { PersistentVolumeClaim, Stored, Volume } from "../../../api/types.ts";
import { unresolvable, unschedulable, type Plugin, type Preparation } from "../framework.ts";
import type { Cluster } from "../cluster.ts";
import type { PodInfo } from "../podinfo.ts";
import type { Volumes } from "../volumes.ts";
import { isOwnUpdate } from "./node.ts";

const NAME = "VolumeRestrictions";
const DISK_CONFLICT = unschedulable(NAME, "node(s) had no available disk");
const IN_USE = unschedulable(NAME, "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod");

export function volumeRestrictions(volumes: Volumes): Plugin {
  return {
    name: NAME,
    prepareFilter: (pod, cluster) => prepare(pod, cluster, volumes),
    hint: {
      on: ["AssignedPodDelete", "ObjectChange", "PodUpdate"],
      helps: (event, pod) => event.type === "AssignedPodDelete" || (event.type === "ObjectChange" ? event.resource === "persistentvolumeclaims" : isOwnUpdate(event, pod)),
    },
  };
}

function prepare(pod: PodInfo, cluster: Cluster, volumes: Volumes): Preparation {
  const disks = (pod.pod.spec?.volumes ?? []).filter(isDisk);
  const exclusive: string[] = [];
  for (const { key, name, isEphemeral } of pod.claims) {
    if (isEphemeral) continue;
    const claim = volumes.claims.get(key);
    if (!claim) return { reject: unresolvable(NAME, `persistentvolumeclaim ${JSON.stringify(name)} not found`) };
    if (isForOnePod(claim)) exclusive.push(key);
  }
  let users = exclusive.reduce((sum, key) => sum + Math.min(1, cluster.claimUsers.get(key) ?? 0), 0);
  if (disks.length === 0 && users === 0) return undefined;
  return {
    filter: (node) => {
      if (disks.length > 0) {
        for (const other of node.pods.values()) for (const disk of disks) if (conflicts(disk, other.pod.spec?.volumes ?? [])) return DISK_CONFLICT;
      }
      return users > 0 ? IN_USE : undefined;
    },
    change: (other, _node, by) => {
      users += by * other.claims.filter((c) => exclusive.includes(c.key)).length;
    },
  };
}

function isForOnePod(claim: Stored<PersistentVolumeClaim>): boolean {
  return claim.spec?.accessModes?.includes("ReadWriteOncePod") ?? false;
}

function isDisk(volume: Volume): boolean {
  return Boolean(volume.gcePersistentDisk ?? volume.awsElasticBlockStore ?? volume.rbd ?? volume.iscsi);
}

/** Read-only mounts may share a disk, except on the kind that cannot. */
function conflicts(disk: Volume, others: readonly Volume[]): boolean {
  return others.some((other) => {
    const { gcePersistentDisk: gce, awsElasticBlockStore: aws, iscsi, rbd } = disk;
    if (gce && other.gcePersistentDisk?.pdName === gce.pdName && !(gce.readOnly && other.gcePersistentDisk.readOnly)) return true;
    if (aws && other.awsElasticBlockStore?.volumeID === aws.volumeID) return true;
    if (iscsi && other.iscsi?.iqn === iscsi.iqn && !(iscsi.readOnly && other.iscsi.readOnly)) return true;
    const theirs = other.rbd;
    return rbd !== undefined && theirs !== undefined && rbd.monitors.some((m) => theirs.monitors.includes(m))
      && (rbd.pool ?? "rbd") === (theirs.pool ?? "rbd") && rbd.image === theirs.image && !(rbd.readOnly && theirs.readOnly);
  });
}

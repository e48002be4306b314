// VolumeZone: a pod whose volumes carry zone labels goes to a node of that zone.
// For volumes made by cloud provisioners of old; newer ones say it by node affinity.
import { unresolvable, type Plugin } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import { classOf } from "../pvmatch.ts";
import type { Volumes } from "../volumes.ts";

const NAME = "VolumeZone";
const CONFLICT = unresolvable(NAME, "node(s) had no available volume zone");
const STABLE: Readonly<Record<string, string>> = {
  "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
};
const LABELS = [...Object.keys(STABLE), ...Object.values(STABLE)];

interface Zone {
  readonly key: string;
  readonly values: ReadonlySet<string>;
}

export function volumeZone(volumes: Volumes): Plugin {
  return {
    name: NAME,
    prepareFilter: (pod) => {
      if (pod.claims.length === 0) return undefined;
      const zones = zonesOf(pod, volumes);
      if (typeof zones === "string") return { reject: unresolvable(NAME, zones) };
      return zones.length === 0 ? undefined : { filter: (node) => (isInZones(node, zones) ? undefined : CONFLICT) };
    },
    hint: { on: ["NodeAdd", "NodeUpdate", "ObjectChange"], helps: (event) => event.type !== "ObjectChange" || ["storageclasses", "persistentvolumes", "persistentvolumeclaims"].includes(event.resource) },
  };
}

function zonesOf(pod: PodInfo, volumes: Volumes): Zone[] | string {
  const zones: Zone[] = [];
  for (const { key, name, isEphemeral } of pod.claims) {
    if (isEphemeral) continue;
    const claim = volumes.claims.get(key);
    if (!claim) return `persistentvolumeclaim ${JSON.stringify(name)} not found`;
    const volumeName = claim.spec?.volumeName;
    if (!volumeName) {
      const className = classOf(claim);
      if (className === "") return "PersistentVolumeClaim had no pv name and storageClass name";
      const storageClass = volumes.storageClass(className);
      if (!storageClass) return `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`;
      if (storageClass.volumeBindingMode !== "WaitForFirstConsumer") return "PersistentVolume had no name";
      continue;
    }
    const volume = volumes.volumes.get(volumeName);
    if (!volume) return `persistentvolume ${JSON.stringify(volumeName)} not found`;
    for (const label of LABELS) {
      const value = volume.metadata.labels?.[label];
      // Several zones are joined by two underscores.
      if (value !== undefined) zones.push({ key: label, values: new Set(value.split("__")) });
    }
  }
  return zones;
}

/** A node that says nothing of zones is in a cluster of one. */
function isInZones({ labels }: NodeState, zones: readonly Zone[]): boolean {
  if (!LABELS.some((label) => labels[label] !== undefined)) return true;
  return zones.every(({ key, values }) => values.has(labels[key] ?? labels[STABLE[key] ?? ""] ?? ""));
}

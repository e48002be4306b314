// Volumes and claims in bad weather: bound one to one, made and reclaimed once, and never let go while somebody uses them.
import { describe } from "bun:test";
import { LOCAL_PATH_FINALIZER, LOCAL_PATH_PROVISIONER } from "../../../api/localpath.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod, ResourceClaim, ResourceClaimTemplate, Stored } from "../../../api/types.ts";
import { PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD } from "../kinds.ts";
import { controllerRefOf } from "../owners.ts";
import { isActive } from "../pods.ts";
import { RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE } from "../resourceclaim.ts";
import { PROVISIONED_BY, SELECTED_NODE } from "../volumes/match.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const VOLUME_CONTROLLERS = ["persistentvolume-binder-controller", "local-path-provisioner-controller", "persistentvolumeclaim-protection-controller", "persistentvolume-protection-controller", "persistentvolume-expander-controller", "ephemeral-volume-controller", "garbage-collector-controller"];

/** What the scheduler and the node's agent do: place claims of waiting pods, and remove the directories of volumes that go. */
async function serveVolumes(world: World): Promise<void> {
  for (const pod of await world.list<Pod>(POD)) {
    for (const { name, persistentVolumeClaim, ephemeral } of pod.spec?.volumes ?? []) {
      const claim = persistentVolumeClaim?.claimName ?? (ephemeral ? `${pod.metadata.name}-${name}` : "");
      const found = await world.find<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, claim);
      if (found && !found.spec?.volumeName && !found.metadata.annotations?.[SELECTED_NODE]) await world.edit(PERSISTENT_VOLUME_CLAIM, claim, { metadata: { annotations: { [SELECTED_NODE]: "n" } } });
    }
  }
  for (const volume of await world.list<PersistentVolume>(PERSISTENT_VOLUME)) {
    const { finalizers = [], deletionTimestamp, name } = volume.metadata;
    if (deletionTimestamp && finalizers.includes(LOCAL_PATH_FINALIZER)) await world.edit(PERSISTENT_VOLUME, name, { metadata: { finalizers: finalizers.filter((finalizer) => finalizer !== LOCAL_PATH_FINALIZER) } });
  }
}

describe("in bad weather", () => {
  plays("claims and volumes are bound one to one, and both go when they may", {
    controllers: VOLUME_CONTROLLERS, steps: 60,
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const names = ["a", "b", "c", "d"];
      const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
      let next = 0;
      const boundTo = new Map<string, string>();
      return {
        actions: [
          ["a claim", () => unlessRefused(world.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { metadata: { name: world.pick(names) }, spec: { ...spec, ...(world.chance(0.5) && { storageClassName: world.pick(["local-path", "none"]) }) } }))],
          ["a claim", () => unlessRefused(world.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { metadata: { name: world.pick(names) }, spec: { ...spec, storageClassName: world.pick(["local-path", "none"]) } }))],
          ["a claim goes", () => world.remove(PERSISTENT_VOLUME_CLAIM, { metadata: { name: world.pick(names), namespace: "default" } })],
          ["a claim grows", () => world.edit(PERSISTENT_VOLUME_CLAIM, world.pick(names), { spec: { resources: { requests: { storage: "2Gi" } } } })],
          ["a volume", () => unlessRefused(world.create<PersistentVolume>(PERSISTENT_VOLUME, { metadata: { name: `v${next++}` }, spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], storageClassName: "none", hostPath: { path: "/v" }, persistentVolumeReclaimPolicy: "Retain" } }))],
          ["a volume goes", () => world.remove(PERSISTENT_VOLUME, { metadata: { name: `v${world.below(next + 1)}` } })],
          ["a pod", () => unlessRefused(world.create<Pod>(POD, { metadata: { name: `p${next++}` }, spec: { containers: [{ name: "c", image: "i" }], volumes: [{ name: "data", persistentVolumeClaim: { claimName: world.pick(names) } }] } }))],
          ["a pod of its own", () => unlessRefused(world.create<Pod>(POD, { metadata: { name: `p${next++}` }, spec: { containers: [{ name: "c", image: "i" }], volumes: [{ name: "own", ephemeral: { volumeClaimTemplate: { spec: { ...spec, storageClassName: "local-path" } } } }] } }))],
          ["a pod goes", async () => {
            const pods = await world.list<Pod>(POD);
            if (pods.length > 0) await world.remove(POD, world.pick(pods));
          }],
        ],
        breathe: () => serveVolumes(world),
        always: async () => {
          const claims = await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
          const bound = claims.flatMap((claim) => (claim.status?.phase === "Bound" ? [claim.spec?.volumeName ?? ""] : []));
          check(world, new Set(bound).size === bound.length, `volumes are bound twice: ${bound.join(", ")}`);
          for (const claim of claims) {
            if (claim.status?.phase !== "Bound") continue;
            const { uid, name } = claim.metadata;
            check(world, (boundTo.get(uid) ?? claim.spec?.volumeName) === claim.spec?.volumeName, `${name} went from ${boundTo.get(uid)} to ${claim.spec?.volumeName}`);
            boundTo.set(uid, claim.spec?.volumeName ?? "");
          }
          for (const pod of (await world.list<Pod>(POD)).filter((one) => isActive(one) && one.spec?.nodeName)) {
            for (const { persistentVolumeClaim } of pod.spec?.volumes ?? []) {
              if (persistentVolumeClaim) check(world, claims.some(({ metadata }) => metadata.name === persistentVolumeClaim.claimName), `the claim of ${pod.metadata.name} went though it is used`);
            }
          }
        },
        tend: () => serveVolumes(world),
        atRest: async () => {
          const claims = await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
          const volumes = await world.list<PersistentVolume>(PERSISTENT_VOLUME);
          for (const claim of claims) {
            const volume = volumes.find(({ metadata }) => metadata.name === claim.spec?.volumeName);
            if (claim.status?.phase === "Bound") check(world, volume?.spec?.claimRef?.uid === claim.metadata.uid && volume.status?.phase === "Bound", `${claim.metadata.name} is bound to ${claim.spec?.volumeName}, which is ${volume?.status?.phase} for ${volume?.spec?.claimRef?.name}`);
            if (claim.status?.phase === "Bound" && !claim.metadata.deletionTimestamp && volume?.metadata.annotations?.[PROVISIONED_BY] === LOCAL_PATH_PROVISIONER) check(world, claim.status.capacity?.["storage"] === claim.spec?.resources?.requests?.["storage"], `${claim.metadata.name} has not grown: ${JSON.stringify(claim.status)}`);
          }
          for (const volume of volumes) {
            const claim = claims.find(({ metadata }) => metadata.uid === volume.spec?.claimRef?.uid);
            const wanted = claim ? "Bound" : volume.spec?.claimRef?.uid ? "Released" : "Available";
            check(world, volume.status?.phase === wanted, `${volume.metadata.name} is ${volume.status?.phase}; wanted ${wanted}`);
            check(world, claim !== undefined || volume.spec?.persistentVolumeReclaimPolicy !== "Delete", `${volume.metadata.name} was not reclaimed`);
          }
          for (const pod of await world.list<Pod>(POD)) {
            if (pod.spec?.volumes?.some(({ ephemeral }) => ephemeral)) check(world, claims.some((claim) => controllerRefOf(claim)?.uid === pod.metadata.uid), `${pod.metadata.name} has no claim of its own`);
          }
        },
      };
    },
  });

  plays("pods have the resource claims they ask for, and leave none behind", {
    controllers: ["resourceclaim-controller", "garbage-collector-controller"],
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const template = (): Promise<unknown> => unlessRefused(world.create<ResourceClaimTemplate>(RESOURCE_CLAIM_TEMPLATE, { metadata: { name: "gpu" }, spec: { spec: { devices: { requests: [{ name: "gpu", exactly: { deviceClassName: "gpu" } }] } } } } as ResourceClaimTemplate));
      let next = 0;
      return {
        actions: [
          ["a pod", () => world.create<Pod>(POD, { metadata: { name: `p${next++}` }, spec: { containers: [{ name: "c", image: "i", resources: { claims: [{ name: "gpu" }] } }], resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "gpu" }] } })],
          ["a pod goes", async () => {
            const pods = await world.list<Pod>(POD);
            if (pods.length > 0) await world.remove(POD, world.pick(pods));
          }],
          ["somebody deletes a claim", async () => {
            const claims = await world.list<ResourceClaim>(RESOURCE_CLAIM);
            if (claims.length > 0) await world.remove(RESOURCE_CLAIM, world.pick(claims));
          }],
          ["the template", template],
          ["the template goes", () => world.remove(RESOURCE_CLAIM_TEMPLATE, { metadata: { name: "gpu", namespace: "default" } })],
        ],
        tend: template,
        atRest: async () => {
          const [pods, claims] = [await world.list<Pod>(POD), await world.list<ResourceClaim>(RESOURCE_CLAIM)];
          for (const pod of pods) {
            const own = claims.filter((claim) => controllerRefOf(claim)?.uid === pod.metadata.uid);
            const told = pod.status?.resourceClaimStatuses?.find(({ name }) => name === "gpu")?.resourceClaimName;
            check(world, own.some(({ metadata }) => metadata.name === told), `${pod.metadata.name} is told of ${told} and owns ${own.map(({ metadata }) => metadata.name).join(", ")}`);
          }
          const strays = claims.filter((claim) => !pods.some((pod: Stored<Pod>) => pod.metadata.uid === controllerRefOf(claim)?.uid));
          check(world, strays.length === 0, `claims are left: ${strays.map(({ metadata }) => metadata.name).join(", ")}`);
        },
      };
    },
  });
});

// Attachments, classes of attributes and tainted devices in bad weather: what is in use is kept, what is not goes, and nothing has two places.
import { describe } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, ResourceClaim, ResourceSlice, Stored, VolumeAttachment, VolumeAttributesClass } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD } from "../kinds.ts";
import { isFinished } from "../pods.ts";
import { RESOURCE_CLAIM } from "../resourceclaim.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const ATTACHMENT = builtinKind("storage.k8s.io", "v1", "VolumeAttachment");
const CLASS = builtinKind("storage.k8s.io", "v1", "VolumeAttributesClass");
const SLICE = builtinKind("resource.k8s.io", "v1", "ResourceSlice");
const DRIVER = "disk.example.com";
const NODES = ["a", "b"] as const;
const VOLUMES = ["v0", "v1"] as const;

/** As the driver's side-car does: attaches what it is asked to. */
async function serveAttachments(world: World): Promise<void> {
  for (const found of await world.list<VolumeAttachment>(ATTACHMENT)) if (!found.status?.attached) await world.setStatus(ATTACHMENT, found as never, { attached: true });
}

const volumeOf = ({ spec }: Pod): string => (spec?.volumes ?? []).find(({ persistentVolumeClaim }) => persistentVolumeClaim)?.persistentVolumeClaim?.claimName ?? "";
const someone = async (world: World): Promise<unknown> => {
  const pods = await world.list<Pod>(POD);
  return pods.length > 0 && world.remove(POD, world.pick(pods));
};

describe("in bad weather", () => {
  plays("a volume for one node is never asked to be on two, and is where its pods are", {
    controllers: ["persistentvolume-attach-detach-controller"], kubelets: { areUnreliable: true }, steps: 60, stepMs: 20_000,
    script: async (world, kubelets): Promise<Script> => {
      for (const name of NODES) {
        await kubelets.addNode(name);
        await world.edit(NODE, name, { metadata: { annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" } } });
      }
      for (const name of VOLUMES) {
        const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "csi" };
        await world.create<PersistentVolume>(PERSISTENT_VOLUME, { metadata: { name }, spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], storageClassName: "csi", csi: { driver: DRIVER, volumeHandle: name }, claimRef: { name, namespace: "default" } } });
        await world.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { metadata: { name }, spec: { ...spec, volumeName: name } });
      }
      let next = 0;
      const attachments = (): Promise<Stored<VolumeAttachment>[]> => world.list<VolumeAttachment>(ATTACHMENT);
      const isUnique = async (): Promise<void> => {
        const volumes = (await attachments()).map(({ spec }) => spec.source.persistentVolumeName);
        check(world, new Set(volumes).size === volumes.length, `attached twice: ${volumes.join(", ")}`);
      };
      return {
        actions: [
          ["a pod", () => world.create<Pod>(POD, { metadata: { name: `p${next++}` }, spec: { containers: [{ name: "c", image: "i" }], volumes: [{ name: "v", persistentVolumeClaim: { claimName: world.pick(VOLUMES) } }] } })],
          ["a pod goes", () => someone(world)],
          ["a pod goes", () => someone(world)],
          ["somebody deletes an attachment", async () => {
            const all = await attachments();
            if (all.length > 0) await world.remove(ATTACHMENT, world.pick(all));
          }],
        ],
        breathe: () => serveAttachments(world),
        always: isUnique,
        atRest: async () => {
          const [pods, all, nodes] = [await world.list<Pod>(POD), await attachments(), await world.list<Node>(NODE)];
          const wanted = new Set(pods.filter((pod) => pod.spec?.nodeName && !isFinished(pod)).map((pod) => `${volumeOf(pod)} on ${pod.spec?.nodeName}`));
          const attached = all.map(({ spec }) => `${spec.source.persistentVolumeName} on ${spec.nodeName}`);
          check(world, attached.every((each) => wanted.has(each)), `attached are ${attached.join(", ")}; wanted ${[...wanted].join(", ")}`);
          for (const volume of new Set([...wanted].map((each) => each.split(" ")[0]))) check(world, attached.some((each) => each.startsWith(`${volume} `)), `${volume} is nowhere; wanted ${[...wanted].join(", ")}`);
          const told = nodes.flatMap(({ metadata, status }) => (status?.volumesAttached ?? []).map(({ name }) => `${name.split("^")[1]} on ${metadata.name}`));
          check(world, Bun.deepEquals(told.toSorted(), attached.toSorted()), `nodes are told of ${told.join(", ")}; attached are ${attached.join(", ")}`);
        },
      };
    },
  });

  plays("a class of attributes goes once nobody names it, and not before", {
    controllers: ["volumeattributesclass-protection-controller"],
    script: async (world): Promise<Script> => {
      const names = ["fast", "slow"] as const;
      const make = (name: string): Promise<unknown> => unlessRefused(world.create<VolumeAttributesClass>(CLASS, { metadata: { name }, driverName: DRIVER, parameters: { iops: "1" } }));
      let next = 0;
      return {
        actions: [
          ["a class", () => make(world.pick(names))],
          ["a class goes", () => world.remove(CLASS, { metadata: { name: world.pick(names) } })],
          ["a claim", () => unlessRefused(world.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { metadata: { name: `c${next++}` }, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "none", volumeAttributesClassName: world.pick(names) } }))],
          ["a claim goes", () => world.edit(PERSISTENT_VOLUME_CLAIM, `c${world.below(next + 1)}`, { metadata: { finalizers: null } }).then(() => world.remove(PERSISTENT_VOLUME_CLAIM, { metadata: { name: `c${world.below(next + 1)}`, namespace: "default" } }))],
        ],
        atRest: async () => {
          const [classes, claims] = [await world.list<VolumeAttributesClass>(CLASS), await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM)];
          for (const { metadata } of classes) {
            const isUsed = claims.some(({ spec }) => spec?.volumeAttributesClassName === metadata.name);
            check(world, metadata.finalizers?.includes("kubernetes.io/vac-protection") === true, `${metadata.name} is not protected`);
            check(world, metadata.deletionTimestamp === undefined || isUsed, `${metadata.name} stays though nobody names it`);
          }
        },
      };
    },
  });

  plays("pods leave devices that drive them out when their time there is up, and others stay", {
    controllers: ["device-taint-eviction-controller"], stepMs: 20_000,
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      let generation = 1;
      const devices = (taint?: string): NonNullable<ResourceSlice["spec"]>["devices"] => ["d0", "d1"].map((name) => ({ name, ...(name === taint && { taints: [{ key: "broken", effect: "NoExecute", timeAdded: timestamp(world.clock.now()) }] }) })) as never;
      const slice = { metadata: { name: "s" }, spec: { driver: DRIVER, nodeName: "n", pool: { name: "n", generation, resourceSliceCount: 1 }, devices: devices() } } as ResourceSlice;
      await world.create<ResourceSlice>(SLICE, slice);
      const change = (taint?: string): Promise<void> => world.edit(SLICE, "s", { spec: { pool: { name: "n", generation: ++generation, resourceSliceCount: 1 }, devices: devices(taint) } });
      let next = 0;
      /** A pod with a claim that is allocated already, as the scheduler leaves them. */
      const user = async (): Promise<void> => {
        const name = `p${next++}`;
        const device = { request: "r", driver: DRIVER, pool: "n", device: world.pick(["d0", "d1"]), ...(world.chance(0.5) && { tolerations: [{ key: "broken", operator: "Exists", effect: "NoExecute", tolerationSeconds: 120 }] }) };
        const claim = await unlessRefused(world.create<ResourceClaim>(RESOURCE_CLAIM, { metadata: { name }, spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "gpu" } }] } } } as ResourceClaim));
        const pod = await unlessRefused(world.create<Pod>(POD, { metadata: { name }, spec: { nodeName: "n", containers: [{ name: "c", image: "i", resources: { claims: [{ name: "gpu" }] } }], resourceClaims: [{ name: "gpu", resourceClaimName: name }] } }));
        if (claim && pod) await world.setStatus(RESOURCE_CLAIM, claim as never, { allocation: { devices: { results: [device] } }, reservedFor: [{ resource: "pods", name, uid: pod.metadata.uid }] });
      };
      return {
        actions: [["a pod", user], ["a pod", user], ["a pod goes", () => someone(world)], ["a device breaks", () => change(world.pick(["d0", "d1"]))], ["all is well", () => change()]],
        atRest: async () => {
          const { spec } = (await world.find<ResourceSlice>(SLICE, "s")) as Stored<ResourceSlice>;
          const broken = (spec?.devices ?? []).filter(({ taints }) => taints?.length).map(({ name }) => name);
          for (const pod of await world.list<Pod>(POD)) {
            const claim = await world.find<ResourceClaim>(RESOURCE_CLAIM, pod.metadata.name);
            const device = claim?.status?.allocation?.devices?.results?.[0]?.device ?? "";
            check(world, !broken.includes(device), `${pod.metadata.name} is still on ${device}`);
          }
        },
      };
    },
  });
});

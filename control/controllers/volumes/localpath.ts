// Makes volumes out of directories on nodes, for the default StorageClass, and sees to it that the node removes them again.
// The directory itself is made by the node when a pod first mounts it; its agent removes it and then takes the finalizer off.
import { keyOf, type Key } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isAlreadyExists, orAbsent } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import { LOCAL_PATH_FINALIZER, LOCAL_PATH_NODE, LOCAL_PATH_PROVISIONER, localPathNodeLabel } from "../../../api/localpath.ts";
import type { KubeObject, Node, PersistentVolume, PersistentVolumeClaim, StorageClass, Stored } from "../../../api/types.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS } from "../kinds.ts";
import { DEFAULT_CLASS } from "./binder.ts";
import { classOf, PROVISIONED_BY, SELECTED_NODE } from "./match.ts";
import { PV_FINALIZER } from "./protection.ts";

const NAME = "local-path-provisioner-controller";
const CLASS_NAME = "local-path";
const ROOT = "/var/lib/minik8s/storage";
const CLAIM = "claim|";
const VOLUME = "volume|";

export function localPathProvisioner(deps: ControllerDeps): Controller {
  const client = deps.clientFor("persistent-volume-binder");
  const recorder = deps.recorderFor(LOCAL_PATH_PROVISIONER);
  const queue = new WorkQueue({ clock: deps.clock });
  const claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
  const volumes = deps.informers.for<PersistentVolume>(PERSISTENT_VOLUME);
  const classes = deps.informers.for<StorageClass>(STORAGE_CLASS);
  const nodes = deps.informers.for<Node>(NODE);
  const claimChanged = (claim: Stored<PersistentVolumeClaim>): void => queue.add(CLAIM + keyOf(claim));
  const volumeChanged = (volume: Stored<PersistentVolume>): void => (isOurs(volume) ? queue.add(VOLUME + keyOf(volume)) : undefined);
  claims.addHandler({ add: claimChanged, update: claimChanged });
  volumes.addHandler({ add: volumeChanged, update: volumeChanged });
  nodes.addHandler({ delete: () => volumes.lister.list().forEach(volumeChanged) });

  async function provision(claim: Stored<PersistentVolumeClaim>): Promise<void> {
    const storageClass = classes.lister.get(classOf(claim) ?? "");
    if (claim.spec?.volumeName || claim.metadata.deletionTimestamp || storageClass?.provisioner !== LOCAL_PATH_PROVISIONER) return;
    const selected = claim.metadata.annotations?.[SELECTED_NODE];
    if (!selected && storageClass.volumeBindingMode === "WaitForFirstConsumer") return;
    const node = selected ? nodes.lister.get(selected) : nodes.lister.list().find(({ spec }) => !spec?.unschedulable);
    const problem = claim.spec?.volumeMode === "Block" ? "block volumes are not supported" : node ? undefined : "there is no node to put the volume on";
    if (problem || !node) return recorder.event(claim, "Warning", "ProvisioningFailed", `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${problem}`);
    const volume = localVolume(claim, storageClass, node);
    if (volumes.lister.get(volume.metadata.name as string)) return;
    if (await createIfAbsent(PERSISTENT_VOLUME, volume)) recorder.event(claim, "Normal", "ProvisioningSucceeded", `Successfully provisioned volume ${volume.metadata.name}`);
  }

  /** A released volume is deleted; its node takes the data away, or is gone itself. */
  async function reclaim(volume: Stored<PersistentVolume>): Promise<void> {
    const { name, uid, finalizers = [], deletionTimestamp, annotations } = volume.metadata;
    if (!deletionTimestamp) {
      if (volume.status?.phase === "Released" && volume.spec?.persistentVolumeReclaimPolicy === "Delete") await orAbsent(client.delete(PERSISTENT_VOLUME, { name }, { preconditions: { uid } }));
      return;
    }
    if (!finalizers.includes(LOCAL_PATH_FINALIZER) || nodes.lister.get(annotations?.[SELECTED_NODE] ?? "")) return;
    await orAbsent(client.update<PersistentVolume>(PERSISTENT_VOLUME, { ...volume, metadata: { ...volume.metadata, finalizers: finalizers.filter((finalizer) => finalizer !== LOCAL_PATH_FINALIZER) } }));
  }

  async function createIfAbsent<T extends KubeObject>(kind: KindInfo, object: T): Promise<boolean> {
    try {
      await client.create<T>(kind, object);
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return false;
      throw error;
    }
  }

  async function reconcile(id: string): Promise<void> {
    const key: Key = id.slice(id.indexOf("|") + 1);
    const claim = id.startsWith(CLAIM) ? claims.lister.get(key) : undefined;
    const volume = id.startsWith(VOLUME) ? volumes.lister.get(key) : undefined;
    if (id === NAME) await createIfAbsent(STORAGE_CLASS, localPathClass());
    if (claim) await provision(claim);
    if (volume) await reclaim(volume);
  }
  queue.add(NAME);
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 4, reconcile });
}

/** The volume for a claim on one node: named after the claim's UID, so that it is never made twice. */
export function localVolume(claim: Stored<PersistentVolumeClaim>, storageClass: Stored<StorageClass>, node: Stored<Node>): PersistentVolume {
  const { name, namespace, uid } = claim.metadata;
  const volumeName = `pvc-${uid}`;
  const hostname = node.metadata.labels?.["kubernetes.io/hostname"] ?? node.metadata.name;
  return {
    apiVersion: "v1", kind: "PersistentVolume",
    metadata: {
      name: volumeName, labels: { [LOCAL_PATH_NODE]: localPathNodeLabel(node.metadata.name) }, annotations: { [PROVISIONED_BY]: LOCAL_PATH_PROVISIONER, [SELECTED_NODE]: node.metadata.name },
      finalizers: [PV_FINALIZER, LOCAL_PATH_FINALIZER],
    },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.["storage"] ?? "0" },
      accessModes: claim.spec?.accessModes ?? ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
      storageClassName: storageClass.metadata.name, volumeMode: "Filesystem",
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", name, namespace, uid },
      hostPath: { path: `${storageClass.parameters?.["path"] ?? ROOT}/${volumeName}_${namespace}_${name}`, type: "DirectoryOrCreate" },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [hostname] }] }] } },
    },
  };
}

function isOurs(volume: PersistentVolume): boolean {
  return volume.metadata.annotations?.[PROVISIONED_BY] === LOCAL_PATH_PROVISIONER;
}

function localPathClass(): StorageClass {
  return {
    apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name: CLASS_NAME, annotations: { [DEFAULT_CLASS]: "true" } },
    provisioner: LOCAL_PATH_PROVISIONER, reclaimPolicy: "Delete", volumeBindingMode: "WaitForFirstConsumer", allowVolumeExpansion: true,
  };
}

/** What nodes may do beyond upstream's rules: find the local volumes, and say that a directory is removed. */

// What the pods of each node refer to: the objects a kubelet may read because it runs those pods.
// Kept in step with pods, volumes, attachments and slices; a question is a look into a map.
import { keyOf, type Informer, type Informers } from "../../../api/client/informer.ts";
import { LOCAL_PATH_NODE, localPathNodeLabel } from "../../../api/localpath.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Container, PersistentVolume, Pod, ResourceSlice, Stored, Volume, VolumeAttachment } from "../../../api/types.ts";

/** Kinds that hang on pods or volumes, as resources are named. */
export type RelatedKind = "secrets" | "configmaps" | "persistentvolumeclaims" | "persistentvolumes" | "resourceclaims" | "serviceaccounts" | "pods" | "volumeattachments" | "resourceslices";

const MIRROR = "kubernetes.io/config.mirror";

/** Which objects are related to which node. */
export class NodeGraph {
  /** node -> `<resource>/<namespace>/<name>` -> how many pods refer to it. */
  readonly #references = new Map<string, Map<string, number>>();
  readonly #volumesOfClaims = new Map<string, Map<string, Stored<PersistentVolume>>>();
  readonly #volumes: Informer<PersistentVolume>;
  readonly #attachments: Informer<VolumeAttachment>;
  readonly #slices: Informer<ResourceSlice>;

  constructor(informers: Informers) {
    this.#volumes = informers.for<PersistentVolume>(builtinKind("", "v1", "PersistentVolume"));
    this.#attachments = informers.for<VolumeAttachment>(builtinKind("storage.k8s.io", "v1", "VolumeAttachment"));
    this.#slices = informers.for<ResourceSlice>(builtinKind("resource.k8s.io", "v1", "ResourceSlice"));
    informers.for<Pod>(builtinKind("", "v1", "Pod")).addHandler({
      add: (pod) => this.#count(pod, 1), delete: (pod) => this.#count(pod, -1),
      update: (pod, old) => {
        if (isSameToNode(pod, old)) return;
        this.#count(old, -1);
        this.#count(pod, 1);
      },
    });
    this.#volumes.addHandler({
      add: (volume) => this.#claim(volume, true), delete: (volume) => this.#claim(volume, false),
      update: (volume, old) => {
        this.#claim(old, false);
        this.#claim(volume, true);
      },
    });
  }

  /** Whether the node has to do with the object. */
  isRelated(node: string, kind: RelatedKind, namespace: string, name: string): boolean {
    switch (kind) {
      case "persistentvolumes":
        return this.#hasVolume(node, this.#volumes.lister.get(name));
      case "volumeattachments":
        return this.#attachments.lister.get(name)?.spec?.nodeName === node;
      case "resourceslices":
        return this.#slices.lister.get(name)?.spec?.nodeName === node;
      case "secrets":
        return this.#refers(node, kind, namespace, name) || this.#hasVolumeWithSecret(node, namespace, name);
      default:
        return this.#refers(node, kind, namespace, name);
    }
  }

  /** Whether the volume is a directory on the node. */
  hasLocalVolume(node: string, name: string): boolean {
    return this.#volumes.lister.get(name)?.metadata.labels?.[LOCAL_PATH_NODE] === localPathNodeLabel(node);
  }

  // A reference is these four words.
  #refers(node: string, kind: RelatedKind, namespace: string, name: string): boolean {
    return this.#references.get(node)?.has(`${kind}/${namespace}/${name}`) ?? false;
  }

  #hasVolume(node: string, volume: Stored<PersistentVolume> | undefined): boolean {
    const claim = volume?.spec?.claimRef;
    return claim !== undefined && this.#refers(node, "persistentvolumeclaims", claim.namespace ?? "", claim.name ?? "");
  }

  #hasVolumeWithSecret(node: string, namespace: string, name: string): boolean {
    const volumes = this.#volumesOfClaims.get(`${namespace}/${name}`);
    return volumes !== undefined && [...volumes.values()].some((volume) => this.#hasVolume(node, volume));
  }

  #count(pod: Stored<Pod>, by: 1 | -1): void {
    const node = pod.spec?.nodeName;
    if (!node) return;
    let counts = this.#references.get(node);
    if (!counts) this.#references.set(node, (counts = new Map()));
    for (const reference of referencesOf(pod)) {
      const count = (counts.get(reference) ?? 0) + by;
      if (count > 0) counts.set(reference, count);
      else counts.delete(reference);
    }
    if (counts.size === 0) this.#references.delete(node);
  }

  /** Volumes by the Secrets they name. */
  #claim(volume: Stored<PersistentVolume>, exists: boolean): void {
    for (const secret of secretsOfVolume(volume)) {
      const volumes = this.#volumesOfClaims.get(secret) ?? new Map<string, Stored<PersistentVolume>>();
      if (exists) volumes.set(volume.metadata.name, volume);
      else volumes.delete(volume.metadata.name);
      if (volumes.size > 0) this.#volumesOfClaims.set(secret, volumes);
      else this.#volumesOfClaims.delete(secret);
    }
  }
}

/** Specs hardly change once a pod has a node: only what references are made of is compared. */
function isSameToNode(a: Stored<Pod>, b: Stored<Pod>): boolean {
  return a.spec?.nodeName === b.spec?.nodeName && a.metadata.generation === b.metadata.generation
    && JSON.stringify(a.status?.resourceClaimStatuses) === JSON.stringify(b.status?.resourceClaimStatuses)
    && a.spec?.ephemeralContainers?.length === b.spec?.ephemeralContainers?.length;
}

/** Everything a pod entitles its node to. A mirror pod, which the node makes itself, entitles it to nothing but the pod. */
function referencesOf(pod: Stored<Pod>): Set<string> {
  const { namespace = "" } = pod.metadata;
  const references = new Set([`pods/${keyOf(pod)}`]);
  if (pod.metadata.annotations?.[MIRROR] !== undefined) return references;
  const add = (kind: RelatedKind, name: string | undefined): void => {
    if (name) references.add(`${kind}/${namespace}/${name}`);
  };
  const spec = pod.spec ?? { containers: [] };
  add("serviceaccounts", spec.serviceAccountName);
  for (const { name } of spec.imagePullSecrets ?? []) add("secrets", name);
  for (const container of [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])] as Container[]) addContainer(container, add);
  for (const volume of spec.volumes ?? []) addVolume(pod, volume, add);
  const statuses = new Map((pod.status?.resourceClaimStatuses ?? []).map((s) => [s.name, s.resourceClaimName]));
  for (const claim of spec.resourceClaims ?? []) add("resourceclaims", claim.resourceClaimName ?? statuses.get(claim.name));
  return references;
}

type Add = (kind: RelatedKind, name: string | undefined) => void;

function addContainer({ env, envFrom }: Container, add: Add): void {
  for (const source of envFrom ?? []) {
    add("secrets", source.secretRef?.name);
    add("configmaps", source.configMapRef?.name);
  }
  for (const { valueFrom } of env ?? []) {
    add("secrets", valueFrom?.secretKeyRef?.name);
    add("configmaps", valueFrom?.configMapKeyRef?.name);
  }
}

function addVolume(pod: Stored<Pod>, volume: Volume, add: Add): void {
  add("secrets", volume.secret?.secretName);
  add("configmaps", volume.configMap?.name);
  add("persistentvolumeclaims", volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral && `${pod.metadata.name}-${volume.name}`));
  add("secrets", volume.csi?.nodePublishSecretRef?.name);
  add("secrets", volume.azureFile?.secretName);
  // Old kinds of storage all name their Secret alike.
  for (const source of Object.values(volume)) if (typeof source === "object" && "secretRef" in source) add("secrets", source.secretRef?.name);
  for (const source of volume.projected?.sources ?? []) {
    add("secrets", source.secret?.name);
    add("configmaps", source.configMap?.name);
  }
}

/** `namespace/name` of the Secrets a kubelet needs to mount the volume. */
function secretsOfVolume({ spec }: Stored<PersistentVolume>): string[] {
  const own = spec?.claimRef?.namespace ?? "";
  const { csi, azureFile } = spec ?? {};
  const references: ({ name?: string | undefined; namespace?: string | undefined } | undefined)[] = [
    csi?.nodePublishSecretRef, csi?.nodeStageSecretRef, csi?.nodeExpandSecretRef,
    azureFile && { name: azureFile.secretName, namespace: azureFile.secretNamespace },
    ...[spec?.cephfs, spec?.cinder, spec?.flexVolume, spec?.rbd, spec?.scaleIO, spec?.iscsi, spec?.storageos].map((source) => source?.secretRef),
  ];
  return references.filter((r) => r?.name).map((r) => `${r?.namespace ?? own}/${r?.name}`);
}

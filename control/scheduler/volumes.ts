// Claims, volumes and what describes storage, as watched, with the scheduler's own assumptions on top.
// What is decided with them is the volume plugins' business.
import type { Informer, Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { CSIDriver, CSINode, CSIStorageCapacity, KubeObject, PersistentVolume, PersistentVolumeClaim, StorageClass, Stored, VolumeAttachment } from "../../api/types.ts";
import { Assumed } from "./assumed.ts";

export const CLAIM = builtinKind("", "v1", "PersistentVolumeClaim");
export const VOLUME = builtinKind("", "v1", "PersistentVolume");

/** The storage side of the cluster. */
export class Volumes {
  readonly claims: Assumed<PersistentVolumeClaim>;
  readonly volumes: Assumed<PersistentVolume>;
  readonly #classes: Informer<StorageClass>;
  readonly #drivers: Informer<CSIDriver>;
  readonly #nodes: Informer<CSINode>;
  readonly #capacities: Informer<CSIStorageCapacity>;
  readonly #attachments: Informer<VolumeAttachment>;

  /** `onChange` hears the plural of whatever changed. */
  constructor(informers: Informers, onChange: (resource: string) => void) {
    const storage = <T extends KubeObject>(kind: string): Informer<T> => informers.for<T>(builtinKind("storage.k8s.io", "v1", kind));
    const claims = informers.for<PersistentVolumeClaim>(CLAIM);
    const volumes = informers.for<PersistentVolume>(VOLUME);
    this.#classes = storage("StorageClass");
    this.#drivers = storage("CSIDriver");
    this.#nodes = storage("CSINode");
    this.#capacities = storage("CSIStorageCapacity");
    this.#attachments = storage("VolumeAttachment");
    // The assumptions subscribe first, so that whoever is woken sees them settled.
    this.claims = new Assumed(claims);
    this.volumes = new Assumed(volumes);
    for (const informer of [claims, volumes, this.#classes, this.#drivers, this.#nodes, this.#capacities, this.#attachments] as Informer<KubeObject>[]) {
      const tell = (): void => onChange(informer.kind.plural);
      informer.addHandler({ add: tell, update: tell, delete: tell });
    }
  }

  storageClass(name: string): Stored<StorageClass> | undefined {
    return this.#classes.lister.get(name);
  }

  driver(name: string): Stored<CSIDriver> | undefined {
    return this.#drivers.lister.get(name);
  }

  csiNode(name: string): Stored<CSINode> | undefined {
    return this.#nodes.lister.get(name);
  }

  capacities(): readonly Stored<CSIStorageCapacity>[] {
    return this.#capacities.lister.list();
  }

  attachments(): readonly Stored<VolumeAttachment>[] {
    return this.#attachments.lister.list();
  }
}

// Claims, volumes and what describes storage, as watched, with the scheduler's own assumptions on top.
// An assumption lasts until the API shows something newer or it is taken back.
import { keyOf, type Informer, type Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { CSIDriver, CSINode, CSIStorageCapacity, KubeObject, PersistentVolume, PersistentVolumeClaim, StorageClass, Stored, VolumeAttachment } from "../../api/types.ts";

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

/** Objects as watched, or as assumed to be soon. */
export class Assumed<T extends KubeObject> {
  readonly #assumed = new Map<string, Stored<T>>();
  readonly #listeners = new Set<() => void>();

  constructor(private readonly informer: Informer<T>) {
    const settle = (object: Stored<T>): void => {
      const assumed = this.#assumed.get(keyOf(object));
      if (assumed && !isOlder(object, assumed)) this.#assumed.delete(keyOf(object));
      for (const listener of this.#listeners) listener();
    };
    informer.addHandler({ add: settle, update: settle, delete: (object) => {
      this.#assumed.delete(keyOf(object));
      for (const listener of this.#listeners) listener();
    } });
  }

  get(key: string): Stored<T> | undefined {
    return this.#assumed.get(key) ?? this.informer.lister.get(key);
  }

  /** What the API says, assumptions aside. */
  actual(key: string): Stored<T> | undefined {
    return this.informer.lister.get(key);
  }

  list(): readonly Stored<T>[] {
    const all = this.informer.lister.list();
    return this.#assumed.size === 0 ? all : all.map((object) => this.#assumed.get(keyOf(object)) ?? object);
  }

  assume(object: Stored<T>): void {
    this.#assumed.set(keyOf(object), object);
  }

  forget(key: string): void {
    this.#assumed.delete(key);
  }

  /** Calls back after each change until told to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** An assumption is made on the version it was read at, so the same version is not news yet. */
function isOlder(object: Stored<KubeObject>, assumed: Stored<KubeObject>): boolean {
  return Number(object.metadata.resourceVersion) <= Number(assumed.metadata.resourceVersion);
}

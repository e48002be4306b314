// Asks for the volumes of pods to be attached to the pods' nodes, by VolumeAttachments, and for them to be detached again.
// Upstream's attach-detach controller for CSI volumes; attaching itself is the driver's work. One key is one volume on one node.
import { createHash } from "node:crypto";
import type { Client } from "../../../api/client/client.ts";
import { keyOf, type Informer } from "../../../api/client/informer.ts";
import type { EventRecorder } from "../../../api/client/recorder.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isAlreadyExists, orAbsent } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { CSIDriver, Node, PersistentVolume, PersistentVolumeClaim, Pod, Stored, VolumeAttachment } from "../../../api/types.ts";
import type { Clock } from "../../../lib/clock.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD } from "../kinds.ts";
import { isFinished } from "../pods.ts";
import { claimKeysOf, indexByClaim, podsUsing } from "./protection.ts";

const NAME = "persistentvolume-attach-detach-controller";
const ATTACHMENT = builtinKind("storage.k8s.io", "v1", "VolumeAttachment");
const DRIVER = builtinKind("storage.k8s.io", "v1", "CSIDriver");
const MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach";
const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";
const BY_VOLUME = "volume";
const BY_UNIQUE_NAME = "uniquename";
/** How long a volume may seem to be in use by a node that says nothing any more. */
const MAX_WAIT_FOR_UNMOUNT_MS = 6 * 60_000;

/** How long to wait while another node asks for the same volume. */
const TURN_MS = 100;

type Volume = Stored<PersistentVolume>;
type Attachment = Stored<VolumeAttachment>;

/** An attachment to be made, by its name. */
interface Wanted {
  readonly name: string;
  readonly nodeName: string;
  readonly volume: Volume;
}

export function attachDetachController(deps: ControllerDeps): Controller {
  return new AttachDetach(deps).controller;
}

class AttachDetach {
  readonly controller: Controller;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #nodes: Informer<Node>;
  readonly #drivers: Informer<CSIDriver>;
  readonly #attachments: Informer<VolumeAttachment>;
  /** Since when nobody needs a volume that its node still uses. */
  readonly #unwantedSince = new Map<string, number>();
  /** Volumes of one node that are just being asked for. */
  readonly #asking = new Set<string>();

  constructor({ clientFor, recorderFor, informers, clock }: ControllerDeps) {
    this.#client = clientFor("attachdetach-controller");
    this.#recorder = recorderFor("attachdetach-controller");
    this.#clock = clock;
    this.#queue = new WorkQueue({ clock });
    this.#pods = informers.for<Pod>(POD);
    this.#claims = informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
    this.#volumes = informers.for<PersistentVolume>(PERSISTENT_VOLUME);
    this.#nodes = informers.for<Node>(NODE);
    this.#drivers = informers.for<CSIDriver>(DRIVER);
    this.#attachments = informers.for<VolumeAttachment>(ATTACHMENT);
    indexByClaim(this.#pods);
    this.#attachments.addIndex(BY_VOLUME, ({ spec }) => [spec.source.persistentVolumeName ?? ""]);
    this.#volumes.addIndex(BY_UNIQUE_NAME, (volume) => (volume.spec?.csi ? [uniqueName(volume)] : []));
    this.#listen();
    this.controller = controllerOf({ name: NAME, queue: this.#queue, informers, workers: 10, reconcile: (key) => this.#reconcile(key) });
  }

  #listen(): void {
    const podChanged = (pod: Stored<Pod>): void => this.#volumesOf(pod).forEach((name) => this.#queue.add(keyFor(name, pod.spec?.nodeName ?? "")));
    const claimChanged = (claim: Stored<PersistentVolumeClaim>): void => podsUsing(this.#pods, keyOf(claim)).forEach(podChanged);
    const attachmentChanged = ({ spec }: Attachment): void => {
      const { persistentVolumeName = "" } = spec.source;
      // A volume that comes free somewhere may be waited for elsewhere.
      for (const key of this.#keysOf(persistentVolumeName)) this.#queue.add(key);
      this.#queue.add(keyFor(persistentVolumeName, spec.nodeName));
    };
    this.#pods.addHandler({
      add: podChanged, delete: podChanged,
      update: (pod, old) => (pod.spec?.nodeName !== old.spec?.nodeName || isFinished(pod) !== isFinished(old) ? podChanged(pod) : undefined),
    });
    this.#claims.addHandler({ add: claimChanged, update: (claim, old) => (claim.spec?.volumeName === old.spec?.volumeName ? undefined : claimChanged(claim)) });
    this.#attachments.addHandler({ add: attachmentChanged, update: attachmentChanged, delete: attachmentChanged });
    const nodeChanged = ({ metadata: { name } }: Stored<Node>): void => this.#attachments.lister.list().filter(({ spec }) => spec.nodeName === name).forEach(attachmentChanged);
    this.#nodes.addHandler({ update: (node, old) => (JSON.stringify(node.status?.volumesInUse) === JSON.stringify(old.status?.volumesInUse) && node.spec?.taints?.length === old.spec?.taints?.length ? undefined : nodeChanged(node)), delete: nodeChanged });
    // What a node was told in an earlier life, or a moment before this cache knew of it, may not be so any more.
    const nodeTold = ({ metadata: { name: nodeName }, status }: Stored<Node>): void => (status?.volumesAttached ?? []).forEach(({ name }) => this.#volumes.lister.byIndex(BY_UNIQUE_NAME, name).forEach(({ metadata }) => this.#queue.add(keyFor(metadata.name, nodeName))));
    this.#nodes.addHandler({ add: nodeTold, update: (node, old) => (JSON.stringify(node.status?.volumesAttached) === JSON.stringify(old.status?.volumesAttached) ? undefined : nodeTold(node)) });
    this.#volumes.addHandler({ add: (volume) => this.#nodes.lister.list().forEach((node) => (isTold(node, volume) ? this.#queue.add(keyFor(volume.metadata.name, node.metadata.name)) : undefined)) });
  }

  async #reconcile(key: string): Promise<void> {
    const [nodeName = "", volumeName = ""] = key.split("|");
    const volume = this.#volumes.lister.get(volumeName);
    const { csi } = volume?.spec ?? {};
    const name = attachmentName({ handle: csi?.volumeHandle ?? "", driver: csi?.driver ?? "", node: nodeName });
    const attachment = this.#attachments.lister.get(name);
    const users = this.#usersOn(volumeName, nodeName);
    if (users.length > 0 && volume && csi) {
      this.#unwantedSince.delete(key);
      if (!this.#isAttachable(csi.driver, nodeName)) return;
      if (attachment) await this.#attached(attachment, volume, users);
      else {
        await this.#tellNode(nodeName, volume, false);
        await this.#attach({ name, nodeName, volume }, users);
      }
    } else if (attachment) await this.#detach(key, attachment, volume);
    else {
      this.#unwantedSince.delete(key);
      if (volume && csi) await this.#tellNode(nodeName, volume, false);
    }
  }

  /** One node at a time, and by the server's word: the cache may not know yet what was asked for a moment ago. */
  async #attach(wanted: Wanted, users: readonly Stored<Pod>[]): Promise<void> {
    const { nodeName, volume } = wanted;
    const { name } = volume.metadata;
    if (!isExclusive(volume)) return this.#ask(wanted);
    if (this.#asking.has(name)) return this.#queue.addAfter(keyFor(name, nodeName), TURN_MS);
    this.#asking.add(name);
    try {
      const { items } = await this.#client.list<VolumeAttachment>(ATTACHMENT);
      const elsewhere = items.filter(({ spec }) => spec.source.persistentVolumeName === name && spec.nodeName !== nodeName);
      // The attachment that goes brings this key back.
      if (elsewhere.length > 0) this.#refuse(volume, users, elsewhere);
      else await this.#ask(wanted);
    } finally {
      this.#asking.delete(name);
    }
  }

  async #ask({ name, nodeName, volume }: Wanted): Promise<void> {
    const spec = { attacher: volume.spec?.csi?.driver ?? "", nodeName, source: { persistentVolumeName: volume.metadata.name } };
    try {
      await this.#client.create<VolumeAttachment>(ATTACHMENT, { apiVersion: "storage.k8s.io/v1", kind: "VolumeAttachment", metadata: { name }, spec });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  #refuse(volume: Volume, users: readonly Stored<Pod>[], elsewhere: readonly Attachment[]): void {
    const others = elsewhere.flatMap(({ spec }) => this.#usersOn(volume.metadata.name, spec.nodeName));
    for (const pod of users) {
      const near = others.filter(({ metadata }) => metadata.namespace === pod.metadata.namespace).map(({ metadata }) => metadata.name);
      const far = others.length - near.length;
      const why = others.length === 0 ? "Volume is already exclusively attached to one node and can't be attached to another"
        : near.length === 0 ? `Volume is already used by ${far} pod(s) in different namespaces`
        : `Volume is already used by pod(s) ${near.join(", ")}${far > 0 ? ` and ${far} pod(s) in different namespaces` : ""}`;
      this.#recorder.event(pod, "Warning", "FailedAttachVolume", `Multi-Attach error for volume ${JSON.stringify(volume.metadata.name)} ${why}`);
    }
  }

  async #attached({ spec, status }: Attachment, volume: Volume, users: readonly Stored<Pod>[]): Promise<void> {
    const name = JSON.stringify(volume.metadata.name);
    if (status?.attached) {
      if (!(await this.#tellNode(spec.nodeName, volume, true))) return;
      for (const pod of users) this.#recorder.event(pod, "Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume ${name} `);
    } else if (status?.attachError?.message) {
      for (const pod of users) this.#recorder.event(pod, "Warning", "FailedAttachVolume", `AttachVolume.Attach failed for volume ${name} : ${status.attachError.message}`);
    }
  }

  /** A volume is not pulled away under a node that still uses it, unless the node is gone or given up. */
  async #detach(key: string, attachment: Attachment, volume: Volume | undefined): Promise<void> {
    if (attachment.metadata.deletionTimestamp !== undefined) return;
    const node = this.#nodes.lister.get(attachment.spec.nodeName);
    if (volume && node?.status?.volumesInUse?.includes(uniqueName(volume)) && !node.spec?.taints?.some((taint) => taint.key === OUT_OF_SERVICE)) {
      const since = this.#unwantedSince.get(key) ?? this.#clock.now();
      this.#unwantedSince.set(key, since);
      const left = since + MAX_WAIT_FOR_UNMOUNT_MS - this.#clock.now();
      if (left > 0 || isReadyNode(node)) return this.#queue.addAfter(key, Math.max(left, MAX_WAIT_FOR_UNMOUNT_MS / 6));
    }
    this.#unwantedSince.delete(key);
    if (volume) await this.#tellNode(attachment.spec.nodeName, volume, false);
    await orAbsent(this.#client.delete(ATTACHMENT, { name: attachment.metadata.name }, { preconditions: { uid: attachment.metadata.uid } }));
  }

  /** What the node may mount; false when it knew. */
  async #tellNode(nodeName: string, volume: Volume, isAttached: boolean): Promise<boolean> {
    const node = this.#nodes.lister.get(nodeName);
    const name = uniqueName(volume);
    const known = node?.status?.volumesAttached ?? [];
    if (!node || known.some((each) => each.name === name) === isAttached) return false;
    const volumesAttached = isAttached ? [...known, { name, devicePath: "" }] : known.filter((each) => each.name !== name);
    await orAbsent(this.#client.update<Node>(NODE, { ...node, status: { ...node.status, volumesAttached } }, { subresource: "status" }));
    return true;
  }

  #isAttachable(driver: string, nodeName: string): boolean {
    return this.#drivers.lister.get(driver)?.spec?.attachRequired !== false && this.#nodes.lister.get(nodeName)?.metadata.annotations?.[MANAGED] === "true";
  }

  #volumesOf(pod: Stored<Pod>): string[] {
    if (!pod.spec?.nodeName) return [];
    return claimKeysOf(pod).map((key) => this.#claims.lister.get(key)?.spec?.volumeName).filter((name): name is string => Boolean(name));
  }

  #usersOf(volumeName: string): readonly Stored<Pod>[] {
    const { namespace, name } = this.#volumes.lister.get(volumeName)?.spec?.claimRef ?? {};
    const claim = this.#claims.lister.get(`${namespace}/${name}`);
    if (claim?.spec?.volumeName !== volumeName) return [];
    return podsUsing(this.#pods, `${namespace}/${name}`).filter((pod) => pod.spec?.nodeName && !isFinished(pod));
  }

  #usersOn(volumeName: string, nodeName: string): Stored<Pod>[] {
    return this.#usersOf(volumeName).filter((pod) => pod.spec?.nodeName === nodeName);
  }

  #keysOf(volumeName: string): Set<string> {
    return new Set(this.#usersOf(volumeName).map((pod) => keyFor(volumeName, pod.spec?.nodeName ?? "")));
  }
}

const keyFor = (volumeName: string, nodeName: string): string => `${nodeName}|${volumeName}`;
const isReadyNode = ({ status }: Node): boolean => status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") ?? false;

/** As drivers' side-cars expect it: attachments of other names are not this controller's. */
export function attachmentName({ handle, driver, node }: { handle: string; driver: string; node: string }): string {
  return `csi-${createHash("sha256").update(`${handle}${driver}${node}`).digest("hex")}`;
}

function uniqueName({ spec }: Volume): string {
  return `kubernetes.io/csi/${spec?.csi?.driver}^${spec?.csi?.volumeHandle}`;
}

function isTold({ status }: Node, volume: Volume): boolean {
  return volume.spec?.csi !== undefined && (status?.volumesAttached ?? []).some(({ name }) => name === uniqueName(volume));
}

function isExclusive({ spec }: Volume): boolean {
  return !(spec?.accessModes ?? []).some((mode) => mode === "ReadWriteMany" || mode === "ReadOnlyMany");
}

// Binds claims to volumes, both ways, and tells what became of either when the other is gone.
// Making volumes is a provisioner's business; which volume suits is `match.ts`'s.
import type { Client } from "../../../api/client/client.ts";
import type { Reading } from "../../../api/client/families.ts";
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import type { EventRecorder } from "../../../api/client/recorder.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { orAbsent } from "../../../api/errors.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod, StorageClass, Stored } from "../../../api/types.ts";
import { timestamp, type Clock } from "../../../lib/clock.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { tally, type ControllerFigures } from "../figures.ts";
import { PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS } from "../kinds.ts";
import { isSame } from "../template.ts";
import { bestMatch, BIND_COMPLETED, BOUND_BY_CONTROLLER, classOf, isReservedFor, mismatch, PROVISIONED_BY, SELECTED_NODE } from "./match.ts";
import { indexByClaim, podsUsing } from "./protection.ts";

const NAME = "persistentvolume-binder-controller";
const PROVISIONER = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner";
export const DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class";
const NO_PROVISIONER = "kubernetes.io/no-provisioner";
const CLAIM = "claim|";
const VOLUME = "volume|";

type Claim = Stored<PersistentVolumeClaim>;
type Volume = Stored<PersistentVolume>;

export function persistentVolumeBinder(deps: ControllerDeps): Controller {
  return new Binder(deps).controller;
}

class Binder {
  readonly controller: Controller;
  readonly #figures: ControllerFigures;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #clock: Clock;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #classes: Informer<StorageClass>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;

  constructor(deps: ControllerDeps) {
    this.#figures = deps.figures;
    this.#client = deps.clientFor("persistent-volume-binder");
    this.#recorder = deps.recorderFor("persistentvolume-controller");
    this.#clock = deps.clock;
    this.#claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
    this.#volumes = deps.informers.for<PersistentVolume>(PERSISTENT_VOLUME);
    this.#classes = deps.informers.for<StorageClass>(STORAGE_CLASS);
    this.#pods = deps.informers.for<Pod>(POD);
    this.#queue = new WorkQueue({ clock: deps.clock });
    indexByClaim(this.#pods);
    this.#tellBound(deps.figures);
    this.#listen();
    // One worker: two claims are never given one volume.
    this.controller = controllerOf({ name: NAME, queue: this.#queue, informers: deps.informers, workers: 1, reconcile: (id) => this.#reconcile(id) });
  }

  #tellBound(figures: ControllerFigures): void {
    const volumes = (isBound: boolean): Reading[] => tally(this.#volumes.lister.list(), ({ spec, status }) => ((status?.phase === "Bound") === isBound ? [spec?.storageClassName ?? ""] : undefined));
    const claims = (isBound: boolean): Reading[] => tally(this.#claims.lister.list(), (claim) => ((claim.status?.phase === "Bound") === isBound ? [claim.metadata.namespace ?? "", classOf(claim) ?? "", claim.spec?.volumeAttributesClassName ?? ""] : undefined));
    figures.reads("pv_collector_bound_pv_count", () => volumes(true));
    figures.reads("pv_collector_unbound_pv_count", () => volumes(false));
    figures.reads("pv_collector_bound_pvc_count", () => claims(true));
    figures.reads("pv_collector_unbound_pvc_count", () => claims(false));
  }

  #listen(): void {
    const claimChanged = (claim: Claim): void => this.#queue.add(CLAIM + keyOf(claim));
    this.#claims.addHandler({
      add: claimChanged, update: claimChanged,
      delete: (claim) => this.#claimGone(claim),
    });
    const volumeChanged = (volume: Volume): void => {
      this.#queue.add(VOLUME + keyOf(volume));
      const reference = volume.spec?.claimRef;
      if (reference?.name) this.#queue.add(`${CLAIM}${reference.namespace}/${reference.name}`);
      else this.#enqueueWaiting();
    };
    this.#volumes.addHandler({ add: volumeChanged, update: volumeChanged, delete: volumeChanged });
    this.#classes.addHandler({ add: () => this.#enqueueWaiting(), update: () => this.#enqueueWaiting() });
  }

  /** Its volume is free, and so is one that was only meant for it. */
  #claimGone({ metadata: { uid }, spec }: Claim): void {
    if (spec?.volumeName) this.#queue.add(VOLUME + spec.volumeName);
    for (const volume of this.#volumes.lister.list()) if (volume.spec?.claimRef?.uid === uid) this.#queue.add(VOLUME + keyOf(volume));
  }

  /** Something turned up that an unbound claim may have been waiting for. */
  #enqueueWaiting(): void {
    for (const claim of this.#claims.lister.list()) if (!claim.metadata.annotations?.[BIND_COMPLETED]) this.#queue.add(CLAIM + keyOf(claim));
  }

  async #reconcile(id: string): Promise<void> {
    const key: Key = id.slice(id.indexOf("|") + 1);
    if (id.startsWith(CLAIM)) {
      const claim = this.#claims.lister.get(key);
      if (!claim) return;
      await (claim.metadata.annotations?.[BIND_COMPLETED] ? this.#syncBound(claim) : this.#syncUnbound(claim));
      return;
    }
    const volume = this.#volumes.lister.get(key);
    if (volume) await this.#syncVolume(volume);
  }

  async #syncUnbound(claim: Claim): Promise<void> {
    const { volumeName } = claim.spec ?? {};
    if (volumeName) return this.#syncNamed(claim, this.#volumes.lister.get(volumeName));
    const storageClass = this.#classes.lister.get(classOf(claim) ?? "");
    const isDelayed = storageClass?.volumeBindingMode === "WaitForFirstConsumer";
    const volume = bestMatch(claim, this.#volumes.lister.list(), isDelayed);
    if (volume) return this.#bind(volume, claim);
    if (await this.#assignDefaultClass(claim)) return;
    if (isDelayed && !claim.metadata.annotations?.[SELECTED_NODE]) this.#sayWaiting(claim);
    else if (classOf(claim)) await this.#askProvisioner(claim, storageClass);
    else this.#recorder.event(claim, "Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set");
    await this.#writeClaimStatus(await this.#latest(claim), "Pending", undefined);
  }

  /** The claim names its volume: it gets this one or none. */
  async #syncNamed(claim: Claim, volume: Volume | undefined): Promise<void> {
    if (volume && isReservedFor(volume, claim)) return this.#bind(volume, claim);
    if (volume?.spec?.claimRef) this.#recorder.event(claim, "Warning", "FailedBinding", `volume "${volume.metadata.name}" already bound to a different claim.`);
    else if (volume) {
      const problem = mismatch(volume, claim);
      if (!problem) return this.#bind(volume, claim);
      this.#recorder.event(claim, "Warning", "VolumeMismatch", `Cannot bind to requested volume "${volume.metadata.name}": ${problem}`);
    }
    await this.#writeClaimStatus(claim, "Pending", undefined);
  }

  async #syncBound(claim: Claim): Promise<void> {
    const { volumeName = "" } = claim.spec ?? {};
    const volume = this.#volumes.lister.get(volumeName);
    if (!volumeName) return this.#lose(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    if (!volume && !(await orAbsent(this.#client.get(PERSISTENT_VOLUME, { name: volumeName })))) return this.#lose(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    if (!volume) return;
    const { claimRef } = volume.spec ?? {};
    if (!claimRef || claimRef.uid === claim.metadata.uid || isReservedFor(volume, claim)) return this.#bind(volume, claim);
    await this.#lose(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
  }

  async #lose(claim: Claim, reason: string, message: string): Promise<void> {
    if (claim.status?.phase === "Lost") return;
    await this.#writeClaimStatus(claim, "Lost", undefined);
    this.#recorder.event(claim, "Warning", reason, message);
  }

  async #syncVolume(volume: Volume): Promise<void> {
    const { claimRef } = volume.spec ?? {};
    if (!claimRef?.uid) return void (await this.#writePhase(volume, "Available"));
    const claim = await this.#claimOf(volume);
    if (!claim) return this.#release(volume);
    if (claim.spec?.volumeName === volume.metadata.name) return void (await this.#writePhase(volume, "Bound"));
    if (!claim.spec?.volumeName) return this.#queue.add(CLAIM + keyOf(claim));
    // The claim went to another volume: this one is free, unless it was made for the claim and nothing else.
    if (volume.metadata.annotations?.[PROVISIONED_BY] && volume.spec?.persistentVolumeReclaimPolicy === "Delete") return this.#release(volume);
    await this.#unbind(volume);
  }

  /** The claim a volume is bound to, as the server has it: a volume must never be given up because a cache is slow. */
  async #claimOf(volume: Volume): Promise<Claim | undefined> {
    const { namespace, name = "", uid } = volume.spec?.claimRef ?? {};
    const cached = this.#claims.lister.get(`${namespace}/${name}`);
    if (cached?.metadata.uid === uid) return cached;
    const live = await orAbsent(this.#client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { namespace, name }));
    return live?.metadata.uid === uid ? live : undefined;
  }

  async #release(volume: Volume): Promise<void> {
    const { phase } = volume.status ?? {};
    if (phase !== "Released" && phase !== "Failed") volume = await this.#writePhase(volume, "Released");
    if (volume.spec?.persistentVolumeReclaimPolicy !== "Recycle" || volume.status?.phase === "Failed") return;
    await this.#writePhase(volume, "Failed", "No recycler plugin found for the volume!");
    this.#recorder.event(volume, "Warning", "VolumeFailedRecycle", "No recycler plugin found for the volume!");
  }

  async #unbind(volume: Volume): Promise<void> {
    const { claimRef, ...spec } = volume.spec ?? {};
    const { [BOUND_BY_CONTROLLER]: isOurs, ...annotations } = volume.metadata.annotations ?? {};
    const kept = isOurs || !claimRef ? {} : { claimRef: { ...claimRef, uid: undefined } };
    const updated = await this.#client.update<PersistentVolume>(PERSISTENT_VOLUME, { ...volume, metadata: { ...volume.metadata, annotations }, spec: { ...spec, ...kept } });
    await this.#writePhase(updated, "Available");
  }

  /** Four writes, each safe to find done: the volume's reference and phase, the claim's volume and phase. */
  async #bind(volume: Volume, claim: Claim): Promise<void> {
    const reserved = await this.#reserve(volume, claim);
    const bound = await this.#writePhase(reserved, "Bound");
    await this.#writeClaimStatus(await this.#complete(claim, bound), "Bound", bound);
  }

  async #reserve(volume: Volume, claim: Claim): Promise<Volume> {
    const { claimRef } = volume.spec ?? {};
    if (claimRef?.uid === claim.metadata.uid) return volume;
    const { name, namespace, uid, resourceVersion } = claim.metadata;
    const isOurs = !claimRef;
    const annotations = { ...volume.metadata.annotations, ...(isOurs && { [BOUND_BY_CONTROLLER]: "yes" }) };
    return this.#client.update<PersistentVolume>(PERSISTENT_VOLUME, {
      ...volume, metadata: { ...volume.metadata, annotations },
      spec: { ...volume.spec, claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", name, namespace, uid, resourceVersion } },
    });
  }

  async #complete(claim: Claim, volume: Volume): Promise<Claim> {
    const { annotations } = claim.metadata;
    const isNamed = claim.spec?.volumeName === volume.metadata.name;
    if (isNamed && annotations?.[BIND_COMPLETED]) return claim;
    return this.#client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, {
      ...claim, metadata: { ...claim.metadata, annotations: { ...annotations, ...(!isNamed && { [BOUND_BY_CONTROLLER]: "yes" }), [BIND_COMPLETED]: "yes" } },
      spec: { ...claim.spec, volumeName: volume.metadata.name },
    });
  }

  /** A claim made before there was a default class gets it when there is one. */
  async #assignDefaultClass(claim: Claim): Promise<boolean> {
    if (classOf(claim) !== undefined) return false;
    const defaults = this.#classes.lister.list().filter(({ metadata }) => metadata.annotations?.[DEFAULT_CLASS] === "true");
    const newest = defaults.toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp) || a.metadata.name.localeCompare(b.metadata.name))[0];
    if (!newest) return false;
    try {
      await this.#client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...claim, spec: { ...claim.spec, storageClassName: newest.metadata.name } });
    } catch (error) {
      this.#figures.count("retroactive_storageclass_errors_total");
      throw error;
    }
    this.#figures.count("retroactive_storageclass_total");
    return true;
  }

  #sayWaiting(claim: Claim): void {
    const names = podsUsing(this.#pods, keyOf(claim)).filter((pod) => !pod.spec?.nodeName).map(({ metadata }) => metadata.name);
    if (names.length === 0) this.#recorder.event(claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding");
    else this.#recorder.event(claim, "Normal", "WaitForPodScheduled", names.length > 1 ? `waiting for pods ${names.join(",")} to be scheduled` : `waiting for pod ${names[0]} to be scheduled`);
  }

  async #askProvisioner(claim: Claim, storageClass: Stored<StorageClass> | undefined): Promise<void> {
    if (!storageClass) return this.#recorder.event(claim, "Warning", "ProvisioningFailed", `storageclass.storage.k8s.io "${classOf(claim)}" not found`);
    const { provisioner } = storageClass;
    if (provisioner === NO_PROVISIONER) return;
    const annotations = { ...claim.metadata.annotations, [PROVISIONER]: provisioner, [BETA_PROVISIONER]: provisioner };
    if (!isSame(annotations, claim.metadata.annotations)) await this.#client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...claim, metadata: { ...claim.metadata, annotations } });
    this.#recorder.event(claim, "Normal", "ExternalProvisioning", `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`);
  }

  async #latest(claim: Claim): Promise<Claim> {
    const { name, namespace, uid } = claim.metadata;
    const latest = await orAbsent(this.#client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { name, namespace }));
    return latest?.metadata.uid === uid ? latest : claim;
  }

  async #writePhase(volume: Volume, phase: string, message?: string): Promise<Volume> {
    if (volume.status?.phase === phase) return volume;
    const { message: _, ...kept } = volume.status ?? {};
    const status = { ...kept, phase, ...(message !== undefined && { message }), lastPhaseTransitionTime: timestamp(this.#clock.now()) };
    return this.#client.update<PersistentVolume>(PERSISTENT_VOLUME, { ...volume, status }, { subresource: "status" });
  }

  async #writeClaimStatus(claim: Claim, phase: string, volume: Volume | undefined): Promise<void> {
    const { accessModes: _, capacity, ...kept } = claim.status ?? {};
    // Capacity is set once, when binding; growing it later is the expander's business.
    const bound = volume ? { accessModes: volume.spec?.accessModes, capacity: claim.status?.phase === "Bound" && capacity ? capacity : volume.spec?.capacity } : {};
    const status = { ...kept, phase, ...bound };
    if (!isSame(claim.status ?? {}, status)) await this.#client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...claim, status } as PersistentVolumeClaim, { subresource: "status" });
  }
}

// Keeps claims while pods use them and volumes while claims are bound to them: a finalizer goes on, and off when it may.
// Upstream's pvc-protection and pv-protection controllers.
import { keyOf, type Informer } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { orAbsent } from "../../../api/errors.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod, Stored } from "../../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD } from "../kinds.ts";
import { isFinished } from "../pods.ts";

export const PVC_FINALIZER = "kubernetes.io/pvc-protection";
export const PV_FINALIZER = "kubernetes.io/pv-protection";
const CLAIM_INDEX = "claim";

/** The keys of the claims a pod mounts, those made for its ephemeral volumes included. */
export function claimKeysOf(pod: Stored<Pod>): string[] {
  return (pod.spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    const claim = persistentVolumeClaim?.claimName ?? (ephemeral ? `${pod.metadata.name}-${name}` : undefined);
    return claim === undefined ? [] : [`${pod.metadata.namespace}/${claim}`];
  });
}

/** Adds the index from claims to the pods that mount them; safe to call by every controller that wants it. */
export function indexByClaim(pods: Informer<Pod>): void {
  pods.addIndex(CLAIM_INDEX, claimKeysOf);
}

export function podsUsing(pods: Informer<Pod>, claimKey: string): readonly Stored<Pod>[] {
  return pods.lister.byIndex(CLAIM_INDEX, claimKey);
}

export function pvcProtectionController(deps: ControllerDeps): Controller {
  const name = "persistentvolumeclaim-protection-controller";
  const client = deps.clientFor("pvc-protection-controller");
  const queue = new WorkQueue({ clock: deps.clock });
  const claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
  const pods = deps.informers.for<Pod>(POD);
  indexByClaim(pods);
  const enqueue = (claim: Stored<PersistentVolumeClaim>): void => queue.add(keyOf(claim));
  claims.addHandler({ add: enqueue, update: enqueue });
  const enqueueClaimsOf = (pod: Stored<Pod>): void => claimKeysOf(pod).forEach((key) => queue.add(key));
  pods.addHandler({ delete: enqueueClaimsOf, update: (pod, old) => (isFinished(pod) && !isFinished(old) ? enqueueClaimsOf(pod) : undefined) });

  async function reconcile(key: string): Promise<void> {
    const claim = claims.lister.get(key);
    if (!claim) return;
    const finalizers = claim.metadata.finalizers ?? [];
    const isProtected = finalizers.includes(PVC_FINALIZER);
    if (!claim.metadata.deletionTimestamp) {
      if (!isProtected) await write(claim, [...finalizers, PVC_FINALIZER]);
      return;
    }
    if (!isProtected || isUsed(key, podsUsing(pods, key))) return;
    // A pod may have been placed a moment ago: only the server's word counts before data is let go.
    const fresh = await client.list<Pod>(POD, { namespace: claim.metadata.namespace });
    if (!isUsed(key, fresh.items)) await write(claim, finalizers.filter((finalizer) => finalizer !== PVC_FINALIZER));
  }
  async function write(claim: Stored<PersistentVolumeClaim>, finalizers: string[]): Promise<void> {
    await orAbsent(client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...claim, metadata: { ...claim.metadata, finalizers } }));
  }
  return controllerOf({ name, queue, informers: deps.informers, reconcile, subject: telling(deps, name, claims) });
}

/** A pod that has no node yet has not begun to use anything. */
function isUsed(key: string, pods: readonly Stored<Pod>[]): boolean {
  return pods.some((pod) => pod.spec?.nodeName && !isFinished(pod) && claimKeysOf(pod).includes(key));
}

export function pvProtectionController(deps: ControllerDeps): Controller {
  const name = "persistentvolume-protection-controller";
  const client = deps.clientFor("pv-protection-controller");
  const queue = new WorkQueue({ clock: deps.clock });
  const volumes = deps.informers.for<PersistentVolume>(PERSISTENT_VOLUME);
  const enqueue = (volume: Stored<PersistentVolume>): void => queue.add(keyOf(volume));
  volumes.addHandler({ add: enqueue, update: enqueue });
  const reconcile = async (key: string): Promise<void> => {
    const volume = volumes.lister.get(key);
    if (!volume) return;
    const current = volume.metadata.finalizers ?? [];
    const isProtected = current.includes(PV_FINALIZER);
    const isDeleting = volume.metadata.deletionTimestamp !== undefined;
    if (isDeleting ? !isProtected || volume.status?.phase === "Bound" : isProtected) return;
    const finalizers = isDeleting ? current.filter((finalizer) => finalizer !== PV_FINALIZER) : [...current, PV_FINALIZER];
    await orAbsent(client.update<PersistentVolume>(PERSISTENT_VOLUME, { ...volume, metadata: { ...volume.metadata, finalizers } }));
  };
  return controllerOf({ name, queue, informers: deps.informers, reconcile, subject: telling(deps, name, volumes) });
}

// Growing claims: directories on nodes have no size of their own, so theirs is only written down; other volumes wait for their driver.
// Whether a claim may grow was decided when it was written.
import { keyOf } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { LOCAL_PATH_PROVISIONER } from "../../../api/localpath.ts";
import { compareQuantities, parseQuantity } from "../../../api/quantity.ts";
import type { PersistentVolume, PersistentVolumeClaim, Stored } from "../../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM } from "../kinds.ts";
import { PROVISIONED_BY } from "./match.ts";

const NAME = "persistentvolume-expander-controller";

export function volumeExpander(deps: ControllerDeps): Controller {
  const client = deps.clientFor("expand-controller");
  const recorder = deps.recorderFor("volume_expand");
  const queue = new WorkQueue({ clock: deps.clock });
  const claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
  const volumes = deps.informers.for<PersistentVolume>(PERSISTENT_VOLUME);
  const enqueue = (claim: Stored<PersistentVolumeClaim>): void => (isGrowing(claim) ? queue.add(keyOf(claim)) : undefined);
  const volumeChanged = ({ spec }: Stored<PersistentVolume>): void => {
    const claim = claims.lister.get(`${spec?.claimRef?.namespace}/${spec?.claimRef?.name}`);
    if (claim) enqueue(claim);
  };
  claims.addHandler({ add: enqueue, update: (claim, old) => (isGrowing(old) && sizeOf(old) === sizeOf(claim) && old.status?.phase === claim.status?.phase ? undefined : enqueue(claim)) });

  // Claims and volumes are heard of in no particular order.
  volumes.addHandler({ add: volumeChanged, update: volumeChanged });

  async function reconcile(key: string): Promise<void> {
    const claim = claims.lister.get(key);
    if (!claim || !isGrowing(claim)) return;
    const volume = volumes.lister.get(claim.spec?.volumeName ?? "");
    if (!volume || volume.spec?.claimRef?.uid !== claim.metadata.uid) return;
    if (volume.metadata.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER) return recorder.event(claim, "Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC");
    const storage = sizeOf(claim);
    if (isLess(volume.spec?.capacity?.["storage"], storage)) await client.update<PersistentVolume>(PERSISTENT_VOLUME, { ...volume, spec: { ...volume.spec, capacity: { ...volume.spec?.capacity, storage } } });
    await client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { ...claim, status: { ...claim.status, capacity: { ...claim.status?.capacity, storage } } }, { subresource: "status" });
    recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
  }
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 2, reconcile, subject: telling(deps, NAME, claims) });
}

/** Bound, and asking for more than it has. */
function isGrowing(claim: PersistentVolumeClaim): boolean {
  return claim.status?.phase === "Bound" && !claim.metadata.deletionTimestamp && claim.status.capacity?.["storage"] !== undefined && isLess(claim.status.capacity["storage"], sizeOf(claim));
}

function sizeOf({ spec }: PersistentVolumeClaim): string {
  return spec?.resources?.requests?.["storage"] ?? "0";
}

function isLess(a: string | undefined, b: string): boolean {
  return compareQuantities(parseQuantity(a ?? "0"), parseQuantity(b)) < 0;
}

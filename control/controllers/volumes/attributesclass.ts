// Keeps VolumeAttributesClasses while claims or volumes refer to them: a finalizer goes on, and off when it may.
// Upstream's volumeattributesclass-protection controller.
import { keyOf } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { orAbsent } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { PersistentVolume, PersistentVolumeClaim, Stored, VolumeAttributesClass } from "../../../api/types.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM } from "../kinds.ts";

const NAME = "volumeattributesclass-protection-controller";
const FINALIZER = "kubernetes.io/vac-protection";
const BY_CLASS = "volumeattributesclass";
const CLASS = builtinKind("storage.k8s.io", "v1", "VolumeAttributesClass");

export function volumeAttributesClassProtectionController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock });
  const classes = deps.informers.for<VolumeAttributesClass>(CLASS);
  const claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
  const volumes = deps.informers.for<PersistentVolume>(PERSISTENT_VOLUME);
  claims.addIndex(BY_CLASS, classesOfClaim);
  volumes.addIndex(BY_CLASS, classesOfVolume);
  const enqueue = (object: Stored<VolumeAttributesClass>): void => queue.add(keyOf(object));
  classes.addHandler({ add: enqueue, update: enqueue });
  // What an object no longer refers to may be free now.
  const letGo = (before: readonly string[], after: readonly string[] = []): void => before.filter((name) => !after.includes(name)).forEach((name) => queue.add(name));
  claims.addHandler({ update: (claim, old) => letGo(classesOfClaim(old), classesOfClaim(claim)), delete: (claim) => letGo(classesOfClaim(claim)) });
  volumes.addHandler({ update: (volume, old) => letGo(classesOfVolume(old), classesOfVolume(volume)), delete: (volume) => letGo(classesOfVolume(volume)) });

  async function reconcile(key: string): Promise<void> {
    const found = classes.lister.get(key);
    if (!found) return;
    const finalizers = found.metadata.finalizers ?? [];
    const isProtected = finalizers.includes(FINALIZER);
    if (found.metadata.deletionTimestamp === undefined) {
      if (!isProtected) await write(found, [...finalizers, FINALIZER]);
    } else if (isProtected && !(await isUsed(key))) await write(found, finalizers.filter((finalizer) => finalizer !== FINALIZER));
  }

  /** Only the server's word counts before a class is let go. */
  async function isUsed(name: string): Promise<boolean> {
    if (claims.lister.byIndex(BY_CLASS, name).length > 0 || volumes.lister.byIndex(BY_CLASS, name).length > 0) return true;
    const fresh = await client.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
    return fresh.items.some((claim) => classesOfClaim(claim).includes(name));
  }

  async function write(found: Stored<VolumeAttributesClass>, finalizers: string[]): Promise<void> {
    await orAbsent(client.update<VolumeAttributesClass>(CLASS, { ...found, metadata: { ...found.metadata, finalizers } }));
  }
  return controllerOf({ name: NAME, queue, informers: deps.informers, reconcile });
}

/** What a claim asks for, has, and is on its way to. */
function classesOfClaim({ spec, status }: PersistentVolumeClaim): string[] {
  const names = [spec?.volumeAttributesClassName, status?.currentVolumeAttributesClassName, status?.modifyVolumeStatus?.targetVolumeAttributesClassName];
  return [...new Set(names.filter((name): name is string => name !== undefined && name !== ""))];
}

function classesOfVolume({ spec }: PersistentVolume): string[] {
  return spec?.volumeAttributesClassName ? [spec.volumeAttributesClassName] : [];
}

// Makes the claims of pods' generic ephemeral volumes; they go with the pod that owns them.
// Upstream's ephemeral-volume controller.
import { isNamespaceTerminating } from "../../../api/errors.ts";
import { keyOf } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import type { PersistentVolumeClaim, Pod, Stored, Volume } from "../../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { PERSISTENT_VOLUME_CLAIM, POD } from "../kinds.ts";
import { isControlledBy, newControllerRef } from "../owners.ts";
import { indexByClaim, podsUsing } from "./protection.ts";

const NAME = "ephemeral-volume-controller";

export function ephemeralVolumeController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const recorder = deps.recorderFor("ephemeral_volume");
  const queue = new WorkQueue({ clock: deps.clock });
  const pods = deps.informers.for<Pod>(POD);
  const claims = deps.informers.for<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
  indexByClaim(pods);
  const enqueue = (pod: Stored<Pod>): void => (pod.spec?.volumes?.some(({ ephemeral }) => ephemeral) && !pod.metadata.deletionTimestamp ? queue.add(keyOf(pod)) : undefined);
  pods.addHandler({ add: enqueue });
  // Somebody took a claim away from a pod that still needs it.
  claims.addHandler({ delete: (claim) => podsUsing(pods, keyOf(claim)).forEach(enqueue) });

  async function reconcile(key: string): Promise<void> {
    const pod = pods.lister.get(key);
    if (!pod || pod.metadata.deletionTimestamp) return;
    for (const volume of pod.spec?.volumes ?? []) {
      try {
        if (volume.ephemeral) await ensureClaim(pod, volume);
      } catch (error) {
        if (isNamespaceTerminating(error)) return;
        recorder.event(pod, "Warning", "FailedBinding", `ephemeral volume ${volume.name}: ${(error as Error).message}`);
        throw error;
      }
    }
  }

  async function ensureClaim(pod: Stored<Pod>, volume: Volume): Promise<void> {
    const wanted = claimFor(pod, volume);
    const { name, namespace } = wanted.metadata;
    const existing = claims.lister.get(`${namespace}/${name}`);
    if (!existing) await create(wanted);
    else if (!isControlledBy(existing, pod)) throw new Error(`PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`);
  }

  async function create(claim: PersistentVolumeClaim): Promise<void> {
    deps.figures.count("ephemeral_volume_controller_create_total");
    try {
      await client.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, claim);
    } catch (error) {
      deps.figures.count("ephemeral_volume_controller_create_failures_total");
      throw error;
    }
  }
  return controllerOf({ name: NAME, queue, informers: deps.informers, reconcile, subject: telling(deps, NAME, pods) });
}

function claimFor(pod: Stored<Pod>, { name, ephemeral }: Volume): PersistentVolumeClaim {
  const { metadata, spec } = ephemeral?.volumeClaimTemplate ?? {};
  const { labels, annotations } = metadata ?? {};
  return {
    apiVersion: "v1", kind: "PersistentVolumeClaim",
    metadata: { name: `${pod.metadata.name}-${name}`, namespace: pod.metadata.namespace, ...(labels && { labels }), ...(annotations && { annotations }), ownerReferences: [newControllerRef(POD, pod)] },
    ...(spec && { spec }),
  };
}

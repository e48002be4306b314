// The directories behind this node's local volumes: made when a volume is, removed when it is deleted.
// Which volumes there are is the control plane's business; a directory is only touched while its volume's finalizer is on.
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { basename } from "node:path";
import type { Client } from "../../api/client/client.ts";
import { createInformers } from "../../api/client/informers.ts";
import { orAbsent } from "../../api/errors.ts";
import { LOCAL_PATH_FINALIZER, LOCAL_PATH_NODE, localPathNodeLabel } from "../../api/localpath.ts";
import { builtinKind } from "../../api/registry.ts";
import type { PersistentVolume, Stored } from "../../api/types.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { runWorkers } from "../../api/client/workers.ts";
import type { Clock } from "../../lib/clock.ts";

export interface LocalPathOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodeName: string;
}

const VOLUME = builtinKind("", "v1", "PersistentVolume");
/** Pods of any user write there, as to any volume that is theirs alone. */
const MODE = 0o777;

/** Works until the signal aborts. It has a cache of its own, for a server that refuses it must not hold up the kubelet. */
export async function runLocalPaths({ client, clock, nodeName }: LocalPathOptions, signal: AbortSignal): Promise<void> {
  const queue = new WorkQueue({ clock });
  const informers = createInformers(client, clock);
  const volumes = informers.for<PersistentVolume>(VOLUME, { labelSelector: `${LOCAL_PATH_NODE}=${localPathNodeLabel(nodeName)}` });
  const enqueue = (volume: Stored<PersistentVolume>): void => queue.add(volume.metadata.name);
  volumes.addHandler({ add: enqueue, update: enqueue });
  const reconcile = async (name: string): Promise<void> => {
    const volume = volumes.lister.get(name);
    const path = volume?.spec?.hostPath?.path;
    if (!volume || !path || !volume.metadata.finalizers?.includes(LOCAL_PATH_FINALIZER) || !isVolumeDirectory(path, name)) return;
    if (!volume.metadata.deletionTimestamp) return makeDirectory(path);
    if (volume.status?.phase === "Bound") return;
    rmSync(path, { recursive: true, force: true });
    const finalizers = volume.metadata.finalizers.filter((finalizer) => finalizer !== LOCAL_PATH_FINALIZER);
    await orAbsent(client.patch<PersistentVolume>(VOLUME, { name }, { metadata: { resourceVersion: volume.metadata.resourceVersion, finalizers } }, { type: "merge" }));
  };
  informers.start(signal);
  await runWorkers({ name: "local paths", queue, workers: 1, signal, reconcile });
}

/** Whoever may edit volumes must not be able to have any other directory removed. */
function isVolumeDirectory(path: string, volumeName: string): boolean {
  return path.startsWith("/") && !path.includes("/../") && basename(path).startsWith(`${volumeName}_`) && volumeName.startsWith("pvc-");
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, MODE);
}

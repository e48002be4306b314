// What stands behind a claim: the persistent volume it is bound to, as a volume the other kinds understand.
// Binding is the control plane's business; an unbound claim is an error to try again.
import { isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "../../api/types.ts";
import { MissingContentError } from "./payload.ts";
import type { ResolvedVolume } from "./volume.ts";

const CLAIM = builtinKind("", "v1", "PersistentVolumeClaim");
const VOLUME = builtinKind("", "v1", "PersistentVolume");

/** The claim a pod's volume names; a generic ephemeral volume has one of its own. */
export function claimName(pod: Pod, volume: Volume): string | undefined {
  if (volume.ephemeral) return `${pod.metadata.name}-${volume.name}`;
  return volume.persistentVolumeClaim?.claimName;
}

/** The volume itself, or what is behind its claim. Rejects in upstream's words when there is nothing to mount yet. */
export async function resolveClaim(client: Client, pod: Pod, volume: Volume): Promise<ResolvedVolume> {
  const name = claimName(pod, volume);
  if (name === undefined) return volume;
  const namespace = pod.metadata.namespace ?? "";
  const claim = await read<PersistentVolumeClaim>(() => client.get(CLAIM, { namespace, name }));
  if (!claim) throw new MissingContentError(`error processing PVC ${namespace}/${name}: failed to fetch PVC from API server: persistentvolumeclaims "${name}" not found`);
  if (claim.metadata.deletionTimestamp) throw new MissingContentError(`error processing PVC ${namespace}/${name}: PVC is being deleted`);
  if (volume.ephemeral && !claim.metadata.ownerReferences?.some(({ uid, controller }) => uid === pod.metadata.uid && controller)) throw new MissingContentError(`PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`);
  const bound = claim.spec?.volumeName;
  if (!bound || claim.status?.phase !== "Bound") throw new MissingContentError(`error processing PVC ${namespace}/${name}: PVC is not bound`);
  const persistent = await read<PersistentVolume>(() => client.get(VOLUME, { name: bound }));
  if (!persistent) throw new MissingContentError(`failed to get PV ${bound} from API server: persistentvolumes "${bound}" not found`);
  const { hostPath, local, nfs, accessModes, mountOptions, volumeMode } = persistent.spec ?? {};
  const readOnly = volume.persistentVolumeClaim?.readOnly === true || (accessModes?.length === 1 && accessModes[0] === "ReadOnlyMany");
  return { name: bound, ...(hostPath && { hostPath }), ...(local && { local }), ...(nfs && { nfs }), ...(mountOptions && { mountOptions }), ...(volumeMode === "Block" && { isBlock: true }), readOnly };
}

async function read<T>(get: () => Promise<T>): Promise<T | undefined> {
  try {
    return await get();
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

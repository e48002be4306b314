// What tokens a node may ask for: those of its own pods, for audiences the pods or the CSI drivers of their volumes name.
import type { Client } from "../../../api/client/client.ts";
import { orAbsent } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { CSIDriver, PersistentVolume, PersistentVolumeClaim, Pod, TokenRequest, Volume } from "../../../api/types.ts";
import type { Authorizer } from "../auth/auth.ts";
import { refuse } from "./attributes.ts";
import type { Attributes } from "./plugin.ts";

const POD = builtinKind("", "v1", "Pod");
const CLAIM = builtinKind("", "v1", "PersistentVolumeClaim");
const VOLUME = builtinKind("", "v1", "PersistentVolume");
const DRIVER = builtinKind("storage.k8s.io", "v1", "CSIDriver");

/** Refuses a node's request for a token of anybody but its pods. */
export async function restrictTokens(authorizer: Authorizer, { nodeName, attributes, client }: { nodeName: string; attributes: Attributes; client: Client }): Promise<void> {
  if (attributes.operation !== "CREATE" || attributes.subresource !== "token") return;
  const { boundObjectRef: ref, audiences = [] } = ((attributes.object as TokenRequest | undefined)?.spec ?? {}) as Partial<NonNullable<TokenRequest["spec"]>>;
  if (ref?.apiVersion !== "v1" || ref.kind !== "Pod" || !ref.name) throw refuse(attributes, "node requested token not bound to a pod");
  if (!ref.uid) throw refuse(attributes, "node requested token with a pod binding without a uid");
  const pod = await client.get<Pod>(POD, { name: ref.name, namespace: attributes.namespace });
  if (pod.metadata.uid !== ref.uid) throw refuse(attributes, `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`);
  if (pod.spec?.nodeName !== nodeName) throw refuse(attributes, "node requested token bound to a pod scheduled on a different node");
  if (audiences.length > 1) throw refuse(attributes, "node may only request 0 or 1 audiences");
  const audience = audiences[0] ?? "";
  if (await namesAudience(client, pod, audience)) return;
  const { user, namespace, name } = attributes;
  const { allowed } = await authorizer.authorize({ user, verb: "request-serviceaccounts-token-audience", group: "", version: "v1", resource: audience, subresource: "", namespace, name });
  if (!allowed) throw refuse(attributes, `audience ${JSON.stringify(audience)} not found in pod spec volume, ${user.name} is not authorized to request tokens for this audience`);
}

async function namesAudience(client: Client, pod: Pod, audience: string): Promise<boolean> {
  const volumes = pod.spec?.volumes ?? [];
  if (volumes.some(({ projected }) => projected?.sources?.some(({ serviceAccountToken }) => serviceAccountToken && (serviceAccountToken.audience ?? "") === audience))) return true;
  for (const volume of volumes) {
    const driver = await driverOf(client, pod, volume);
    if (!driver) continue;
    const found = await orAbsent(client.get<CSIDriver>(DRIVER, { name: driver }));
    if (found?.spec?.tokenRequests?.some((request) => request.audience === audience)) return true;
  }
  return false;
}

/** The CSI driver behind a volume, directly or through its claim. */
async function driverOf(client: Client, { metadata }: Pod, volume: Volume): Promise<string | undefined> {
  if (volume.csi) return volume.csi.driver;
  const name = volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral && `${metadata.name}-${volume.name}`);
  const claim = name ? await orAbsent(client.get<PersistentVolumeClaim>(CLAIM, { name, namespace: metadata.namespace })) : undefined;
  const bound = claim?.spec?.volumeName ? await orAbsent(client.get<PersistentVolume>(VOLUME, { name: claim.spec.volumeName })) : undefined;
  return bound?.spec?.csi?.driver;
}

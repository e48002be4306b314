// What the files of a config map, secret, downward API or projected volume hold; reading the API is all the I/O there is.
// `filevolume.ts` puts them on disk.
import type { Container, KeyToPath, Pod, Volume, VolumeProjection } from "../../api/types.ts";
import type { Payload, PayloadFile } from "./atomicwriter.ts";

/** Where the content comes from. */
export interface PayloadSources {
  configMap(namespace: string, name: string): Promise<{ data?: Record<string, string> | undefined; binaryData?: Record<string, string> | undefined } | undefined>;
  secret(namespace: string, name: string): Promise<{ data?: Record<string, string> | undefined } | undefined>;
  /** A service account token for this pod, fresh enough to be used. */
  token(pod: Pod, options: { readonly audience: string | undefined; readonly expirationSeconds: number }): Promise<string>;
  fieldValue(pod: Pod, path: string): string;
  resourceValue(pod: Pod, container: Container, ref: { resource: string; divisor?: string | undefined }): string;
}

/** Content a volume needs is not there; the message is upstream's. */
export class MissingContentError extends Error {
  override readonly name = "MissingContentError";
}

const DEFAULT_MODE = 0o644;
const DEFAULT_TOKEN_SECONDS = 3_600;

interface Selection {
  readonly items: readonly KeyToPath[] | undefined;
  readonly mode: number;
  readonly optional: boolean;
  /** `config` or `secret`, for messages. */
  readonly what: string;
}

/** The files of the volume; rejects with MissingContentError for a source that is not there and not optional. */
export async function volumePayload(sources: PayloadSources, pod: Pod, volume: Volume): Promise<Payload> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap) return configMapFiles(sources, pod, { ...configMap, mode: configMap.defaultMode ?? DEFAULT_MODE });
  if (secret) return secretFiles(sources, pod, { name: secret.secretName, items: secret.items, optional: secret.optional, mode: secret.defaultMode ?? DEFAULT_MODE });
  if (downwardAPI) return downwardFiles(sources, pod, { items: downwardAPI.items, mode: downwardAPI.defaultMode ?? DEFAULT_MODE });
  const files = new Map<string, PayloadFile>();
  for (const source of projected?.sources ?? []) {
    for (const [path, file] of await projectionFiles(sources, pod, { source, mode: projected?.defaultMode ?? DEFAULT_MODE })) files.set(path, file);
  }
  return files;
}

interface Named {
  readonly name?: string | undefined;
  readonly items?: readonly KeyToPath[] | undefined;
  readonly optional?: boolean | undefined;
  readonly mode: number;
}

async function configMapFiles(sources: PayloadSources, pod: Pod, { name = "", items, optional = false, mode }: Named): Promise<Payload> {
  const map = await sources.configMap(pod.metadata.namespace ?? "", name);
  if (!map && !optional) throw new MissingContentError(`configmap "${name}" not found`);
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(map?.data ?? {})) data.set(key, Buffer.from(value));
  for (const [key, value] of Object.entries(map?.binaryData ?? {})) data.set(key, Buffer.from(value, "base64"));
  return select(data, { items, mode, optional: optional || false, what: "config" });
}

async function secretFiles(sources: PayloadSources, pod: Pod, { name = "", items, optional = false, mode }: Named): Promise<Payload> {
  const secret = await sources.secret(pod.metadata.namespace ?? "", name);
  if (!secret && !optional) throw new MissingContentError(`secret "${name}" not found`);
  const data = new Map(Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64") as Uint8Array]));
  return select(data, { items, mode, optional, what: "secret" });
}

/** All keys under their own names, or the listed ones under the paths they are given. */
function select(data: ReadonlyMap<string, Uint8Array>, { items, mode, optional, what }: Selection): Payload {
  if (!items || items.length === 0) return new Map([...data].map(([key, content]) => [key, { data: content, mode }]));
  const files = new Map<string, PayloadFile>();
  for (const item of items) {
    const content = data.get(item.key);
    if (content) files.set(item.path, { data: content, mode: item.mode ?? mode });
    else if (!optional) throw new MissingContentError(`references non-existent ${what} key: ${item.key}`);
  }
  return files;
}

type DownwardItems = NonNullable<NonNullable<Volume["downwardAPI"]>["items"]>;

function downwardFiles(sources: PayloadSources, pod: Pod, { items = [], mode }: { items: DownwardItems | undefined; mode: number }): Payload {
  const files = new Map<string, PayloadFile>();
  for (const item of items) {
    const text = item.fieldRef ? sources.fieldValue(pod, item.fieldRef.fieldPath) : item.resourceFieldRef ? resourceText(sources, pod, item.resourceFieldRef) : "";
    files.set(item.path, { data: Buffer.from(text), mode: item.mode ?? mode });
  }
  return files;
}

function resourceText(sources: PayloadSources, pod: Pod, ref: { resource: string; containerName?: string | undefined; divisor?: string | undefined }): string {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const container = all.find((candidate) => candidate.name === ref.containerName);
  if (!container) throw new MissingContentError(`container ${ref.containerName ?? ""} not found`);
  return sources.resourceValue(pod, container, ref);
}

async function projectionFiles(sources: PayloadSources, pod: Pod, { source, mode }: { source: VolumeProjection; mode: number }): Promise<Payload> {
  if (source.configMap) return configMapFiles(sources, pod, { ...source.configMap, mode });
  if (source.secret) return secretFiles(sources, pod, { ...source.secret, mode });
  if (source.downwardAPI) return downwardFiles(sources, pod, { items: source.downwardAPI.items, mode });
  if (!source.serviceAccountToken) throw new MissingContentError("the projection has a source this node does not know");
  const { path, audience, expirationSeconds = DEFAULT_TOKEN_SECONDS } = source.serviceAccountToken;
  const token = await sources.token(pod, { audience, expirationSeconds });
  const owner = soleUser(pod);
  // A token is for the one user that runs, or for the group that owns the volume.
  const isPrivate = owner !== undefined || pod.spec?.securityContext?.fsGroup !== undefined;
  return new Map([[path, { data: Buffer.from(token), mode: isPrivate ? 0o600 : mode, uid: owner }]]);
}

/** The user all containers run as, when they agree on one. */
function soleUser(pod: Pod): number | undefined {
  const spec = pod.spec;
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...((spec?.ephemeralContainers ?? []) as Container[])];
  const users = new Set(containers.map((container) => container.securityContext?.runAsUser ?? spec?.securityContext?.runAsUser));
  return users.size === 1 ? [...users][0] : undefined;
}

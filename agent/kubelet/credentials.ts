// Which registry credentials fit an image: from the secrets a pod names and from the node's own file.
// Matching follows the container tools: by host (with wildcards per label), port and path prefix, the longest first.
import type { Secret } from "../../api/types.ts";
import type { RegistryAuth } from "../runtime/runtime.ts";

interface DockerAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

/** The secret or service account a credential came from; whoever may use that one may use what it pulled. */
export interface CredentialSource {
  readonly kind: "secret" | "serviceAccount";
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** A credential, what it is known by without telling it, and where it came from: undefined for the node's own. */
export interface Credential {
  readonly auth: RegistryAuth;
  /** SHA-256 of user and password. */
  readonly hash: string;
  readonly source?: CredentialSource | undefined;
}

/** Credentials by registry pattern. */
export type Entries = readonly (readonly [registry: string, auth: RegistryAuth])[];

/** Host and path of an image reference, as credentials are filed under: `docker.io/library/nginx`. */
export function repositoryOf(reference: string): string {
  const bare = reference.split("@")[0] as string;
  const slash = bare.lastIndexOf("/");
  const tag = bare.indexOf(":", slash + 1);
  const name = tag < 0 ? bare : bare.slice(0, tag);
  const [first = "", ...rest] = name.split("/");
  const hasHost = rest.length > 0 && (first.includes(".") || first.includes(":") || first === "localhost");
  if (hasHost) return name;
  return rest.length > 0 ? `docker.io/${name}` : `docker.io/library/${name}`;
}

/** Every credential that fits: those of the pod's secrets best first, then the node's own. Secrets that hold none, or nonsense, are passed over. */
export function credentialsFor(reference: string, sources: readonly (Secret | undefined)[], nodeConfig = ""): Credential[] {
  const ofSecrets = sources.flatMap((secret) => (secret ? fitting(reference, entriesOf(secret), sourceOf(secret)) : []));
  return [...ofSecrets.sort((a, b) => b.pattern.length - a.pattern.length), ...fitting(reference, parseConfig(nodeConfig))].map(({ credential }) => credential);
}

/** Those of the entries that fit an image, best first. */
export function matching(reference: string, entries: Entries, source?: CredentialSource): Credential[] {
  return fitting(reference, entries, source).map(({ credential }) => credential);
}

/** Whether an image is among those a pattern names. */
export function matchesImage(pattern: string, reference: string): boolean {
  return fits(normalised(pattern), repositoryOf(reference));
}

function fitting(reference: string, entries: Entries, source?: CredentialSource): { pattern: string; credential: Credential }[] {
  const repository = repositoryOf(reference);
  return entries
    .map(([registry, auth]) => ({ pattern: normalised(registry), credential: { auth, hash: hashOf(auth), source } }))
    .filter(({ pattern }) => fits(pattern, repository))
    .sort((a, b) => b.pattern.length - a.pattern.length);
}

function hashOf({ username = "", password = "", identityToken = "", registryToken = "" }: RegistryAuth): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([username, password, identityToken, registryToken])).digest("hex");
}

function sourceOf({ metadata }: Secret): CredentialSource {
  return { kind: "secret", uid: metadata.uid ?? "", namespace: metadata.namespace ?? "", name: metadata.name ?? "" };
}

function entriesOf(secret: Secret): Entries {
  const config = secret.data?.[".dockerconfigjson"];
  if (config) return parseConfig(Buffer.from(config, "base64").toString("utf8"));
  const legacy = secret.data?.[".dockercfg"];
  return legacy ? parseConfig(`{"auths":${Buffer.from(legacy, "base64").toString("utf8")}}`) : [];
}

function parseConfig(text: string): [string, RegistryAuth][] {
  try {
    const { auths = {} } = JSON.parse(text) as { auths?: Record<string, DockerAuth> };
    return Object.entries(auths).map(([registry, auth]) => [registry, toAuth(auth)]);
  } catch {
    return [];
  }
}

function toAuth({ username, password, auth, identitytoken, registrytoken }: DockerAuth): RegistryAuth {
  const [user, ...secret] = auth ? Buffer.from(auth, "base64").toString("utf8").split(":") : [username, password ?? ""];
  return {
    ...(user && { username: user, password: secret.join(":").replace(/\0+$/, "") }),
    ...(identitytoken && { identityToken: identitytoken }),
    ...(registrytoken && { registryToken: registrytoken }),
  };
}

/** Without scheme, API version and trailing slash; Docker Hub under one name. */
function normalised(registry: string): string {
  const bare = registry.replace(/^https?:\/\//, "").replace(/\/+$/, "").replace(/\/v[12]$/, "");
  return bare === "index.docker.io" || bare === "registry-1.docker.io" ? "docker.io" : bare;
}

function fits(pattern: string, repository: string): boolean {
  const [host = "", ...path] = pattern.split("/");
  const [wantedHost = "", ...wantedPath] = repository.split("/");
  return hostFits(host, wantedHost) && wantedPath.join("/").startsWith(path.join("/"));
}

function hostFits(pattern: string, host: string): boolean {
  const labels = pattern.split(".");
  const wanted = host.split(".");
  return labels.length === wanted.length && labels.every((label, i) => new RegExp(`^${label.replace(/[+^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^.]*")}$`).test(wanted[i] as string));
}

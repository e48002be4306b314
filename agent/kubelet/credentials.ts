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

/** Every credential that fits, best first. Secrets that hold none, or nonsense, are passed over. */
export function credentialsFor(reference: string, sources: readonly (Secret | undefined)[], nodeConfig = ""): RegistryAuth[] {
  const repository = repositoryOf(reference);
  const entries = [...sources.flatMap((secret) => (secret ? entriesOf(secret) : [])), ...parseConfig(nodeConfig)];
  return entries
    .map(([registry, auth]) => ({ pattern: normalised(registry), auth }))
    .filter(({ pattern }) => fits(pattern, repository))
    .sort((a, b) => b.pattern.length - a.pattern.length)
    .map(({ auth }) => auth);
}

function entriesOf(secret: Secret): [string, RegistryAuth][] {
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

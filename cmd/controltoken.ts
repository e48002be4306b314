// How another control plane gets the cluster's keys: encrypted in a Secret that one bootstrap token may read, the key being in the join token only.
// Form of such a token: `<id>.<secret>.<sha256 of the CA certificate, hex>.<AES-256 key, hex>`; what it opens goes away with it.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { Client } from "../api/client/client.ts";
import { isNotFound } from "../api/errors.ts";
import { builtinKind } from "../api/registry.ts";
import type { Role, RoleBinding, Secret } from "../api/types.ts";
import type { Roots } from "../control/pki/pki.ts";
import type { ClusterConfig } from "./clusterconfig.ts";
import { UsageError } from "./flags.ts";
import { createJoinToken, parseJoinToken, type JoinToken, type TokenOptions } from "./jointoken.ts";

const SECRETS = builtinKind("", "v1", "Secret");
const ROLES = builtinKind("rbac.authorization.k8s.io", "v1", "Role");
const ROLE_BINDINGS = builtinKind("rbac.authorization.k8s.io", "v1", "RoleBinding");
const NAMESPACE = "kube-system";
const RBAC = "rbac.authorization.k8s.io";
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What a control plane must have in common with the others. */
export interface ClusterKeys {
  readonly roots: Roots;
  readonly config: ClusterConfig;
}

/** A token that lets another control plane join. */
export interface ControlToken extends JoinToken {
  readonly key: Buffer;
}

/** Takes a control plane's join token apart; throws UsageError when it has another form. */
export function parseControlToken(text: string): ControlToken {
  const match = /^(.*)\.([0-9a-f]{64})$/.exec(text);
  if (!match || !/^[^.]+\.[^.]+\.[^.]+$/.test(match[1] as string)) throw new UsageError("--token: a control plane joins with what `minik8s token create --control-plane` prints on one that runs; the token of a node carries no keys");
  return { ...parseJoinToken(match[1] as string), key: Buffer.from(match[2] as string, "hex") };
}

/** Leaves the keys encrypted in the cluster and returns the only token that opens them. */
export async function createControlToken(client: Client, keys: ClusterKeys, options: TokenOptions): Promise<string> {
  const token = await createJoinToken(client, options);
  const id = token.slice(0, token.indexOf("."));
  const key = randomBytes(32);
  const { uid } = (await client.get<Secret>(SECRETS, { namespace: NAMESPACE, name: `bootstrap-token-${id}` })).metadata;
  // What belongs to the token's Secret is collected when that is deleted or has expired.
  const metadata = { name: nameOf(id), namespace: NAMESPACE, ownerReferences: [{ apiVersion: "v1", kind: "Secret", name: `bootstrap-token-${id}`, uid }] };
  await Promise.all([
    client.create<Secret>(SECRETS, { metadata, type: "Opaque", data: { keys: seal(JSON.stringify(keys), key, id).toString("base64") } }),
    client.create<Role>(ROLES, { metadata, rules: [{ apiGroups: [""], resources: ["secrets"], resourceNames: [metadata.name], verbs: ["get"] }] }),
    client.create<RoleBinding>(ROLE_BINDINGS, { metadata, roleRef: { apiGroup: RBAC, kind: "Role", name: metadata.name }, subjects: [{ apiGroup: RBAC, kind: "User", name: `system:bootstrap:${id}` }] }),
  ]);
  return `${token}.${key.toString("hex")}`;
}

/** Fetches and opens the keys, as the token's own user. */
export async function fetchClusterKeys(client: Client, { bearer, key }: ControlToken): Promise<ClusterKeys> {
  const id = bearer.slice(0, bearer.indexOf("."));
  try {
    const { data } = await client.get<Secret>(SECRETS, { namespace: NAMESPACE, name: nameOf(id) });
    return JSON.parse(open(Buffer.from(data?.["keys"] ?? "", "base64"), key, id)) as ClusterKeys;
  } catch (cause) {
    if ((cause as { code?: number }).code === 401 || isNotFound(cause)) throw new Error("the join token is not valid (any more): make a new one with `minik8s token create --control-plane` on a control plane that runs", { cause });
    throw cause;
  }
}

function nameOf(id: string): string {
  return `control-plane-keys-${id}`;
}

/** Nonce, ciphertext, tag; bound to the token's ID. */
function seal(text: string, key: Buffer, id: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(id));
  return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

function open(sealed: Buffer, key: Buffer, id: string): string {
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(id)).setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString("utf8");
}

// Join tokens: a bootstrap token plus the SHA-256 of the cluster's authority, so that joining needs no leap of faith.
// Form: `<id>.<secret>.<sha256 of the CA certificate, hex>`; the first two parts are what the API server knows.
import { randomBytes } from "node:crypto";
import { builtinKind } from "../api/registry.ts";
import type { Client } from "../api/client/client.ts";
import type { Secret } from "../api/types.ts";
import { UsageError } from "./flags.ts";

const SECRETS = builtinKind("", "v1", "Secret");
const NAMESPACE = "kube-system";
const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

/** A join token taken apart. */
export interface JoinToken {
  /** `<id>.<secret>`: the bearer token. */
  readonly bearer: string;
  readonly authoritySha256: string;
}

/** Takes a join token apart; throws UsageError when it has another form. */
export function parseJoinToken(text: string): JoinToken {
  const match = /^([a-z0-9]{6}\.[a-z0-9]{16})\.([0-9a-f]{64})$/.exec(text);
  if (!match) throw new UsageError("--token: must be the whole token that `minik8s token create` printed: <6 characters>.<16 characters>.<64 hex digits>");
  return { bearer: match[1] as string, authoritySha256: match[2] as string };
}

export interface TokenOptions {
  readonly ttlMs: number;
  readonly authoritySha256: string;
  readonly description: string;
  readonly now?: number;
}

/** Makes a bootstrap token good for `ttlMs` (0: for ever) and returns the join token. */
export async function createJoinToken(client: Client, options: TokenOptions): Promise<string> {
  const id = randomText(6);
  const secret = randomText(16);
  const expiration = options.ttlMs > 0 ? { expiration: new Date((options.now ?? Date.now()) + options.ttlMs).toISOString() } : {};
  const data = {
    "token-id": id, "token-secret": secret, description: options.description, ...expiration,
    "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true", "auth-extra-groups": "system:bootstrappers:minik8s:default-node-token",
  };
  await client.create<Secret>(SECRETS, {
    metadata: { name: `bootstrap-token-${id}`, namespace: NAMESPACE }, type: "bootstrap.kubernetes.io/token",
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")])),
  });
  return `${id}.${secret}.${options.authoritySha256}`;
}

/** What can be told of a token without its secret. */
export interface TokenSummary {
  readonly id: string;
  readonly expiration: string;
  readonly description: string;
}

/** All bootstrap tokens, oldest first. */
export async function listJoinTokens(client: Client): Promise<TokenSummary[]> {
  const { items } = await client.list<Secret>(SECRETS, { namespace: NAMESPACE, fieldSelector: "type=bootstrap.kubernetes.io/token" });
  return items.map(({ data }) => ({ id: decoded(data?.["token-id"]), expiration: decoded(data?.["expiration"]), description: decoded(data?.["description"]) }));
}

/** Deletes one; throws the API's NotFound when there is none. */
export async function deleteJoinToken(client: Client, id: string): Promise<void> {
  await client.delete(SECRETS, { namespace: NAMESPACE, name: `bootstrap-token-${id.split(".")[0]}` });
}

function decoded(value: string | undefined): string {
  return value ? Buffer.from(value, "base64").toString() : "";
}

/** Letters and digits, each equally likely. */
function randomText(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length)) if (byte < 252 && text.length < length) text += ALPHABET[byte % 36];
  }
  return text;
}

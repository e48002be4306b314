// Signing and checking JSON Web Tokens with one key, ES256 or RS256 by the kind of key.
// Synchronous and small on purpose: what the claims mean is for others.
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from "node:crypto";

export type Claims = Readonly<Record<string, unknown>>;
type Algorithm = "ES256" | "RS256";

/** A key that verifies tokens, under the id tokens name it by. */
interface VerifyingKey {
  readonly id: string;
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
}

/** Signs with one private key and verifies with it and any older public keys. */
export class TokenKeys {
  readonly #privateKey: KeyObject;
  readonly #signing: VerifyingKey;
  readonly #verifying: readonly VerifyingKey[];

  /** `olderKeys`: PEM of public (or private) keys whose tokens are still good. */
  constructor(privateKeyPem: string, olderKeys: readonly string[] = []) {
    this.#privateKey = createPrivateKey(privateKeyPem);
    this.#signing = verifyingKey(createPublicKey(this.#privateKey));
    this.#verifying = [this.#signing, ...olderKeys.map((pem) => verifyingKey(createPublicKey(pem)))];
  }

  sign(claims: Claims): string {
    const { algorithm, id } = this.#signing;
    const signed = `${encode({ alg: algorithm, kid: id })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), { key: this.#privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  }

  /** The claims when the signature is ours; undefined when it is not. Expiry is not looked at. */
  verify(token: string): Claims | undefined {
    const [header = "", payload = "", signature = "", ...rest] = token.split(".");
    const head = rest.length === 0 ? decode(header) : undefined;
    if (!head || signature === "") return undefined;
    const signed = Buffer.from(`${header}.${payload}`);
    const proof = Buffer.from(signature, "base64url");
    const candidates = this.#verifying.filter((k) => k.algorithm === head["alg"] && (head["kid"] === undefined || head["kid"] === k.id));
    const isOurs = candidates.some((k) => verify("sha256", signed, { key: k.key, dsaEncoding: "ieee-p1363" }, proof));
    return isOurs ? decode(payload) : undefined;
  }

  /** The public keys as a JSON Web Key Set, as `/openid/v1/jwks` serves it. */
  jwks(): { keys: readonly Record<string, unknown>[] } {
    return { keys: this.#verifying.map(({ id, algorithm, key }) => ({ use: "sig", ...key.export({ format: "jwk" }), kid: id, alg: algorithm })) };
  }
}

/** The claims of a token without checking anything; undefined for what is no token. */
export function peekClaims(token: string): Claims | undefined {
  const parts = token.split(".");
  return parts.length === 3 ? decode(parts[1] as string) : undefined;
}

/** The id is the hash of the public key, as upstream derives it. */
function verifyingKey(key: KeyObject): VerifyingKey {
  const id = createHash("sha256").update(key.export({ type: "spki", format: "der" })).digest("base64url");
  const type = key.asymmetricKeyType;
  if (type !== "ec" && type !== "rsa") throw new Error(`service-account keys must be EC (P-256) or RSA, this one is ${type}`);
  return { id, algorithm: type === "ec" ? "ES256" : "RS256", key };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

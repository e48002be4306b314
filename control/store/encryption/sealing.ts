// How one encrypted value lies in the store: `k8s:enc:aesgcm:v1:<key id>:`, nonce, AES-256-GCM ciphertext, tag.
// The form is upstream's; the key the value is stored under is authenticated with it, so that no value can be put in another's place.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

/** One AES-256 key and what stored values call it. */
export interface EncryptionKey {
  readonly id: string;
  readonly secret: Buffer;
}

/** A value that does not open with the key it names: the value, its place or the key was changed. */
export class SealBroken extends Error {
  override readonly name = "SealBroken";
}

/** What stands for "not encrypted" where key ids are expected; no key has this id. */
export const PLAIN = "";

const CIPHER = "aes-256-gcm";
const PREFIX = Buffer.from("k8s:enc:aesgcm:v1:");
const COLON = 0x3a;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAX_ID_BYTES = 64;

/** A new key of 256 random bits; ids say when it was made. */
export function createKey(nowMs: number): EncryptionKey {
  const day = new Date(nowMs).toISOString().slice(0, 10);
  return { id: `${day}-${randomBytes(4).toString("hex")}`, secret: randomBytes(32) };
}

/** The id of the key a value is encrypted with, or PLAIN. */
export function keyIdOf(value: Uint8Array): string {
  const head = view(value).subarray(0, PREFIX.length + MAX_ID_BYTES + 1);
  if (Buffer.compare(head.subarray(0, PREFIX.length), PREFIX) !== 0) return PLAIN;
  const end = head.indexOf(COLON, PREFIX.length);
  return end < 0 ? PLAIN : head.toString("utf8", PREFIX.length, end);
}

/** Encrypts a value for its place in the store. */
export function seal({ id, secret }: EncryptionKey, storeKey: string, value: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce).setAAD(Buffer.from(storeKey));
  return Buffer.concat([PREFIX, Buffer.from(`${id}:`), nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
}

/** Decrypts what `seal` returned; throws SealBroken when it is not exactly that, in that place. */
export function open({ id, secret }: EncryptionKey, storeKey: string, sealed: Uint8Array): Uint8Array {
  const body = view(sealed).subarray(PREFIX.length + Buffer.byteLength(id) + 1);
  try {
    const decipher = createDecipheriv(CIPHER, secret, body.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(storeKey)).setAuthTag(body.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(body.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new SealBroken(`the value at ${storeKey} does not open with key ${id}`, { cause });
  }
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

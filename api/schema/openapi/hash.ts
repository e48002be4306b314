// The names upstream gives to parameters that many operations share: the parameter's name and a hash of its JSON.
import type { Json } from "./schemas.ts";

const OFFSET = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;
const MASK = 0xffffffffffffffffn;
const names = new Map<string, string>();

/** Such as `pretty-tJGM1-ng`: eight characters of a 64-bit FNV-1 over the parameter as JSON, in the order of its keys. */
export function sharedName(parameter: Json): string {
  const text = JSON.stringify(parameter);
  let name = names.get(text);
  if (name === undefined) {
    let hash = OFFSET;
    for (const byte of new TextEncoder().encode(text)) hash = ((hash * PRIME) & MASK) ^ BigInt(byte);
    const bytes = Uint8Array.from({ length: 6 }, (_, index) => Number((hash >> BigInt(56 - 8 * index)) & 0xffn));
    name = `${String(parameter["name"])}-${bytes.toBase64({ alphabet: "base64url", omitPadding: true })}`;
    names.set(text, name);
  }
  return name;
}

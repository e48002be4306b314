// Key pairs on disk: `<name>.crt` beside `<name>.key`, written whole or not at all, keys readable by their owner only.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/files.ts";
import type { KeyPair } from "./certificates.ts";

/** Reads a pair back, or undefined when either file is missing. */
export function loadKeyPair(directory: string, name: string): KeyPair | undefined {
  const certPath = join(directory, `${name}.crt`);
  const keyPath = join(directory, `${name}.key`);
  if (!existsSync(certPath) || !existsSync(keyPath)) return undefined;
  return { certPem: readFileSync(certPath, "utf8"), keyPem: readFileSync(keyPath, "utf8") };
}

/** Writes a pair; the key file is 0600 from its first byte. */
export function saveKeyPair(directory: string, name: string, pair: KeyPair): void {
  writeFileAtomic(join(directory, `${name}.key`), pair.keyPem, 0o600);
  writeFileAtomic(join(directory, `${name}.crt`), pair.certPem, 0o644);
}

/** The pair on disk, or the one `make` returns, saved. */
export async function loadOrCreate(directory: string, name: string, make: () => Promise<KeyPair>): Promise<KeyPair> {
  const existing = loadKeyPair(directory, name);
  if (existing) return existing;
  const created = await make();
  saveKeyPair(directory, name, created);
  return created;
}

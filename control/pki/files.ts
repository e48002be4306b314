// Key pairs on disk: `<name>.crt` beside `<name>.key`, written whole or not at all, keys readable by their owner only.
import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
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

/** Replaces a file by rename after a sync, so that a crash leaves the old or the new one. */
export function writeFileAtomic(path: string, text: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.${process.pid}.tmp`;
  const file = openSync(temporary, "w", mode);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}

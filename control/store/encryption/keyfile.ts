// Encryption keys in a file only its owner may read.
import { readFileSync, statSync } from "node:fs";
import { writeFileAtomic } from "../../../lib/files.ts";
import { formatKeys, parseKeys, UnreadableKeys, type KeyringState, type KeyStorage } from "./keyring.ts";

const OTHERS = 0o077;

/** Keys in the file at `path`, mode 0600. */
export class KeyFile implements KeyStorage {
  readonly description: string;

  constructor(readonly path: string) {
    this.description = path;
  }

  async read(): Promise<KeyringState | undefined> {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new UnreadableKeys(`the encryption keys in ${this.path} cannot be read: ${(cause as Error).message}`, { cause });
    }
    if ((statSync(this.path).mode & OTHERS) !== 0) throw new UnreadableKeys(`the encryption keys in ${this.path} may be read by others than their owner: chmod 600 ${this.path}`);
    return parseKeys(text, this.path);
  }

  async write(state: KeyringState): Promise<void> {
    writeFileAtomic(this.path, formatKeys(state), 0o600);
  }
}

// Encryption keys of several processes on one store: in the store itself, sealed with a secret all of them have.
// A new key is in the store before anything is encrypted with it, and everybody is told of both in that order.
import { hkdfSync } from "node:crypto";
import { WriteConflict, type Change, type Fence, type Store } from "../store.ts";
import { formatKeys, KeysChanged, parseKeys, UnreadableKeys, type KeyringState, type KeyStorage } from "./keyring.ts";
import { open, seal, type EncryptionKey } from "./sealing.ts";

const STORE_KEY = "/minik8s/encryption-keys";
const KEY_BYTES = 32;

export interface SharedKeysOptions {
  readonly store: Store;
  /** What seals the keys; everybody who shares the store has it. */
  readonly secret: string;
  /** For messages: where that secret is. */
  readonly secretDescription: string;
}

/** Keys in a shared store. */
export class SharedKeys implements KeyStorage {
  readonly description: string;
  readonly #store: Store;
  readonly #key: EncryptionKey;
  #revision = 0;
  #readAt = 0;

  constructor({ store, secret, secretDescription }: SharedKeysOptions) {
    this.#store = store;
    this.#key = { id: "shared", secret: Buffer.from(hkdfSync("sha256", secret, "", "minik8s encryption keys", KEY_BYTES)) };
    this.description = `${STORE_KEY} of the shared store, sealed with ${secretDescription}`;
  }

  get fence(): Fence {
    return { key: STORE_KEY, revision: this.#revision };
  }

  async read(): Promise<KeyringState | undefined> {
    this.#readAt = this.#store.revision;
    const entry = await this.#store.get(STORE_KEY);
    this.#revision = entry?.modRevision ?? 0;
    return entry && this.#opened(entry.value);
  }

  async write(state: KeyringState): Promise<void> {
    try {
      this.#revision = await this.#store.write({ key: STORE_KEY, value: seal(this.#key, STORE_KEY, Buffer.from(formatKeys(state))), expect: this.#revision });
    } catch (cause) {
      if (cause instanceof WriteConflict) throw new KeysChanged("another process changed the encryption keys", { cause });
      throw cause;
    }
  }

  follow(onState: (state: KeyringState) => void, signal: AbortSignal): void {
    const onChanges = (changes: readonly Change[]): void => {
      for (const { key, type, revision, value } of changes) {
        if (key !== STORE_KEY || type !== "put" || revision < this.#revision) continue;
        this.#revision = revision;
        onState(this.#opened(value));
      }
    };
    this.#store.watch({ prefix: STORE_KEY, after: this.#readAt, signal, onChanges });
  }

  #opened(value: Uint8Array): KeyringState {
    try {
      return parseKeys(Buffer.from(open(this.#key, STORE_KEY, value)).toString(), this.description);
    } catch (cause) {
      if (cause instanceof UnreadableKeys) throw cause;
      throw new UnreadableKeys(`the encryption keys in ${this.description} cannot be opened with it: that file belongs to another cluster; use the --data-dir of this one, or its backup`, { cause });
    }
  }
}

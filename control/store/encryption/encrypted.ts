// A store whose values under some prefixes are encrypted in the store below and plain to everybody above.
// Which key, and whether at all, is the keyring's; values in any form a key is there for are read.
import { Fenced, WriteConflict, type Change, type Entry, type Store, type Write } from "../store.ts";
import type { Keyring } from "./keyring.ts";
import { keyIdOf, open, PLAIN, seal, SealBroken } from "./sealing.ts";

export interface EncryptedStoreOptions {
  /** Keys that start with one of these hold encrypted values. */
  readonly prefixes: readonly string[];
  readonly keyring: Keyring;
  /** Called when a change cannot be read, after which this process no longer knows what the store holds. */
  readonly onUnreadable: (error: Error) => void;
}

/** A value is encrypted with a key that is not there. */
export class KeyMissing extends Error {
  override readonly name = "KeyMissing";
}

/** A `Store` that encrypts on the way down and decrypts on the way up. */
export class EncryptedStore implements Store {
  readonly #inner: Store;
  readonly #options: EncryptedStoreOptions;
  /** What is on its way through the store below comes back as the very same array; nobody decrypts what was just encrypted. */
  readonly #underway = new WeakMap<Uint8Array, Uint8Array>();
  readonly latest?: () => Promise<number>;

  constructor(inner: Store, options: EncryptedStoreOptions) {
    this.#inner = inner;
    this.#options = options;
    if (inner.latest) this.latest = () => (inner.latest as () => Promise<number>)();
  }

  get revision(): number {
    return this.#inner.revision;
  }

  get compactRevision(): number {
    return this.#inner.compactRevision;
  }

  async get(key: string): Promise<Entry | undefined> {
    const entry = await this.#inner.get(key);
    return entry && this.#opened(entry);
  }

  async list(prefix: string): Promise<{ entries: Entry[]; revision: number }> {
    const { entries, revision } = await this.#inner.list(prefix);
    return { entries: entries.map((entry) => this.#opened(entry)), revision };
  }

  write(write: Write): Promise<number> {
    if (!this.#isCovered(write.key)) return this.#inner.write(write);
    return write.value === undefined ? this.#pass(write) : this.#writeSealed(write, write.value);
  }

  async #writeSealed(write: Write, value: Uint8Array): Promise<number> {
    const { keyring } = this.#options;
    for (;;) {
      const { fence } = keyring.storage;
      try {
        return await this.#pass({ ...write, value: this.#sealed(write.key, value), ...(fence && { fence }) });
      } catch (error) {
        if (!fence || !(error instanceof Fenced)) throw error;
        // Somebody changed the keys: with an old one nothing may be written any more, since it may be dropped.
        await keyring.refresh();
      }
    }
  }

  watch(options: Parameters<Store["watch"]>[0]): void {
    const onChanges = (changes: readonly Change[]): void => {
      let opened: readonly Change[];
      try {
        opened = changes.some(({ key }) => this.#isCovered(key)) ? changes.map((change) => this.#opened(change)) : changes;
      } catch (error) {
        return this.#options.onUnreadable(error as Error);
      }
      options.onChanges(opened);
    };
    this.#inner.watch({ ...options, onChanges });
  }

  compact(): Promise<void> {
    return this.#inner.compact();
  }

  async purge(): Promise<void> {
    await this.#inner.purge?.();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #pass(write: Write): Promise<number> {
    try {
      return await this.#inner.write(write);
    } catch (error) {
      if (error instanceof WriteConflict) throw new WriteConflict(error.key, error.current && this.#opened(error.current));
      throw error;
    }
  }

  #sealed(storeKey: string, value: Uint8Array): Uint8Array {
    const key = this.#options.keyring.writing;
    if (!key) return value;
    const sealed = seal(key, storeKey, value);
    this.#underway.set(sealed, value);
    return sealed;
  }

  #isCovered(key: string): boolean {
    return this.#options.prefixes.some((prefix) => key.startsWith(prefix));
  }

  #opened<T extends { readonly key: string; readonly value: Uint8Array }>(item: T): T {
    if (!this.#isCovered(item.key)) return item;
    const value = this.#underway.get(item.value) ?? openValue(this.#options.keyring, item.key, item.value);
    return value === item.value ? item : { ...item, value };
  }
}

/** A value as it was before it was encrypted; throws KeyMissing or SealBroken with what to do about it. */
export function openValue(keyring: Keyring, storeKey: string, value: Uint8Array): Uint8Array {
  const id = keyIdOf(value);
  if (id === PLAIN) return value;
  const { description } = keyring.storage;
  const key = keyring.find(id);
  if (!key) throw keyMissing(keyring, storeKey, id);
  try {
    return open(key, storeKey, value);
  } catch (cause) {
    throw new SealBroken(`${storeKey} does not open with key ${id} of ${description}: the key or the value was changed; put back the keys that belong to this store and start again (nothing was changed)`, { cause });
  }
}

/** What is said when `what` is encrypted with a key that is not there. */
export function keyMissing({ storage: { description } }: Keyring, what: string, id: string): KeyMissing {
  return new KeyMissing(`${what} cannot be read: encrypted with key ${id}, which is not in ${description}; put back the keys that belong to this store, from the backup or the machine they were kept on, and start again (nothing was changed)`);
}

// The keys values are encrypted with: one that writes, all that read, and how far a change of them has come.
// Where they are kept is a `KeyStorage`'s business; nothing is encrypted with a key that is not kept yet.
import type { Fence } from "../store.ts";
import { createKey, PLAIN, type EncryptionKey } from "./sealing.ts";

/** What is kept. */
export interface KeyringState {
  readonly keys: readonly EncryptionKey[];
  /** The id of the key new values are encrypted with; PLAIN while encryption is off. */
  readonly writes: string;
  /** Whether every trace of any other form has left the store. */
  readonly isSettled: boolean;
}

/** Where the keys are kept. */
export interface KeyStorage {
  /** For messages: where the reader finds the keys, such as `file /x/encryption-keys.json`. */
  readonly description: string;
  /** undefined when nothing was ever kept; throws UnreadableKeys for what cannot be used. */
  read(): Promise<KeyringState | undefined>;
  /** Resolves once the state is durable; throws KeysChanged when somebody else was faster since the last read. */
  write(state: KeyringState): Promise<void>;
  /** Where others change the keys too: what must not have changed when something is written with the keys last read. */
  readonly fence?: Fence;
  /** Where others change the keys too: hears of their states, each before anything they wrote with it. */
  follow?(onState: (state: KeyringState) => void, signal: AbortSignal): void;
}

/** Somebody else changed the keys first. */
export class KeysChanged extends Error {
  override readonly name = "KeysChanged";
}

/** Keys that are there but cannot be used; the message says where and why. */
export class UnreadableKeys extends Error {
  override readonly name = "UnreadableKeys";
}

export const NO_KEYS: KeyringState = { keys: [], writes: PLAIN, isSettled: true };

/** The keys in use. */
export class Keyring {
  #state: KeyringState = NO_KEYS;
  /** Keys that were ever seen, because what a watcher is told of history may be older than the state. */
  readonly #known = new Map<string, EncryptionKey>();

  private constructor(readonly storage: KeyStorage) {}

  /** Reads what is kept and follows it until the signal aborts. */
  static async open(storage: KeyStorage, signal: AbortSignal): Promise<Keyring> {
    const keyring = new Keyring(storage);
    await keyring.refresh();
    storage.follow?.((state) => keyring.#take(state), signal);
    return keyring;
  }

  get state(): KeyringState {
    return this.#state;
  }

  /** The key new values are encrypted with; undefined while they are stored as they are. */
  get writing(): EncryptionKey | undefined {
    return this.find(this.#state.writes);
  }

  find(id: string): EncryptionKey | undefined {
    return this.#known.get(id);
  }

  /** Takes over what is kept now. */
  async refresh(): Promise<void> {
    this.#take((await this.storage.read()) ?? NO_KEYS);
  }

  /** Keeps a state and then uses it: never the other way round, or a crash loses what was encrypted in between. */
  async become(state: KeyringState): Promise<void> {
    await this.storage.write(state);
    this.#take(state);
  }

  #take(state: KeyringState): void {
    for (const key of state.keys) this.#known.set(key.id, key);
    this.#state = state;
  }
}

/** A new key that writes from now on; the others go on reading. */
export function withNewKey({ keys }: KeyringState, nowMs: number): KeyringState {
  const key = createKey(nowMs);
  return { keys: [key, ...keys], writes: key.id, isSettled: false };
}

/** Encryption is off from now on; what is encrypted stays readable. */
export function turnedOff({ keys }: KeyringState): KeyringState {
  return { keys, writes: PLAIN, isSettled: false };
}

/** Only what writes is left. */
export function settled({ keys, writes }: KeyringState): KeyringState {
  return { keys: keys.filter(({ id }) => id === writes), writes, isSettled: true };
}

/** The state as JSON text. */
export function formatKeys({ keys, writes, isSettled }: KeyringState): string {
  return `${JSON.stringify({ keys: keys.map(({ id, secret }) => ({ id, secret: secret.toString("base64") })), writes, isSettled }, undefined, 2)}\n`;
}

/** Reads `formatKeys`'s text back; throws UnreadableKeys naming `description` and what is wrong. */
export function parseKeys(text: string, description: string): KeyringState {
  const wrong = (why: string, cause?: unknown): UnreadableKeys => new UnreadableKeys(`the encryption keys in ${description} cannot be used: ${why}; put the file back from a backup`, { cause });
  let read: { keys?: { id?: unknown; secret?: unknown }[]; writes?: unknown; isSettled?: unknown } | null;
  try {
    read = JSON.parse(text) as typeof read;
  } catch (cause) {
    throw wrong((cause as Error).message, cause);
  }
  if (!Array.isArray(read?.keys) || typeof read.writes !== "string") throw wrong("it must hold `keys` and `writes`");
  const keys = read.keys.map(({ id, secret }) => ({ id: String(id), secret: Buffer.from(String(secret), "base64") }));
  for (const { id, secret } of keys) if (!/^[\w-]{1,64}$/.test(id) || secret.length !== 32) throw wrong(`key ${JSON.stringify(id)} must have an id of letters, digits and dashes and 32 bytes in base64`);
  if (read.writes !== PLAIN && !keys.some(({ id }) => id === read.writes)) throw wrong(`it names ${read.writes} as the key to write with but does not hold it`);
  return { keys, writes: read.writes, isSettled: read.isSettled === true };
}

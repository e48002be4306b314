// Brings every covered value into the form the keyring wants, waits until no older form is left in the store's history
// and files, and only then drops the keys for them. Level-based: what a crash interrupted goes on at the next start.
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { WriteConflict, type Store } from "../store.ts";
import type { StoredForms } from "./forms.ts";
import { KeysChanged, settled, turnedOff, withNewKey, type Keyring, type KeyringState } from "./keyring.ts";
import { PLAIN } from "./sealing.ts";

export interface RotationOptions {
  /** The store above the encryption: what is read from it and written back changes its form. */
  readonly store: Store;
  readonly keyring: Keyring;
  readonly forms: StoredForms;
  readonly clock: Clock;
}

/** How far things are, for people and metrics. */
export interface RotationStatus {
  /** Key ids, newest first. */
  readonly keys: readonly string[];
  /** The id of the key that writes; empty while encryption is off. */
  readonly writes: string;
  /** Values by the id of the key they lie encrypted with; plain ones under the empty id. */
  readonly values: Readonly<Record<string, number>>;
  /** How many values are still to be written anew. */
  readonly remaining: number;
  /** Whether older forms have left history and files too, and their keys are dropped. */
  readonly isSettled: boolean;
}

const AT_ONCE = 16;
const HISTORY_POLL_MS = 5_000;
const RETRY_MS = 5_000;
const IDLE_MS = 3_600_000;
const log = logger("encryption");

/** Carries changes of the keyring through. */
export class Rotation {
  readonly #options: RotationOptions;
  #changing: Promise<void> = Promise.resolve();
  /** The form wanted, and the revision since which nothing is in any other; undefined while that is not so. */
  #clean: { readonly writes: string; readonly since: number } | undefined;
  #sleeping = new AbortController();

  constructor(options: RotationOptions) {
    this.#options = options;
    options.forms.onChange(() => this.#sleeping.abort());
  }

  status(): RotationStatus {
    const { keyring: { state }, forms } = this.#options;
    const { keys, writes, isSettled } = state;
    return { keys: keys.map(({ id }) => id), writes, isSettled, values: Object.fromEntries(forms.counts()), remaining: forms.countOtherThan(writes) };
  }

  /** Encrypts from now on, where that is not so already; resolves once the key is kept. */
  turnOn(): Promise<void> {
    return this.#change((state) => (state.writes === PLAIN ? withNewKey(state, this.#options.clock.now()) : state));
  }

  /** Makes a new key and writes with it from now on; resolves once it is kept. The rest follows in the background. */
  rotate(): Promise<void> {
    return this.#change((state) => withNewKey(state, this.#options.clock.now()));
  }

  /** Writes values as they are from now on; resolves once that is kept. The rest follows in the background. */
  turnOff(): Promise<void> {
    return this.#change((state) => turnedOff(state));
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#sleeping.abort(), { once: true });
    while (!signal.aborted) {
      this.#sleeping = new AbortController();
      const waitMs = await this.#step().catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, "values could not be brought into the form wanted; it is tried again");
        return RETRY_MS;
      });
      if (waitMs > 0 && !signal.aborted) await this.#options.clock.sleep(waitMs, this.#sleeping.signal);
    }
  }

  /** Does what can be done now; returns how long to wait before looking again, in milliseconds. */
  async #step(): Promise<number> {
    const { store, keyring, forms } = this.#options;
    const { state } = keyring;
    const stale = forms.otherThan(state.writes);
    if (stale.length > 0) {
      await this.#rewriteAll(stale);
      return 0;
    }
    if (state.isSettled) return IDLE_MS;
    if (this.#clean?.writes !== state.writes) this.#clean = { writes: state.writes, since: store.revision };
    if (store.compactRevision < this.#clean.since) return HISTORY_POLL_MS;
    await store.purge?.();
    await this.#change((current) => (current.writes === state.writes && forms.countOtherThan(state.writes) === 0 ? settled(current) : current));
    log.info({ key: state.writes || "none" }, "every value is in the form wanted, and nothing is left of older ones");
    return 0;
  }

  async #rewriteAll(stale: readonly string[]): Promise<void> {
    this.#clean = undefined;
    // Said before the first write: a crash in the middle must not leave traces nobody remembers.
    await this.#change((state) => (state.isSettled ? { ...state, isSettled: false } : state));
    for (let start = 0; start < stale.length; start += AT_ONCE) await Promise.all(stale.slice(start, start + AT_ONCE).map((key) => this.#rewrite(key)));
  }

  /** The same bytes, written again: the store encrypts them as it does now. */
  async #rewrite(key: string): Promise<void> {
    const { store } = this.#options;
    const entry = await store.get(key);
    if (!entry) return;
    await store.write({ key, value: entry.value, expect: entry.modRevision }).catch((error: unknown) => {
      // Whoever was faster wrote it in the form wanted.
      if (!(error instanceof WriteConflict)) throw error;
    });
  }

  /** One change at a time, each deciding on what the one before it kept. */
  async #change(decide: (state: KeyringState) => KeyringState): Promise<void> {
    const before = this.#changing;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changing = promise;
    await before;
    try {
      while (!(await this.#changeOnce(decide))) await this.#options.keyring.refresh();
      this.#sleeping.abort();
    } finally {
      resolve();
    }
  }

  /** Returns whether it was decided on what is kept. */
  async #changeOnce(decide: (state: KeyringState) => KeyringState): Promise<boolean> {
    const { keyring } = this.#options;
    const state = decide(keyring.state);
    if (state === keyring.state) return true;
    try {
      await keyring.become(state);
      return true;
    } catch (error) {
      if (error instanceof KeysChanged) return false;
      throw error;
    }
  }
}

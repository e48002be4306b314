// Puts encryption around a store as it is started: finds the keys, refuses to go on without those the store needs, turns encryption on.
import { systemClock, type Clock } from "../../../lib/clock.ts";
import type { Store } from "../store.ts";
import { EncryptedStore, keyMissing } from "./encrypted.ts";
import { StoredForms } from "./forms.ts";
import { Keyring, type KeyStorage } from "./keyring.ts";
import { Rotation } from "./rotation.ts";
import { PLAIN } from "./sealing.ts";

export interface EncryptionOptions {
  readonly storage: KeyStorage;
  readonly prefixes: readonly string[];
  /** Turns encryption on; where it is on already it stays on without being asked. */
  readonly turnOn: boolean;
  readonly signal: AbortSignal;
  readonly onUnreadable: (error: Error) => void;
  readonly clock?: Clock;
}

/** A store that encrypts, and what changes its keys. */
export interface Encryption {
  readonly store: Store;
  readonly rotation: Rotation;
}

/** Throws UnreadableKeys or KeyMissing, naming where the keys should be, before anything is changed. */
export async function openEncryption(inner: Store, { storage, prefixes, turnOn, signal, onUnreadable, clock = systemClock }: EncryptionOptions): Promise<Encryption> {
  const keyring = await Keyring.open(storage, signal);
  const forms = await StoredForms.start(inner, prefixes, signal);
  assertKeysFor(forms, keyring);
  // Only now: a new key beside values of a lost one would hide what is wrong.
    const store = new EncryptedStore(inner, { keyring, prefixes, onUnreadable });
  const rotation = new Rotation({ store, keyring, forms, clock });
  // Only now: a new key beside values of a lost one would hide what is wrong.
  if (turnOn) await rotation.turnOn();
  return { store, rotation };
}

/** Whether each key opens what it should shows when the values are read; that none is missing is known without reading them. */
function assertKeysFor(forms: StoredForms, keyring: Keyring): void {
  for (const id of forms.counts().keys()) if (id !== PLAIN && !keyring.find(id)) throw keyMissing(keyring, `${forms.counts().get(id)} of the stored values`, id);
}

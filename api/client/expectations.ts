// What a controller has done that its cache has not shown it yet, so that it does not do it twice.
// Creations are counted, deletions named by UID; what is never observed expires.
import { systemClock, type Clock } from "../../lib/clock.ts";
import type { Key } from "./informer.ts";

interface Expected {
  creations: number;
  readonly deletions: Set<string>;
  readonly since: number;
}

/** Expectations of one controller, per key of the object it reconciles. */
export class Expectations {
  /** An object made and gone again while nobody watched is never seen: waiting for it has to end. */
  static readonly EXPIRY_MS = 60_000;

  readonly #expected = new Map<Key, Expected>();

  constructor(private readonly clock: Clock = systemClock) {}

  /** Whether the cache has caught up with everything done for this key (or had a minute to). */
  satisfied(key: Key): boolean {
    const expected = this.#expected.get(key);
    if (!expected) return true;
    return (expected.creations <= 0 && expected.deletions.size === 0) || this.clock.now() - expected.since > Expectations.EXPIRY_MS;
  }

  /** Whether something was done for this key and all of it has been seen; `forget` ends that. */
  fulfilled(key: Key): boolean {
    const expected = this.#expected.get(key);
    return expected !== undefined && expected.creations <= 0 && expected.deletions.size === 0;
  }

  /** Starts a new round for the key: so many creations, and deletions of these UIDs. Call before writing. */
  expect(key: Key, { creations = 0, deletions = [] }: { readonly creations?: number; readonly deletions?: readonly string[] }): void {
    this.#expected.set(key, { creations, deletions: new Set(deletions), since: this.clock.now() });
  }

  /** A creation showed up, or failed and never will. */
  creationObserved(key: Key, count = 1): void {
    const expected = this.#expected.get(key);
    if (expected) expected.creations -= count;
  }

  /** A deletion showed up, or failed and never will. */
  deletionObserved(key: Key, uid: string): void {
    this.#expected.get(key)?.deletions.delete(uid);
  }

  /** The object is gone, or nothing is expected any more. */
  forget(key: Key): void {
    this.#expected.delete(key);
  }
}

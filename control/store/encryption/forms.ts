// In which form each covered value lies in the store right now: encrypted with which key, or plain.
// Followed by a watch of the store below, so that whoever wants another form knows what is left to do.
import type { Change, Store } from "../store.ts";
import { keyIdOf } from "./sealing.ts";

/** Key ids by storage key. */
export class StoredForms {
  readonly #forms = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #listeners: (() => void)[] = [];

  private constructor() {}

  /** Reads what is there once and follows it until the signal aborts. `store` is the one with encrypted values. */
  static async start(store: Store, prefixes: readonly string[], signal: AbortSignal): Promise<StoredForms> {
    const forms = new StoredForms();
    for (const prefix of prefixes) {
      const { entries, revision } = await store.list(prefix);
      for (const { key, value } of entries) forms.#set(key, keyIdOf(value));
      store.watch({ prefix, after: revision, signal, onChanges: (changes) => forms.#take(changes) });
    }
    return forms;
  }

  /** How many values lie in each form. */
  counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** How many values lie in any other form. */
  countOtherThan(id: string): number {
    return this.#forms.size - (this.#counts.get(id) ?? 0);
  }

  /** Storage keys of the values that lie in any other form. */
  otherThan(id: string): string[] {
    return [...this.#forms].filter(([, form]) => form !== id).map(([key]) => key);
  }

  /** Hears of every change of a covered value. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #take(changes: readonly Change[]): void {
    for (const { type, key, value } of changes) this.#set(key, type === "put" ? keyIdOf(value) : undefined);
    for (const listener of this.#listeners) listener();
  }

  #set(key: string, form: string | undefined): void {
    const before = this.#forms.get(key);
    if (before !== undefined) this.#count(before, -1);
    if (form === undefined) this.#forms.delete(key);
    else this.#forms.set(key, form);
    if (form !== undefined) this.#count(form, 1);
  }

  #count(form: string, by: number): void {
    const count = (this.#counts.get(form) ?? 0) + by;
    if (count > 0) this.#counts.set(form, count);
    else this.#counts.delete(form);
  }
}

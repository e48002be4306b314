// Values on their way to etcd. What comes back is handed on as the very same array, which the writer may know the
// meaning of.
import type { Change } from "../store.ts";

/** The bytes of writes that are not answered yet, by key. */
export class Underway {
  readonly #values = new Map<string, Uint8Array[]>();

  /** Keeps `value` until the function returned is called. */
  add(key: string, value: Uint8Array): () => void {
    const values = this.#values.get(key) ?? [];
    this.#values.set(key, values);
    values.push(value);
    return () => {
      values.splice(values.indexOf(value), 1);
      if (values.length === 0 && this.#values.get(key) === values) this.#values.delete(key);
    };
  }

  /** `changes` with the arrays of the writers in place of equal bytes. */
  recognise(changes: readonly Change[]): readonly Change[] {
    return this.#values.size === 0 ? changes : changes.map((change) => this.#asWritten(change));
  }

  #asWritten(change: Change): Change {
    const value = change.type === "put" && this.#values.get(change.key)?.find((bytes) => Buffer.compare(bytes, change.value) === 0);
    return value ? { ...change, value } : change;
  }
}

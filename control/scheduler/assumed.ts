// Objects as watched, with what the scheduler has written or is about to write on top.
// An assumption lasts until the API shows something newer or it is taken back.
import { keyOf, type Informer } from "../../api/client/informer.ts";
import type { KubeObject, Stored } from "../../api/types.ts";

/** Objects as watched, or as assumed to be soon. */
export class Assumed<T extends KubeObject> {
  readonly #assumed = new Map<string, Stored<T>>();
  readonly #listeners = new Set<() => void>();

  constructor(private readonly informer: Informer<T>) {
    const settle = (object: Stored<T>): void => {
      const assumed = this.#assumed.get(keyOf(object));
      if (assumed && !isOlder(object, assumed)) this.#assumed.delete(keyOf(object));
      for (const listener of this.#listeners) listener();
    };
    informer.addHandler({ add: settle, update: settle, delete: (object) => {
      this.#assumed.delete(keyOf(object));
      for (const listener of this.#listeners) listener();
    } });
  }

  get(key: string): Stored<T> | undefined {
    return this.#assumed.get(key) ?? this.informer.lister.get(key);
  }

  /** What the API says, assumptions aside. */
  actual(key: string): Stored<T> | undefined {
    return this.informer.lister.get(key);
  }

  list(): readonly Stored<T>[] {
    const all = this.informer.lister.list();
    return this.#assumed.size === 0 ? all : all.map((object) => this.#assumed.get(keyOf(object)) ?? object);
  }

  assume(object: Stored<T>): void {
    this.#assumed.set(keyOf(object), object);
  }

  forget(key: string): void {
    this.#assumed.delete(key);
  }

  /** Calls back after each change until told to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** An assumption is made on the version it was read at, so the same version is not news yet. */
function isOlder(object: Stored<KubeObject>, assumed: Stored<KubeObject>): boolean {
  return Number(object.metadata.resourceVersion) <= Number(assumed.metadata.resourceVersion);
}

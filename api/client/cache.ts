// The objects of one kind as last heard from the server, found by key and by index.
// Who fills it is the reflector's business; readers share the objects and never change them.
import type { KubeObject, Stored } from "../types.ts";
import { keyOf, type IndexFunction, type Key, type Lister } from "./informer.ts";

interface Index<T extends KubeObject> {
  readonly valuesOf: IndexFunction<T>;
  readonly buckets: Map<string, Map<Key, Stored<T>>>;
}

/** The index every cache has. */
export const NAMESPACE_INDEX = "namespace";

/** An indexed map of objects. Answers are arrays made for the caller, except `list`, which is shared until the next change. */
export class Cache<T extends KubeObject> implements Lister<T> {
  readonly #objects = new Map<Key, Stored<T>>();
  readonly #indexes = new Map<string, Index<T>>();
  #all: readonly Stored<T>[] | undefined;
  /** Kept by whoever fills the cache. */
  revision = 0;

  constructor() {
    this.addIndex(NAMESPACE_INDEX, (object) => (object.metadata.namespace ? [object.metadata.namespace] : []));
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: Key): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  list(): readonly Stored<T>[] {
    this.#all ??= [...this.#objects.values()];
    return this.#all;
  }

  keys(): readonly Key[] {
    return [...this.#objects.keys()];
  }

  inNamespace(namespace: string): readonly Stored<T>[] {
    return this.byIndex(NAMESPACE_INDEX, namespace);
  }

  byIndex(name: string, value: string): readonly Stored<T>[] {
    const index = this.#indexes.get(name);
    if (!index) throw new Error(`no index named ${name} was added to this informer`);
    const bucket = index.buckets.get(value);
    return bucket ? [...bucket.values()] : [];
  }

  /** Adds an index over what is there and what will come; the same name twice keeps the first. */
  addIndex(name: string, valuesOf: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { valuesOf, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) enter(index, key, object);
  }

  /** Puts an object in place of what its key held, and returns that. */
  set(object: Stored<T>): Stored<T> | undefined {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#all = undefined;
    for (const index of this.#indexes.values()) {
      if (old) leave(index, key, old);
      enter(index, key, object);
    }
    return old;
  }

  /** Takes a key out and returns what it held. */
  remove(key: Key): Stored<T> | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#objects.delete(key);
    this.#all = undefined;
    for (const index of this.#indexes.values()) leave(index, key, old);
    return old;
  }
}

function enter<T extends KubeObject>(index: Index<T>, key: Key, object: Stored<T>): void {
  for (const value of index.valuesOf(object)) {
    const bucket = index.buckets.get(value);
    if (bucket) bucket.set(key, object);
    else index.buckets.set(value, new Map([[key, object]]));
  }
}

function leave<T extends KubeObject>(index: Index<T>, key: Key, object: Stored<T>): void {
  for (const value of index.valuesOf(object)) {
    const bucket = index.buckets.get(value);
    bucket?.delete(key);
    if (bucket?.size === 0) index.buckets.delete(value);
  }
}

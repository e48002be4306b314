// A watched, indexed copy of one kind: the reflector lists and watches, the cache answers, handlers hear of changes.
// The contract controllers build on; objects in the cache are shared and never mutated.
import type { KindInfo } from "../kinds.ts";
import type { KubeObject, Stored } from "../types.ts";
import type { Client } from "./client.ts";

/** `namespace/name`, or just `name` for cluster-scoped objects. */
export type Key = string;

/** Maps an object to the index values it is found under. */
export type IndexFunction<T extends KubeObject> = (object: Stored<T>) => readonly string[];

/** Reads from a cache; every answer is a shared, immutable object. */
export interface Lister<T extends KubeObject> {
  /** Every write up to this revision has been heard; 0 before the first list. */
  readonly revision: number;
  get(key: Key): Stored<T> | undefined;
  list(): readonly Stored<T>[];
  inNamespace(namespace: string): readonly Stored<T>[];
  /** Objects an index function maps to `value`; throws for an index that was never added. */
  byIndex(index: string, value: string): readonly Stored<T>[];
}

export interface Handler<T extends KubeObject> {
  add?(object: Stored<T>): void;
  update?(object: Stored<T>, old: Stored<T>): void;
  delete?(object: Stored<T>): void;
}

/** One watched kind. Handlers added late first hear `add` for everything already there. */
export interface Informer<T extends KubeObject> {
  readonly kind: KindInfo;
  readonly lister: Lister<T>;
  readonly synced: boolean;
  /** Resolves when the first full list is there. */
  readonly firstSync: Promise<void>;
  addIndex(name: string, index: IndexFunction<T>): void;
  addHandler(handler: Handler<T>): void;
}

export interface InformerScope {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** The cache may hold just the metadata of objects, which a kind with many large ones is better held by. */
  readonly metadataOnly?: boolean;
}

/** Makes and shares informers: asking twice for the same kind and scope gives the same one. */
export interface Informers {
  readonly client: Client;
  for<T extends KubeObject>(kind: KindInfo, scope?: InformerScope): Informer<T>;
  /** Starts every informer asked for so far (and later ones as they come); they end with the signal. */
  start(signal: AbortSignal): void;
  /** Resolves when all informers asked for so far hold their first full list. */
  waitForSync(signal?: AbortSignal): Promise<void>;
}

/** `namespace/name` of an object. */
export function keyOf(object: KubeObject): Key {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name}` : (name ?? "");
}

/** Splits a key back; the namespace is undefined for cluster-scoped keys. */
export function splitKey(key: Key): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return slash < 0 ? { namespace: undefined, name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

// The one way to reach a cluster: the verbs of the API as a typed interface.
// Two implementations, HTTP (agents, tools, tests) and in-process (controllers, scheduler), pass one suite.
import type { KindInfo } from "../kinds.ts";
import type { KubeList, KubeObject, Scale, Stored, WatchEvent } from "../types.ts";

/** Which object a call means; `namespace` is left out for cluster-scoped kinds. */
export interface ObjectName {
  readonly name: string;
  readonly namespace?: string | undefined;
}

export interface ListOptions {
  /** Left out: every namespace. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan" | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
}

export interface WatchOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly allowWatchBookmarks?: boolean | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** Names, labels, owners and the like will do: objects may come without all the rest, managers and annotations included. */
  readonly metadataOnly?: boolean | undefined;
  readonly signal: AbortSignal;
}

export interface WriteOptions {
  readonly subresource?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly fieldManager?: string | undefined;
}

export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface PatchOptions extends WriteOptions {
  readonly type: PatchType;
  /** Server-side apply only: take fields from other managers. */
  readonly force?: boolean | undefined;
}

export interface DeleteCallOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
  readonly preconditions?: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined } | undefined;
}

/**
 * The verbs of the Kubernetes API. Every method throws `ApiError` for what the server refuses.
 * Objects returned may be shared with caches: never mutate them, build new ones.
 */
export interface Client {
  get<T extends KubeObject>(kind: KindInfo, name: ObjectName): Promise<Stored<T>>;
  list<T extends KubeObject>(kind: KindInfo, options?: ListOptions): Promise<KubeList<Stored<T>>>;
  /** Ends when the server ends it or the signal aborts; throws ApiError(410) when the version is too old. */
  watch<T extends KubeObject>(kind: KindInfo, options: WatchOptions): AsyncIterable<WatchEvent<Stored<T>>>;
  /** The namespace is taken from `object.metadata.namespace`. */
  create<T extends KubeObject>(kind: KindInfo, object: T, options?: WriteOptions): Promise<Stored<T>>;
  /** Replaces; carries the `resourceVersion` it read, and throws Conflict when that is not the latest. */
  update<T extends KubeObject>(kind: KindInfo, object: T, options?: WriteOptions): Promise<Stored<T>>;
  patch<T extends KubeObject>(kind: KindInfo, name: ObjectName, body: unknown, options: PatchOptions): Promise<Stored<T>>;
  delete(kind: KindInfo, name: ObjectName, options?: DeleteCallOptions): Promise<void>;
  deleteCollection(kind: KindInfo, list: ListOptions, options?: DeleteCallOptions): Promise<void>;
  /** Reads a `scale`; clients over HTTP do not have it. */
  getScale?(kind: KindInfo, name: ObjectName): Promise<Scale>;
  /** POST to a subresource: `binding`, `eviction`, `token`. */
  post<Body, Reply>(kind: KindInfo, name: ObjectName, subresource: string, body: Body): Promise<Reply>;
}

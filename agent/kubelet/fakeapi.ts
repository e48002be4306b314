// An API server in memory, just enough for kubelet tests: objects, watches, status patches, graceful deletion.
// It is a test's tool and decides nothing the real one decides.
import type { Client, DeleteCallOptions, ListOptions, ObjectName, WatchOptions } from "../../api/client/client.ts";
import { keyOf, type Handler, type Informer, type Informers } from "../../api/client/informer.ts";
import { alreadyExists, conflict, notFound } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { builtinKind } from "../../api/registry.ts";
import type { AnyObject, KubeList, KubeObject, Pod, Stored, WatchEvent } from "../../api/types.ts";

type Change = Exclude<WatchEvent<Stored<AnyObject>>, { type: "BOOKMARK" }>;
type Listener = (kind: KindInfo, change: Change, old: Stored<AnyObject> | undefined) => void;

const POD = builtinKind("", "v1", "Pod");

export class FakeApi implements Client {
  readonly #objects = new Map<string, Stored<AnyObject>>();
  readonly #listeners = new Set<Listener>();
  /** TokenRequests and other posts, answered by the test. */
  onPost: (kind: KindInfo, name: ObjectName, subresource: string, body: unknown) => unknown = () => ({});
  #revision = 1;

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async get<T extends KubeObject>(kind: KindInfo, name: ObjectName): Promise<Stored<T>> {
    const found = this.#objects.get(keyFor(kind, name));
    if (!found) throw notFound(kind, name.name);
    return found as unknown as Stored<T>;
  }

  async list<T extends KubeObject>(kind: KindInfo, options: ListOptions = {}): Promise<KubeList<Stored<T>>> {
    return { apiVersion: "v1", kind: `${kind.kind}List`, metadata: { resourceVersion: String(this.#revision) }, items: this.select(kind, options) as unknown as Stored<T>[] };
  }

  select(kind: KindInfo, options: ListOptions): Stored<AnyObject>[] {
    const prefix = `${kind.plural}/`;
    return [...this.#objects].filter(([key, object]) => key.startsWith(prefix) && matches(object, options)).map(([, object]) => object);
  }

  async *watch<T extends KubeObject>(kind: KindInfo, options: WatchOptions): AsyncIterable<WatchEvent<Stored<T>>> {
    const queue: Change[] = [];
    let wake: (() => void) | undefined;
    const stop = this.listen((changed, change) => {
      if (changed.plural !== kind.plural || !matches(change.object, options)) return;
      queue.push(change);
      wake?.();
    });
    options.signal.addEventListener("abort", () => wake?.(), { once: true });
    try {
      while (!options.signal.aborted) {
        for (const change of queue.splice(0)) yield change as WatchEvent<Stored<T>>;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      stop();
    }
  }

  async create<T extends KubeObject>(kind: KindInfo, object: T): Promise<Stored<T>> {
    const key = keyFor(kind, { name: object.metadata.name ?? "", namespace: object.metadata.namespace });
    if (this.#objects.has(key)) throw alreadyExists(kind, object.metadata.name ?? "");
    return this.#put(kind, key, { ...object, metadata: { uid: crypto.randomUUID(), creationTimestamp: "2026-01-01T00:00:00Z", generation: 1, ...object.metadata } } as unknown as AnyObject) as unknown as Stored<T>;
  }

  async update<T extends KubeObject>(kind: KindInfo, object: T): Promise<Stored<T>> {
    const key = keyFor(kind, { name: object.metadata.name ?? "", namespace: object.metadata.namespace });
    return this.#put(kind, key, object as unknown as AnyObject) as unknown as Stored<T>;
  }

  async patch<T extends KubeObject>(kind: KindInfo, name: ObjectName, body: unknown): Promise<Stored<T>> {
    const key = keyFor(kind, name);
    const found = this.#objects.get(key);
    if (!found) throw notFound(kind, name.name);
    const patch = body as AnyObject;
    if (patch.metadata?.uid !== undefined && patch.metadata.uid !== found.metadata.uid) throw conflict(kind, name.name, "uid mismatch");
    return this.#put(kind, key, merged(found, patch) as AnyObject) as unknown as Stored<T>;
  }

  async delete(kind: KindInfo, name: ObjectName, options: DeleteCallOptions = {}): Promise<void> {
    const key = keyFor(kind, name);
    const found = this.#objects.get(key);
    if (!found) throw notFound(kind, name.name);
    if (options.preconditions?.uid !== undefined && options.preconditions.uid !== found.metadata.uid) throw conflict(kind, name.name, "uid mismatch");
    const grace = options.gracePeriodSeconds ?? (found as unknown as Pod).spec?.terminationGracePeriodSeconds ?? 30;
    if (kind.plural === POD.plural && grace > 0 && (found as unknown as Pod).spec?.nodeName) {
      this.#put(kind, key, { ...found, metadata: { ...found.metadata, deletionTimestamp: "2026-01-01T00:01:00Z", deletionGracePeriodSeconds: grace } });
      return;
    }
    this.#objects.delete(key);
    this.#tell(kind, { type: "DELETED", object: { ...found, metadata: { ...found.metadata, resourceVersion: String(++this.#revision) } } }, found);
  }

  async deleteCollection(): Promise<void> {
    throw new Error("not needed by the kubelet");
  }

  async post<Body, Reply>(kind: KindInfo, name: ObjectName, subresource: string, body: Body): Promise<Reply> {
    return this.onPost(kind, name, subresource, body) as Reply;
  }

  #put(kind: KindInfo, key: string, object: AnyObject): Stored<AnyObject> {
    const old = this.#objects.get(key);
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } } as Stored<AnyObject>;
    this.#objects.set(key, stored);
    this.#tell(kind, { type: old ? "MODIFIED" : "ADDED", object: stored }, old);
    return stored;
  }

  #tell(kind: KindInfo, change: Change, old: Stored<AnyObject> | undefined): void {
    for (const listener of this.#listeners) listener(kind, change, old);
  }
}

/** Informers that hear of changes at once. */
export function fakeInformers(api: FakeApi): Informers {
  return {
    client: api,
    for<T extends KubeObject>(kind: KindInfo, scope: ListOptions = {}): Informer<T> {
      const items = (): Stored<T>[] => api.select(kind, scope) as unknown as Stored<T>[];
      return {
        kind,
        synced: true, firstSync: Promise.resolve(),
        lister: { revision: 0, list: items, get: (key) => items().find((item) => keyOf(item) === key), inNamespace: (namespace) => items().filter((item) => item.metadata.namespace === namespace), byIndex: () => [] },
        addIndex: () => undefined,
        addHandler(handler: Handler<T>) {
          for (const item of items()) handler.add?.(item);
          api.listen((changed, { type, object }, old) => {
            if (changed.plural !== kind.plural || !matches(object, scope)) return;
            const now = object as unknown as Stored<T>;
            if (type === "ADDED") handler.add?.(now);
            else if (type === "DELETED") handler.delete?.(now);
            else handler.update?.(now, old as unknown as Stored<T>);
          });
        },
      };
    },
    start: () => undefined,
    waitForSync: () => Promise.resolve(),
  };
}

function keyFor(kind: KindInfo, { name, namespace }: ObjectName): string {
  return `${kind.plural}/${namespace ?? ""}/${name}`;
}

function matches(object: AnyObject, { namespace, fieldSelector }: ListOptions): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  if (!fieldSelector) return true;
  const [path = "", value] = fieldSelector.split("=");
  return path.split(".").reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], object) === value;
}

/** A small strategic merge: conditions by type, addresses by ip, other lists replaced. */
function merged(base: unknown, patch: unknown, field = ""): unknown {
  if (Array.isArray(patch)) {
    const key = field === "conditions" ? "type" : field === "podIPs" || field === "hostIPs" ? "ip" : undefined;
    if (key === undefined) return patch;
    const old = (base ?? []) as Record<string, unknown>[];
    const kept = old.filter((item) => !patch.some((p: Record<string, unknown>) => p[key] === item[key]));
    const put = patch.filter((p: Record<string, unknown>) => p["$patch"] !== "delete");
    return [...kept, ...put.map((p: Record<string, unknown>) => merged(old.find((item) => item[key] === p[key]), p))];
  }
  if (typeof patch !== "object") return patch;
  const result: Record<string, unknown> = { ...(base as Record<string, unknown> | undefined) };
  for (const [name, value] of Object.entries(patch as Record<string, unknown>)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value, name);
  }
  return result;
}

// A cluster in memory for tests of what is built on Client: revisions, watches, selectors, subresources, finalizers.
// No admission, defaults or validation: tests that need those use the API server itself.
import { randomUUID } from "node:crypto";
import { systemClock, timestamp, type Clock } from "../../lib/clock.ts";
import { alreadyExists, conflict, gone, modifiedConflict, notFound } from "../errors.ts";
import { apiVersionOf, type KindInfo } from "../kinds.ts";
import { jsonPatch } from "../schema/json-patch.ts";
import { parseFieldSelector, parseLabelSelector } from "../selectors.ts";
import type { AnyObject, KubeList, KubeObject, Stored, WatchEvent } from "../types.ts";
import type { Client, DeleteCallOptions, ListOptions, ObjectName, PatchOptions, WatchOptions, WriteOptions } from "./client.ts";
import { keyOf } from "./informer.ts";

/** One call about to be served; a test may throw from `MemoryClient.intercept` to make it fail. */
export interface Call {
  readonly verb: "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deleteCollection" | "post";
  readonly kind: KindInfo;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly subresource: string | undefined;
  readonly body?: unknown;
}

interface Change {
  readonly revision: number;
  readonly resource: string;
  readonly event: WatchEvent<Stored<AnyObject>>;
  readonly old: Stored<AnyObject> | undefined;
}

const MAX_HISTORY = 100_000;

/** The in-memory cluster. Objects it returns are frozen, so that code that mutates them is found out. */
export class MemoryClient implements Client {
  intercept: (call: Call) => void | Promise<void> = () => undefined;
  readonly #objects = new Map<string, Map<string, Stored<AnyObject>>>();
  readonly #watchers = new Set<() => void>();
  #history: Change[] = [];
  #revision = 0;
  #oldest = 0;

  constructor(private readonly clock: Clock = systemClock) {}

  async get<T extends KubeObject>(kind: KindInfo, name: ObjectName): Promise<Stored<T>> {
    await this.#called("get", kind, name);
    return this.#find(kind, name) as Stored<AnyObject> as Stored<T>;
  }

  async list<T extends KubeObject>(kind: KindInfo, options: ListOptions = {}): Promise<KubeList<Stored<T>>> {
    await this.#called("list", kind, { name: "", namespace: options.namespace });
    const matches = selection(options);
    const items = [...this.#table(kind).values()].filter(matches) as Stored<AnyObject>[] as Stored<T>[];
    return { apiVersion: apiVersionOf(kind), kind: `${kind.kind}List`, metadata: { resourceVersion: String(this.#revision) }, items };
  }

  async *watch<T extends KubeObject>(kind: KindInfo, options: WatchOptions): AsyncIterable<WatchEvent<Stored<T>>> {
    await this.#called("watch", kind, { name: "", namespace: options.namespace });
    let seen = Number(options.resourceVersion ?? 0);
    if (options.sendInitialEvents || seen === 0) {
      const { items, metadata } = await this.list<T>(kind, options);
      seen = Number(metadata.resourceVersion);
      for (const object of items) yield { type: "ADDED", object };
      if (options.sendInitialEvents) yield bookmark(kind, seen, { "k8s.io/initial-events-end": "true" });
    }
    if (seen < this.#oldest) throw gone(`too old resource version: ${seen} (${this.#oldest})`);
    const matches = selection(options);
    while (!options.signal.aborted) {
      for (const change of this.#history.slice(this.#firstAfter(seen))) {
        seen = change.revision;
        if (change.resource !== resourceOf(kind)) continue;
        const event = asSeen(change, matches);
        if (event) yield event as WatchEvent<Stored<AnyObject>> as WatchEvent<Stored<T>>;
      }
      if (this.#revision === seen) await this.#changed(options.signal);
    }
  }

  async create<T extends KubeObject>(kind: KindInfo, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const { metadata } = object;
    await this.#called("create", kind, { name: metadata.name ?? "", namespace: metadata.namespace }, { ...options, body: object });
    const name = metadata.name ?? `${metadata.generateName}${randomUUID().slice(0, 5)}`;
    const created = structuredClone({
      ...object, apiVersion: apiVersionOf(kind), kind: kind.kind,
      metadata: { ...metadata, name, uid: metadata.uid ?? randomUUID(), generation: 1, creationTimestamp: metadata.creationTimestamp ?? timestamp(this.clock.now()) },
    }) as unknown as Stored<AnyObject>;
    if (this.#table(kind).has(keyOf(created))) throw alreadyExists(kind, name);
    if (kind.kind === "Namespace") Object.assign(created, { spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } });
    if (kind.kind === "Pod") created.status ??= { phase: "Pending" };
    if (options.dryRun) return created as unknown as Stored<T>;
    return this.#commit(kind, created, undefined) as unknown as Stored<T>;
  }

  async update<T extends KubeObject>(kind: KindInfo, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const name = { name: object.metadata.name as string, namespace: object.metadata.namespace };
    await this.#called("update", kind, name, { ...options, body: object });
    return this.#replace(kind, name, structuredClone(object) as unknown as AnyObject, options) as unknown as Stored<T>;
  }

  // The body of a patch has as many shapes as there are patch types.
  async patch<T extends KubeObject>(kind: KindInfo, name: ObjectName, body: unknown, options: PatchOptions): Promise<Stored<T>> {
    await this.#called("patch", kind, name, { ...options, body });
    const old = this.#find(kind, name);
    const target = structuredClone(old);
    const patched = options.type === "json"
      ? (jsonPatch(target as unknown as Record<string, unknown>, body) as unknown as Stored<AnyObject>)
      : (mergePatch(target, body) as Stored<AnyObject>);
    return this.#replace(kind, name, patched, options) as unknown as Stored<T>;
  }

  async delete(kind: KindInfo, name: ObjectName, options: DeleteCallOptions = {}): Promise<void> {
    await this.#called("delete", kind, name, { body: options });
    const old = this.#find(kind, name);
    const { uid, resourceVersion } = options.preconditions ?? {};
    if (uid && uid !== old.metadata.uid) throw conflict(kind, name.name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`);
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) throw conflict(kind, name.name, `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion}`);
    this.#remove(kind, old, options);
  }

  async deleteCollection(kind: KindInfo, list: ListOptions, options: DeleteCallOptions = {}): Promise<void> {
    await this.#called("deleteCollection", kind, { name: "", namespace: list.namespace });
    for (const object of [...this.#table(kind).values()].filter(selection(list))) this.#remove(kind, object, options);
  }

  // Five parts of one URL and its body.
  async post<Body, Reply>(kind: KindInfo, name: ObjectName, subresource: string, body: Body): Promise<Reply> {
    await this.#called("post", kind, name, { subresource, body });
    const old = this.#find(kind, name);
    if (subresource === "binding") {
      const target = (body as { target: { name: string } }).target;
      this.#commit(kind, { ...old, spec: { ...old.spec, nodeName: target.name } }, old);
    }
    if (subresource === "eviction") this.#remove(kind, old, {});
    return {} as Reply;
  }

  /** Forgets history, as compaction does: watches from older revisions get 410. */
  compact(): void {
    this.#history = [];
    this.#oldest = this.#revision;
  }

  async #called(verb: Call["verb"], kind: KindInfo, name: ObjectName, rest: { subresource?: string | undefined; body?: unknown } = {}): Promise<void> {
    await Promise.resolve();
    await this.intercept({ verb, kind, name: name.name, namespace: name.namespace, subresource: rest.subresource, body: rest.body });
  }

  #table(kind: KindInfo): Map<string, Stored<AnyObject>> {
    const resource = resourceOf(kind);
    const table = this.#objects.get(resource) ?? new Map<string, Stored<AnyObject>>();
    this.#objects.set(resource, table);
    return table;
  }

  #find(kind: KindInfo, { name, namespace }: ObjectName): Stored<AnyObject> {
    const found = this.#table(kind).get(namespace ? `${namespace}/${name}` : name);
    if (!found) throw notFound(kind, name);
    return found;
  }

  #replace(kind: KindInfo, name: ObjectName, object: AnyObject, options: WriteOptions): Stored<AnyObject> {
    const old = this.#find(kind, name);
    const { resourceVersion, uid } = object.metadata;
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) throw modifiedConflict(kind, name.name);
    if (uid && uid !== old.metadata.uid) throw conflict(kind, name.name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`);
    const next = merged(kind, old, object, options.subresource);
    if (Bun.deepEquals(next, old) || options.dryRun) return next;
    const isFinished = next.metadata.deletionTimestamp && !next.metadata.finalizers?.length && !(next.spec?.finalizers?.length > 0) && !next.metadata.deletionGracePeriodSeconds;
    if (!isFinished) return this.#commit(kind, next, old);
    return this.#drop(kind, next);
  }

  #remove(kind: KindInfo, old: Stored<AnyObject>, options: DeleteCallOptions): void {
    const finalizers = new Set(old.metadata.finalizers ?? []);
    if (options.propagationPolicy === "Foreground") finalizers.add("foregroundDeletion");
    if (options.propagationPolicy === "Orphan") finalizers.add("orphan");
    const isRunningPod = kind.kind === "Pod" && old.spec?.nodeName && options.gracePeriodSeconds !== 0;
    const waits = finalizers.size > 0 || isRunningPod || (kind.kind === "Namespace" && old.spec?.finalizers?.length > 0);
    if (!waits) {
      this.#drop(kind, old);
      return;
    }
    const graceMs = isRunningPod ? 30_000 : 0;
    const deletionTimestamp = old.metadata.deletionTimestamp ?? timestamp(this.clock.now() + graceMs);
    const status = kind.kind === "Namespace" ? { status: { ...old.status, phase: "Terminating" } } : {};
    const next = { ...old, ...status, metadata: { ...old.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceMs / 1000, finalizers: [...finalizers] } };
    if (!Bun.deepEquals(next.metadata, old.metadata)) this.#commit(kind, next, old);
  }

  #drop(kind: KindInfo, last: Stored<AnyObject>): Stored<AnyObject> {
    this.#table(kind).delete(keyOf(last));
    const object = freeze(structuredClone({ ...last, metadata: { ...last.metadata, resourceVersion: String(++this.#revision) } }));
    this.#publish({ revision: this.#revision, resource: resourceOf(kind), event: { type: "DELETED", object }, old: last });
    return object;
  }

  #commit(kind: KindInfo, object: Stored<AnyObject>, old: Stored<AnyObject> | undefined): Stored<AnyObject> {
    const stored = freeze(structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } }));
    this.#table(kind).set(keyOf(stored), stored);
    this.#publish({ revision: this.#revision, resource: resourceOf(kind), event: { type: old ? "MODIFIED" : "ADDED", object: stored }, old });
    return stored;
  }

  #publish(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > MAX_HISTORY) this.#oldest = this.#history.shift()?.revision ?? 0;
    for (const wake of this.#watchers) wake();
  }

  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle] as Change).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#watchers.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

function resourceOf(kind: KindInfo): string {
  return `${kind.group}/${kind.plural}`;
}

/** What an update to the object or one of its views makes of the stored one. */
function merged(kind: KindInfo, old: Stored<AnyObject>, object: AnyObject, subresource: string | undefined): Stored<AnyObject> {
  if (subresource === "status") {
    const { labels, annotations } = object.metadata;
    const metadata = { ...old.metadata, ...(labels && { labels }), ...(annotations && { annotations }) };
    return { ...old, metadata, status: object.status };
  }
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, resourceVersion, generation } = old.metadata;
  const fixed = { uid, creationTimestamp, resourceVersion, generation, ...(deletionTimestamp && { deletionTimestamp, deletionGracePeriodSeconds }) };
  const next = { ...object, metadata: { ...object.metadata, ...fixed } } as Stored<AnyObject>;
  if ("status" in kind.subresources && subresource === undefined) next["status"] = old["status"];
  if (next["status"] === undefined) delete next["status"];
  if (!Bun.deepEquals(next["spec"], old["spec"])) next.metadata.generation = (generation ?? 0) + 1;
  return JSON.parse(JSON.stringify(next)) as Stored<AnyObject>;
}

function selection(options: ListOptions): (object: Stored<AnyObject>) => boolean {
  const labels = parseLabelSelector(options.labelSelector ?? "");
  const fields = parseFieldSelector(options.fieldSelector ?? "");
  return (object) =>
    (!options.namespace || object.metadata.namespace === options.namespace) &&
    labels.matches(object.metadata.labels) &&
    fields.every(({ field, operator, value }) => (fieldOf(object, field) === value) === (operator === "="));
}

function fieldOf(object: AnyObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[part];
  return value === undefined ? "" : String(value);
}

/** How a change looks to a watcher that sees only some objects: entering is ADDED, leaving is DELETED. */
function asSeen({ event, old }: Change, matches: (object: Stored<AnyObject>) => boolean): WatchEvent<Stored<AnyObject>> | undefined {
  if (event.type === "BOOKMARK") return undefined;
  const isIn = event.type !== "DELETED" && matches(event.object);
  const wasIn = old !== undefined && matches(old);
  if (isIn) return { type: wasIn ? "MODIFIED" : "ADDED", object: event.object };
  return wasIn ? { type: "DELETED", object: event.object } : undefined;
}

function bookmark(kind: KindInfo, revision: number, annotations: Record<string, string>): WatchEvent<never> {
  return { type: "BOOKMARK", object: { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata: { resourceVersion: String(revision), annotations } } };
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = typeof target === "object" && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = mergePatch(result[key], value);
  }
  return result;
}

function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}

// The in-process Client: the verbs called directly, with no HTTP, no JSON text and no copies.
// Same admission, validation and optimistic concurrency as over the wire; objects are shared with the cache.
import { ApiError, badRequest, methodNotSupported } from "../../api/errors.ts";
import type { Client, DeleteCallOptions, ListOptions, ObjectName, PatchOptions, WatchOptions, WriteOptions } from "../../api/client/client.ts";
import { apiVersionOf, type KindInfo, listKindOf } from "../../api/kinds.ts";
import type { AnyObject, DeleteOptions, KubeList, KubeObject, Scale, Stored, WatchEvent } from "../../api/types.ts";
import type { Entry } from "./cache/entry.ts";
import type { Delivery } from "./cache/event.ts";
import type { Engine } from "./engine.ts";
import { cloneJson } from "./json.ts";
import type { RequestVerb, ResourceRequest, UserInfo } from "./request.ts";
import { create } from "./verbs/create.ts";
import { deleteCollection } from "./verbs/delete-collection.ts";
import { deleteObject } from "./verbs/delete.ts";
import { patch } from "./verbs/patch.ts";
import { get, list } from "./verbs/read.ts";
import { getScale, updateScale } from "./verbs/scale.ts";
import { postSubresource } from "./verbs/subresources.ts";
import { update } from "./verbs/update.ts";
import { watch } from "./verbs/watch.ts";

/** A client that acts as `user`, who is trusted: nothing is authorized. */
export class LocalClient implements Client {
  constructor(private readonly engine: () => Engine, private readonly user: UserInfo, private readonly manager = user.name) {}

  async get<T extends KubeObject>(kind: KindInfo, name: ObjectName): Promise<Stored<T>> {
    return (await get(this.engine(), { kind, name: name.name, namespace: kind.namespaced ? (name.namespace ?? "") : "" })).object as unknown as Stored<T>;
  }

  async list<T extends KubeObject>(kind: KindInfo, options: ListOptions = {}): Promise<KubeList<Stored<T>>> {
    const found = await list(this.engine(), this.#request("list", kind, { name: "", namespace: options.namespace }), options);
    return {
      apiVersion: apiVersionOf(kind), kind: listKindOf(kind),
      metadata: { resourceVersion: String(found.revision), ...(found.continue && { continue: found.continue }), ...(found.remaining !== undefined && { remainingItemCount: found.remaining }) },
      items: found.entries.map((entry) => entry.object as unknown as Stored<T>),
    };
  }

  async *watch<T extends KubeObject>(kind: KindInfo, options: WatchOptions): AsyncGenerator<WatchEvent<Stored<T>>> {
    const queue = new EventQueue(kind, options.metadataOnly ? metadataOf : lent);
    const ending = new AbortController();
    const stop = (): void => {
      ending.abort();
      queue.close();
    };
    options.signal.addEventListener("abort", stop, { once: true });
    const timer = options.timeoutSeconds ? setTimeout(stop, options.timeoutSeconds * 1000) : undefined;
    try {
      if (options.signal.aborted) return;
      const { namespace, metadataOnly: _, ...rest } = options;
      watch(this.engine(), this.#request("watch", kind, { name: "", namespace }), { ...rest, ...(options.sendInitialEvents !== undefined && { resourceVersionMatch: "NotOlderThan" }), signal: ending.signal }, queue);
      yield* queue.read() as AsyncGenerator<WatchEvent<Stored<T>>>;
    } finally {
      clearTimeout(timer);
      options.signal.removeEventListener("abort", stop);
      ending.abort();
    }
  }

  async create<T extends KubeObject>(kind: KindInfo, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const copy = this.#decoded(kind, object);
    copy.metadata ??= {};
    const request = this.#request("create", kind, { name: "", namespace: object.metadata?.namespace }, options);
    return (await create(this.engine(), request, copy)).object as unknown as Stored<T>;
  }

  async update<T extends KubeObject>(kind: KindInfo, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const { name = "", namespace } = object.metadata;
    if (name === "") throw badRequest("name must be provided");
    const request = this.#request("update", kind, { name, namespace }, options);
    if (options.subresource === "scale") return (await updateScale(this.engine(), request, () => cloneJson(object) as unknown as Scale)) as unknown as Stored<T>;
    const { entry } = await update(this.engine(), request, { replaces: true, transform: () => this.#decoded(kind, object) });
    return entry.object as unknown as Stored<T>;
  }

  async patch<T extends KubeObject>(kind: KindInfo, name: ObjectName, body: unknown, options: PatchOptions): Promise<Stored<T>> {
    const request = this.#request("patch", kind, name, options);
    const { entry } = await patch(this.engine(), request, { type: options.type, body, force: options.force, fieldValidation: "Strict" });
    return entry.object as unknown as Stored<T>;
  }

  async delete(kind: KindInfo, name: ObjectName, options: DeleteCallOptions = {}): Promise<void> {
    await deleteObject(this.engine(), this.#request("delete", kind, name), options as DeleteOptions);
  }

  async deleteCollection(kind: KindInfo, selected: ListOptions, options: DeleteCallOptions = {}): Promise<void> {
    const request = this.#request("deletecollection", kind, { name: "", namespace: selected.namespace });
    await deleteCollection(this.engine(), request, selected, options as DeleteOptions);
  }

  async post<Body, Reply>(kind: KindInfo, name: ObjectName, subresource: string, body: Body): Promise<Reply> {
    if (!kind.subresources[subresource]) throw methodNotSupported(kind, "create");
    const request = this.#request("create", kind, name, { subresource });
    return (await postSubresource(this.engine(), request, cloneJson(body) as unknown as AnyObject)) as Reply;
  }

  /** Reads a `/scale`. */
  async getScale(kind: KindInfo, name: ObjectName): Promise<Scale> {
    return getScale(this.engine(), this.#request("get", kind, name));
  }

  /** A private copy in the form a client over HTTP would have stored it in: zeros left out, quantities canonical. */
  #decoded(kind: KindInfo, object: KubeObject): AnyObject {
    return this.engine().codec.decode(kind, object, "Ignore").object;
  }

  // The four parts every request has; an object for them would be built and taken apart again.
  // oxlint-disable-next-line max-params
  #request(verb: RequestVerb, kind: KindInfo, { name, namespace }: ObjectName, options: WriteOptions = {}): ResourceRequest {
    return {
      verb, kind, name, namespace: kind.namespaced ? (namespace ?? "") : "", subresource: options.subresource ?? "",
      user: this.user, dryRun: options.dryRun ?? false, fieldManager: options.fieldManager ?? this.manager, warnings: [],
    };
  }
}

function lent(entry: Entry): unknown {
  return entry.lend();
}

/** What those who only ask for it need of an object's metadata; the rest of the object is not kept for them. */
function metadataOf({ object }: Entry): KubeObject {
  const { managedFields: _, annotations: __, ...metadata } = object.metadata;
  return { apiVersion: object.apiVersion as string, kind: object.kind as string, metadata };
}

const MAX_QUEUED = 100_000;

/** Hands events from the cache to a consumer that reads at its own pace; one that falls too far behind is cut off. */
class EventQueue {
  #events: WatchEvent<unknown>[] = [];
  #failure: ApiError | undefined;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(private readonly kind: KindInfo, private readonly show: (entry: Entry) => unknown) {}

  events(deliveries: readonly Delivery[]): void {
    for (const { type, entry } of deliveries) this.#events.push({ type, object: this.show(entry) });
    if (this.#events.length > MAX_QUEUED) this.close();
    this.#wake?.();
  }

  bookmark(revision: number, initial: boolean): void {
    const { kind } = this;
    this.#events.push({ type: "BOOKMARK", object: { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata: { resourceVersion: String(revision), ...(initial && { annotations: { "k8s.io/initial-events-end": "true" } }) } } });
    this.#wake?.();
  }

  fail(error: ApiError): void {
    this.#failure = error;
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async *read(): AsyncGenerator<WatchEvent<unknown>> {
    for (;;) {
      const batch = this.#events;
      this.#events = [];
      for (const event of batch) {
        if (this.#closed) return;
        yield event;
      }
      if (this.#events.length > 0) continue;
      if (this.#failure) throw this.#failure;
      if (this.#closed) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }
}

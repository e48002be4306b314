// The API's verbs over HTTPS: what agents, tools and other machines use.
// Connections are the transport's business; refusals become ApiErrors, an unreachable server a TransportError.
import { ApiError } from "../errors.ts";
import { apiVersionOf, type KindInfo } from "../kinds.ts";
import type { KubeList, KubeObject, Stored, WatchEvent } from "../types.ts";
import type { Client, DeleteCallOptions, ListOptions, ObjectName, PatchOptions, PatchType, WatchOptions, WriteOptions } from "./client.ts";
import { noteCall } from "./restfigures.ts";
import { Transport, TransportError, type TransportOptions, type TransportReply, type TransportRequest } from "./transport.ts";

export interface HttpClientOptions extends TransportOptions {
  /** How long anything but a watch may take; 60 s when left out. */
  readonly requestTimeoutMs?: number | undefined;
}

const REQUEST_TIMEOUT_MS = 60_000;
const MAX_RETRIES = 5;
const MAX_EVENT_LENGTH = 64 << 20;
const PATCH_CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

/** A Client on a server's HTTPS address. Objects it returns carry their apiVersion and kind, list items too. */
export class HttpClient implements Client {
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  readonly #host: string;

  constructor(options: HttpClientOptions) {
    this.#transport = new Transport(options);
    this.#host = new URL(options.server).host;
    this.#timeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  }

  /** Ends the connection and every watch on it. */
  close(): void {
    this.#transport.close();
  }

  get<T extends KubeObject>(kind: KindInfo, name: ObjectName): Promise<Stored<T>> {
    return this.request("GET", pathOf(kind, name));
  }

  async list<T extends KubeObject>(kind: KindInfo, { namespace, ...options }: ListOptions = {}): Promise<KubeList<Stored<T>>> {
    const list = await this.request<KubeList<Stored<T>>>("GET", pathOf(kind, { namespace }, options));
    for (const item of list.items) Object.assign(item, { apiVersion: apiVersionOf(kind), kind: kind.kind });
    return list;
  }

  async *watch<T extends KubeObject>(kind: KindInfo, { namespace, signal, ...options }: WatchOptions): AsyncIterable<WatchEvent<Stored<T>>> {
    const query = { ...options, metadataOnly: undefined, watch: true, ...(options.sendInitialEvents && { resourceVersionMatch: "NotOlderThan" }) };
    try {
      const reply = await this.#transport.send({ method: "GET", path: pathOf(kind, { namespace }, query), signal });
      if (reply.status !== 200) throw errorOf(reply.status, await textOf(reply));
      for await (const line of linesOf(reply.body)) yield eventOf<T>(line);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  create<T extends KubeObject>(kind: KindInfo, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const name = options.subresource === undefined ? undefined : object.metadata.name;
    return this.request("POST", pathOf(kind, { namespace: object.metadata.namespace, name, subresource: options.subresource }, queryOf(options)), withKind(kind, object));
  }

  update<T extends KubeObject>(kind: KindInfo, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const { namespace, name } = object.metadata;
    return this.request("PUT", pathOf(kind, { namespace, name, subresource: options.subresource }, queryOf(options)), withKind(kind, object));
  }

  patch<T extends KubeObject>(kind: KindInfo, name: ObjectName, body: unknown, options: PatchOptions): Promise<Stored<T>> {
    const path = pathOf(kind, { ...name, subresource: options.subresource }, { ...queryOf(options), force: options.force });
    return this.#json({ method: "PATCH", path, body: JSON.stringify(body), contentType: PATCH_CONTENT_TYPES[options.type] });
  }

  async delete(kind: KindInfo, name: ObjectName, options: DeleteCallOptions = {}): Promise<void> {
    await this.request("DELETE", pathOf(kind, name), { apiVersion: "v1", kind: "DeleteOptions", ...options });
  }

  async deleteCollection(kind: KindInfo, { namespace, ...list }: ListOptions, options: DeleteCallOptions = {}): Promise<void> {
    await this.request("DELETE", pathOf(kind, { namespace }, list), { apiVersion: "v1", kind: "DeleteOptions", ...options });
  }

  // The parts of the URL and the body.
  post<Body, Reply>(kind: KindInfo, name: ObjectName, subresource: string, body: Body): Promise<Reply> {
    return this.request("POST", pathOf(kind, { ...name, subresource }), body);
  }

  /** Any other request with a JSON reply, such as `GET /version`. */
  request<Reply>(method: string, path: string, body?: unknown): Promise<Reply> {
    return this.#json({ method, path, ...(body !== undefined && { body: JSON.stringify(body) }) });
  }

  async #json<Reply>(request: TransportRequest): Promise<Reply> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { status, text, retryAfterMs } = await this.#exchange(request);
        if (status < 300) return (text === "" ? {} : JSON.parse(text)) as Reply;
        if (retryAfterMs === undefined || attempt > MAX_RETRIES) throw errorOf(status, text);
        await Bun.sleep(retryAfterMs);
      } catch (error) {
        // A read may be sent again on a new connection; a write may have happened, so its caller decides.
        if (!(error instanceof TransportError) || request.method !== "GET" || attempt > 1) throw error;
      }
    }
  }

  async #exchange(request: TransportRequest): Promise<{ status: number; text: string; retryAfterMs: number | undefined }> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#timeoutMs);
    const begin = performance.now();
    let code: number | undefined;
    try {
      const reply = await this.#transport.send({ ...request, signal: deadline.signal });
      code = reply.status;
      const seconds = Number(reply.headers["retry-after"] ?? Number.NaN);
      const mayRetry = (reply.status === 429 || reply.status >= 500) && Number.isFinite(seconds) && !request.path.includes("/eviction");
      return { status: reply.status, text: await textOf(reply), retryAfterMs: mayRetry ? seconds * 1000 : undefined };
    } catch (error) {
      if (deadline.signal.aborted) throw new TransportError(`${request.method} ${request.path}: no answer within ${this.#timeoutMs} ms`, { cause: error });
      throw error;
    } finally {
      clearTimeout(timer);
      noteCall({ host: this.#host, method: request.method, code, seconds: (performance.now() - begin) / 1000 });
    }
  }
}

/** `/api/v1/namespaces/ns/pods/name/subresource?query`. */
function pathOf(kind: KindInfo, target: { namespace?: string | undefined; name?: string | undefined; subresource?: string | undefined }, query: object = {}): string {
  const { namespace, name, subresource } = target;
  const parts = [kind.group === "" ? "/api" : "/apis", apiVersionOf(kind)];
  if (kind.namespaced && namespace) parts.push("namespaces", encodeURIComponent(namespace));
  parts.push(kind.plural);
  if (name) parts.push(encodeURIComponent(name));
  if (subresource) parts.push(subresource);
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) parameters.set(key, String(value));
  return parts.join("/") + (parameters.size > 0 ? `?${parameters}` : "");
}

function queryOf({ dryRun, fieldManager }: WriteOptions): object {
  return { dryRun: dryRun ? "All" : undefined, fieldManager };
}

function withKind<T extends KubeObject>(kind: KindInfo, object: T): T {
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, ...object };
}

function errorOf(status: number, text: string): ApiError {
  try {
    return ApiError.fromStatus(status, JSON.parse(text));
  } catch {
    return ApiError.fromStatus(status, text);
  }
}

async function textOf(reply: TransportReply): Promise<string> {
  let text = "";
  for await (const chunk of reply.body) text += chunk;
  return text;
}

async function* linesOf(body: AsyncIterable<string>): AsyncIterable<string> {
  let rest = "";
  for await (const chunk of body) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_EVENT_LENGTH) throw new TransportError("a watch event was too long to be one");
    for (const line of lines) if (line !== "") yield line;
  }
}

function eventOf<T extends KubeObject>(line: string): WatchEvent<Stored<T>> {
  const event = JSON.parse(line) as WatchEvent<Stored<T>> | { type: "ERROR"; object: { code?: number } };
  if (event.type === "ERROR") throw ApiError.fromStatus(event.object.code ?? 500, event.object);
  return event;
}

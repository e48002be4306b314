// WATCH over HTTP: one JSON frame a line for as long as the client listens.
// A frame is made once and shared by everyone who is sent the same event.
import type { ServerResponse } from "node:http";
import { ApiError, badRequest, internalError, notAcceptable } from "../../../api/errors.ts";
import { apiVersionOf } from "../../../api/kinds.ts";
import { onAbort } from "../../../lib/aborts.ts";
import type { Delivery } from "../cache/event.ts";
import type { Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { watch, type WatchSink } from "../verbs/watch.ts";
import { replyHeaders, type Exchange, type Response } from "./exchange.ts";
import { isTrue, type Query } from "./target.ts";
import { viewedEntry, type View } from "./views.ts";

const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
/** Timers hold no more. */
const LONGEST_SECONDS = 2 ** 31 / 1000 - 1;

/** Serves one watch until the client leaves, the timeout passes or the server stops. */
export function serveWatch(engine: Engine, exchange: Exchange, { request, query, view, stopping, seconds }: { request: ResourceRequest; query: Query; view: View; stopping: AbortSignal; seconds: number }): void {
  if (isListForm(view)) throw notAcceptable(`you requested ${view.output.as}, but the requested object is not a list type (${request.kind.kind})`);
  const ending = new AbortController();
  const { response, audit } = exchange;
  const sink = new StreamSink(exchange, view, ending);
  const endsInMs = Math.max(0, Math.min(seconds, LONGEST_SECONDS)) * 1000;
  const timer = setTimeout(() => ending.abort(), endsInMs);
  timer.unref();
  const stop = (): void => ending.abort();
  const forgetStop = onAbort(stopping, stop);
  response.on("close", stop);
  // A custom kind can go while it is watched.
  const stopKinds = request.kind.isCustom ? engine.kinds.onChange(() => {
    if (!engine.kinds.resource(request.kind.group, request.kind.version, request.kind.plural)) stop();
  }) : undefined;
  ending.signal.addEventListener("abort", () => {
    clearTimeout(timer);
    stopKinds?.();
    forgetStop();
    if (response.writableEnded) return;
    // A watch can end before it began; what it had to say is still said.
    sink.open();
    response.end();
  }, { once: true });
  watch(engine, request, { ...watchOptions(query), endsInMs, signal: ending.signal }, sink);
  sink.open();
  audit?.responded(200);
  if (stopping.aborted) stop();
}

/** Events hold single objects. */
function isListForm({ output }: View): boolean {
  return output.as === "PartialObjectMetadataList";
}

function watchOptions(query: Query): Omit<Parameters<typeof watch>[2], "signal" | "endsInMs"> {
  const text = (name: string): string | undefined => query.get(name) ?? undefined;
  const initial = query.get("sendInitialEvents");
  if (initial !== null && !["true", "false", "1", "0"].includes(initial)) throw badRequest(`invalid value for sendInitialEvents: ${initial}`);
  return {
    labelSelector: text("labelSelector"), fieldSelector: text("fieldSelector"), resourceVersion: text("resourceVersion"),
    resourceVersionMatch: text("resourceVersionMatch"), continue: text("continue"),
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: initial === null ? undefined : isTrue(initial),
  };
}

const HEADS: Readonly<Record<Delivery["type"], Buffer>> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'), MODIFIED: Buffer.from('{"type":"MODIFIED","object":'), DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const TAIL = Buffer.from("}\n");
/** Frames of the events being delivered right now; they go with the last watcher that was sent them. */
const frames = new WeakMap<object, Partial<Record<Delivery["type"], WeakRef<Buffer>>>>();

/** The plain JSON frame of one event. */
export function frameOf({ type, entry }: Delivery): Buffer {
  let made = frames.get(entry);
  if (!made) frames.set(entry, (made = {}));
  const known = made[type]?.deref();
  if (known) return known;
  const frame = Buffer.concat([HEADS[type], entry.bytes, TAIL]);
  made[type] = new WeakRef(frame);
  return frame;
}

/** Writes frames to a response; gives up on a client that does not read. */
class StreamSink implements WatchSink {
  #isFirst = true;
  #isOpen = false;
  #early: Buffer[] = [];
  #isFull = false;
  #whenTaken: (() => void) | undefined;

  private readonly response: Response;

  constructor(private readonly exchange: Exchange, private readonly view: View, private readonly ending: AbortController) {
    this.response = exchange.response;
    const taken = (): void => {
      this.#isFull = false;
      this.#whenTaken?.();
    };
    this.response.on("drain", taken);
    this.response.on("close", taken);
  }

  /** Sends the headers and what came before them. */
  open(): void {
    const { response, view } = this;
    if (this.#isOpen || response.destroyed || response.headersSent) return;
    response.writeHead(200, replyHeaders(this.exchange, { "content-type": view.output.format === "yaml" ? "application/yaml;stream=watch" : "application/json" }));
    // HTTP/1.1 would hold the headers back until the first event.
    (response as unknown as Partial<ServerResponse>).flushHeaders?.();
    this.#isOpen = true;
    if (this.#early.length > 0) this.#write(this.#early.splice(0));
  }

  events(deliveries: readonly Delivery[]): void {
    const { output } = this.view;
    if (output.as === undefined) return this.#write(deliveries.map(frameOf));
    try {
      this.#write(deliveries.map((delivery) => this.#viewed(delivery)));
    } catch (error) {
      // What cannot be shown in this form ends this watch, and nothing else.
      this.fail(error instanceof ApiError ? error : internalError(error));
    }
  }

  bookmark(revision: number, initial: boolean): void {
    const { kind, output } = this.view;
    const gvk = output.as === undefined ? { kind: kind.kind, apiVersion: apiVersionOf(kind) } : { kind: output.as, apiVersion: `meta.k8s.io/${output.version}` };
    const metadata = { resourceVersion: String(revision), ...(output.as !== "Table" && { creationTimestamp: null }), ...(initial && { annotations: { "k8s.io/initial-events-end": "true" } }) };
    const object = output.as === "Table" ? { ...gvk, metadata: { resourceVersion: String(revision) }, columnDefinitions: null, rows: initial ? [{ cells: [], object: { kind: "PartialObjectMetadata", apiVersion: gvk.apiVersion, metadata } }] : [] } : { ...gvk, metadata };
    this.#write([Buffer.from(`${JSON.stringify({ type: "BOOKMARK", object })}\n`)]);
  }

  fail(error: ApiError): void {
    this.#write([Buffer.from(`${JSON.stringify({ type: "ERROR", object: error.toStatus() })}\n`)]);
    this.ending.abort();
  }

  sizeOf({ entry }: Delivery): number {
    return entry.bytes.length;
  }

  ready(): Promise<void> | undefined {
    return this.#isFull ? new Promise((resolve) => (this.#whenTaken = resolve)) : undefined;
  }

  #viewed({ type, entry }: Delivery): Buffer {
    const object = viewedEntry(entry, this.view, !this.#isFirst);
    this.#isFirst = false;
    return Buffer.from(`${JSON.stringify({ type, object })}\n`);
  }

  #write(chunks: readonly Buffer[]): void {
    if (!this.#isOpen) return void this.#early.push(...chunks);
    const { response } = this;
    if (response.writableEnded || response.destroyed) return;
    this.#isFull = !response.write(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    if ((response.writableLength ?? 0) > MAX_BUFFERED_BYTES) this.ending.abort();
  }
}

// WATCH: the current state or the past first, then every change as it happens, then a bookmark now and then.
// Transports give a sink; what they do with events (bytes, objects) is theirs.
import { field, gone, internalError, invalid, type ApiError, type FieldError } from "../../../api/errors.ts";
import { atOnce, inPieces } from "../../../lib/turns.ts";
import type { Delivery } from "../cache/event.ts";
import type { Page, ResourceCache } from "../cache/resource-cache.ts";
import type { Selection } from "../cache/selection.ts";
import type { Sink } from "../cache/watchers.ts";
import { cacheOf, type Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { Beginning } from "./beginning.ts";
import { isConverted, makeReady, represent } from "./convert.ts";
import { LateFilter, lateSelection } from "./late-selection.ts";
import { LOOKED_AT_ONCE, parseVersion } from "./read.ts";
import { replay } from "./replay.ts";
import { parseSelection } from "./selection.ts";

export interface WatchRequest {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly allowWatchBookmarks?: boolean | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly continue?: string | undefined;
  /** When the signal will come at the latest; a last bookmark goes out shortly before. */
  readonly endsInMs?: number | undefined;
  readonly signal: AbortSignal;
}

/** Where a watch's events go. Calls come in order and never overlap. */
export interface WatchSink {
  events(deliveries: readonly Delivery[]): void;
  /** Everything up to `revision` has been delivered; `initial` marks the end of the initial state. */
  bookmark(revision: number, initial: boolean): void;
  /** The watch cannot go on; nothing follows. */
  fail(error: ApiError): void;
  /** Resolves when the reader has taken enough of what was sent for more to be welcome. */
  ready?(): Promise<void> | undefined;
  /** How much of a reader's patience an event takes, where that differs: its bytes. */
  sizeOf?(delivery: Delivery): number;
}

const BOOKMARK_EVERY_MS = 60_000;
const LAST_BOOKMARK_MS = 2_000;

/** Starts a watch that ends with the signal; throws for malformed options, everything later goes to the sink. */
export function watch(engine: Engine, request: ResourceRequest, options: WatchRequest, sink: WatchSink): void {
  requireWatchOptions(options);
  const { kind, namespace } = request;
  const selection = parseSelection(engine, kind, { namespace, name: request.name, ...options });
  const version = options.resourceVersion ?? "";
  const after = version === "" ? 0 : parseVersion(version);
  const late = lateSelection(engine, kind, selection);
  const filter = late && new LateFilter(late.matches, sink);
  const start = { selection: late?.wide ?? selection, options, sink: representing(engine, request, filter ?? sink) };
  if (after === 0 || options.sendInitialEvents) return startWithState(engine, request, { ...start, skipState: options.sendInitialEvents === false });
  if (filter) tellKnown(engine, request, { ...start, after, filter });
  startAfter(engine, request, { ...start, after });
}

/** What matched at the version a client watches from: without that nobody could tell what stops matching. */
function tellKnown(engine: Engine, { kind }: ResourceRequest, { selection, sink, after, filter }: Start & { after: number; filter: LateFilter }): void {
  const cache = cacheOf(engine, kind);
  if (after < cache.oldestRevision || after > engine.caches.revision) return;
  filter.learnNext();
  sink.events(cache.list({ selection, at: after === engine.caches.revision ? undefined : after }).entries.map((entry): Delivery => ({ type: "ADDED", entry, revision: entry.revision })));
}

interface Start {
  readonly selection: Selection;
  readonly options: WatchRequest;
  readonly sink: WatchSink;
}

function startWithState(engine: Engine, { kind }: ResourceRequest, { selection, options, sink, skipState }: Start & { skipState: boolean }): void {
  const cache = cacheOf(engine, kind);
  const revision = engine.caches.revision;
  const beginning = new Beginning(sink, options.signal);
  // The state and its revision are taken before anything can change, however long telling them takes.
  const state = skipState ? [] : stateOf(cache, selection);
  begin(engine, options, beginning, cache.watchFromNow(selection, toSink(beginning), revision));
  beginning.tell(state, () => {
    if (options.sendInitialEvents && options.allowWatchBookmarks) beginning.bookmark(revision, true);
  });
}

/** Everything selected right now; where there is much to look at, it is looked at in pieces. */
function stateOf(cache: ResourceCache, selection: Selection): readonly Delivery[] | Promise<readonly Delivery[]> {
  const pages = cache.pages({ selection });
  return cache.size <= LOOKED_AT_ONCE ? added(atOnce(pages)) : inPieces(pages).then(added);
}

function added({ entries }: Page): Delivery[] {
  return entries.map((entry) => ({ type: "ADDED", entry, revision: entry.revision }));
}

function startAfter(engine: Engine, { kind }: ResourceRequest, { selection, options, sink, after }: Start & { after: number }): void {
  const cache = cacheOf(engine, kind);
  if (after >= cache.oldestRevision) {
    const beginning = new Beginning(sink, options.signal);
    const { backlog, stop } = cache.watch(selection, after, toSink(beginning));
    begin(engine, options, beginning, stop);
    return beginning.tell(backlog, () => undefined);
  }
  if (after < engine.store.compactRevision) return sink.fail(gone(`too old resource version: ${after} (${cache.oldestRevision})`));
  const stop = replay({ store: engine.store, cache, selection, after, upTo: engine.caches.revision, signal: options.signal, sink });
  begin(engine, options, sink, stop);
}

/** Ends everything with the signal, and sends bookmarks while it lasts. */
function begin(engine: Engine, { signal, allowWatchBookmarks, endsInMs = 0 }: WatchRequest, sink: WatchSink, stop: () => void): void {
  const say = (): void => sink.bookmark(engine.caches.revision, false);
  const timer = allowWatchBookmarks ? setInterval(say, BOOKMARK_EVERY_MS) : undefined;
  const last = allowWatchBookmarks && endsInMs > LAST_BOOKMARK_MS ? setTimeout(say, endsInMs - LAST_BOOKMARK_MS) : undefined;
  timer?.unref();
  last?.unref();
  const end = (): void => {
    clearInterval(timer);
    clearTimeout(last);
    stop();
  };
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
}

function toSink(sink: WatchSink): Sink {
  return { deliver: (deliveries) => sink.events(deliveries) };
}

function representing(engine: Engine, { kind }: ResourceRequest, sink: WatchSink): WatchSink {
  if (!isConverted(kind)) return sink;
  let waiting: Promise<void> | undefined;
  // What a webhook converts comes late; what follows must not overtake it.
  const inOrder = (act: () => void, ready?: Promise<void>): void => {
    if (!waiting && !ready) return act();
    const mine = Promise.all([waiting, ready]).then(act, (error: unknown) => sink.fail(internalError(error))).finally(() => {
      if (waiting === mine) waiting = undefined;
    });
    waiting = mine;
  };
  return {
    events: (deliveries) => inOrder(
      () => sink.events(deliveries.map((delivery) => ({ ...delivery, entry: represent(engine, kind, delivery.entry) }))),
      makeReady(engine, kind, deliveries.map(({ entry }) => entry)),
    ),
    bookmark: (revision, initial) => inOrder(() => sink.bookmark(revision, initial)),
    fail: (error) => inOrder(() => sink.fail(error)),
    ready: () => sink.ready?.(),
    sizeOf: (delivery) => sink.sizeOf?.(delivery) ?? 0,
  };
}

function requireWatchOptions(options: WatchRequest): void {
  const { resourceVersionMatch: match, sendInitialEvents } = options;
  const errors: FieldError[] = [];
  const refuse = (why: string): void => void errors.push(field.forbidden("resourceVersionMatch", why));
  if (sendInitialEvents !== undefined && match !== "NotOlderThan") refuse("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  if (match) {
    if (sendInitialEvents === undefined) refuse("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (match !== "NotOlderThan") errors.push(field.notSupported("resourceVersionMatch", match, ["NotOlderThan"]));
    if (options.continue) refuse("resourceVersionMatch is forbidden when continue is provided");
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

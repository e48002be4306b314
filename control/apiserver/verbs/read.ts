// GET and LIST, answered from the watch cache.
// Semantics of resourceVersion and resourceVersionMatch: the Kubernetes API concepts page, "Resource versions".
import { ApiError, badRequest, field, gone, invalid, isExpired, notFound, type FieldError } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import { inPieces } from "../../../lib/turns.ts";
import type { Entry } from "../cache/entry.ts";
import type { Place } from "../cache/ordered.ts";
import type { Selection } from "../cache/selection.ts";
import { isPlain } from "../cache/selection.ts";
import { cacheOf, type Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { decodeContinue, encodeContinue } from "./continue.ts";
import { isConverted, makeReady, represent } from "./convert.ts";
import { lateSelection, latePage, type Matches } from "./late-selection.ts";
import { parseSelection } from "./selection.ts";

export interface ListRequest {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly sendInitialEvents?: boolean | undefined;
}

export interface ListResult {
  readonly entries: readonly Entry[];
  readonly revision: number;
  readonly continue?: string | undefined;
  readonly remaining?: number | undefined;
}

/** Kinds with more objects are searched in pieces. */
export const LOOKED_AT_ONCE = 1000;
const FRESHNESS_TIMEOUT_MS = 3_000;
/** Where strangers write to the same store too, its newest revision may be theirs and never arrive. */
const OTHERS_WAIT_MS = 250;

/** One object, at least as new as `resourceVersion`. */
export async function get(engine: Engine, { kind, namespace, name }: Pick<ResourceRequest, "kind" | "namespace" | "name">, resourceVersion?: string): Promise<Entry> {
  if (resourceVersion && resourceVersion !== "0") await waitFor(engine, parseVersion(resourceVersion));
  if (!resourceVersion && engine.store.latest) await becomeFresh(engine);
  const entry = cacheOf(engine, kind).get(namespace, name);
  if (!entry) throw notFound(kind, name);
  if (!isConverted(kind)) return entry;
  await makeReady(engine, kind, [entry]);
  return represent(engine, kind, entry);
}

/** One page of objects. */
export async function list(engine: Engine, request: ResourceRequest, options: ListRequest): Promise<ListResult> {
  const { kind, namespace } = request;
  if (isWhole(engine, request, options)) return { entries: cacheOf(engine, kind).entries(namespace || undefined), revision: engine.caches.revision };
  requireListOptions(options);
  const selection = parseSelection(engine, kind, { namespace, name: request.name, ...options });
  const limit = options.limit && options.limit > 0 ? options.limit : undefined;
  const token = options.continue ? decodeContinue(options.continue, selection.namespace) : undefined;
  if (token && options.resourceVersion && options.resourceVersion !== "0") throw badRequest("specifying resource version is not allowed when using continue");
  const at = token ? (token.revision > 0 ? token.revision : undefined) : isOfNow(engine, options) ? undefined : await exactRevision(engine, options);
  const cache = cacheOf(engine, kind);
  // The list and its revision are read in one go: no change can come in between.
  const revision = at ?? engine.caches.revision;
  try {
    // Without the store's history nobody could tell this state from a changed one after a restart.
    if (at !== undefined && at < engine.store.compactRevision) throw gone("The resourceVersion for the provided list is too old.");
    const late = lateSelection(engine, kind, selection);
    if (late) return await listLate(engine, kind, { ...late, revision, limit, after: token?.after });
    const wanted = { selection, limit, after: token?.after, at: at === engine.caches.revision ? undefined : at };
    const page = isPlain(selection) || cache.size <= LOOKED_AT_ONCE ? cache.list(wanted) : await inPieces(cache.pages(wanted));
    const next = page.next && encodeContinue({ revision, after: page.next }, selection.namespace);
    const entries = isConverted(kind) ? await allRepresented(engine, kind, page.entries) : page.entries;
    return { entries, revision, continue: next, remaining: page.remaining };
  } catch (error) {
    if (token && isExpired(error)) throw expiredToken(encodeContinue({ revision: -1, after: token.after }, selection.namespace));
    throw error;
  }
}

/** A page of what matches once it is converted. */
async function listLate(engine: Engine, kind: KindInfo, { wide, matches, revision, limit, after }: { wide: Selection; matches: Matches; revision: number; limit: number | undefined; after: Place | undefined }): Promise<ListResult> {
  const { entries: all } = await inPieces(cacheOf(engine, kind).pages({ selection: wide, at: revision === engine.caches.revision ? undefined : revision }));
  await makeReady(engine, kind, all);
  const { entries, next } = latePage(await inPieces(representAll(engine, kind, all)), matches, { limit, after });
  return { entries, revision, continue: next && encodeContinue({ revision, after: next }, wide.namespace) };
}

/** Whether all there is now is asked for, as admission does again and again. */
function isWhole(engine: Engine, { kind, name }: ResourceRequest, options: ListRequest): boolean {
  const { labelSelector, fieldSelector, resourceVersionMatch, limit, sendInitialEvents } = options;
  return isOfNow(engine, options) && name === "" && !labelSelector && !fieldSelector && !resourceVersionMatch && !limit && !options.continue && sendInitialEvents === undefined && !isConverted(kind);
}

/** Whether no version is named and this process alone knows the newest. */
function isOfNow({ store }: Engine, { resourceVersion }: ListRequest): boolean {
  return !resourceVersion && !store.latest;
}

async function allRepresented(engine: Engine, kind: KindInfo, entries: readonly Entry[]): Promise<readonly Entry[]> {
  await makeReady(engine, kind, entries);
  return inPieces(representAll(engine, kind, entries));
}

function* representAll(engine: Engine, kind: KindInfo, entries: readonly Entry[]): Generator<void, readonly Entry[]> {
  const represented: Entry[] = [];
  for (const entry of entries) {
    yield;
    represented.push(represent(engine, kind, entry));
  }
  return represented;
}

/** A read that names no version shows what was written before it began, also by other processes on the same store. */
async function becomeFresh({ store, caches }: Engine): Promise<void> {
  if (store.latest) await caches.reached(await store.latest(), OTHERS_WAIT_MS);
}

/** Waits until the caches know a revision; throws what upstream throws for one from the future. */
export async function waitFor(engine: Engine, revision: number): Promise<void> {
  if (engine.caches.revision >= revision || (await engine.caches.reached(revision, FRESHNESS_TIMEOUT_MS))) return;
  throw new ApiError(504, "Timeout", `Timeout: Too large resource version: ${revision}, current: ${engine.caches.revision}`, { causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }], retryAfterSeconds: 1 });
}

/** Parses a resourceVersion parameter; throws 400 in upstream's words. */
export function parseVersion(text: string): number {
  if (/^\d{1,16}$/.test(text)) return Number(text);
  throw new ApiError(400, "BadRequest", `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** The revision the list must show exactly, undefined when the newest will do. */
async function exactRevision(engine: Engine, { resourceVersion, resourceVersionMatch, limit }: ListRequest): Promise<number | undefined> {
  if (!resourceVersion) await becomeFresh(engine);
  if (!resourceVersion || resourceVersion === "0") return undefined;
  const revision = parseVersion(resourceVersion);
  await waitFor(engine, revision);
  const isExact = resourceVersionMatch === "Exact" || (!resourceVersionMatch && !!limit);
  return isExact ? revision : undefined;
}

function requireListOptions(options: ListRequest): void {
  const { resourceVersionMatch: match, resourceVersion } = options;
  const errors: FieldError[] = [];
  const refuse = (why: string): void => void errors.push(field.forbidden("resourceVersionMatch", why));
  if (match) {
    if (!resourceVersion) refuse("resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (options.continue) refuse("resourceVersionMatch is forbidden when continue is provided");
    if (match !== "Exact" && match !== "NotOlderThan") errors.push(field.notSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]));
    if (match === "Exact" && resourceVersion === "0") refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
  if (options.sendInitialEvents !== undefined) errors.push(field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

function expiredToken(inconsistent: string): ApiError {
  const { code, reason } = gone("");
  const error = new ApiError(code, reason, "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.");
  const toStatus = error.toStatus.bind(error);
  error.toStatus = () => ({ ...toStatus(), metadata: { continue: inconsistent } });
  return error;
}

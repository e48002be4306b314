// Puts objects and lists into the form a client negotiated: as they are, as a Table, or their metadata only.
// JSON of whole objects is copied from the cache's bytes, never serialised again.
import { badRequest, notAcceptable } from "../../../api/errors.ts";
import { apiVersionOf, type KindInfo } from "../../../api/kinds.ts";
import type { Entry } from "../cache/entry.ts";
import type { Engine } from "../engine.ts";
import type { ListResult } from "../verbs/read.ts";
import { reply, replyObject, type Exchange } from "./exchange.ts";
import type { Output } from "./negotiate.ts";
import { listHead, partialOf, tableOf, type IncludeObject } from "./table.ts";
import { isTrue, type Query } from "./target.ts";

/** What a reply is shaped by. */
export interface View {
  readonly engine: Engine;
  readonly kind: KindInfo;
  readonly output: Output;
  readonly includeObject: IncludeObject;
}

/** The view a request asks for. */
export function viewOf(engine: Engine, kind: KindInfo, { output, query }: { output: Output; query: Query }): View {
  const includeObject = query.get("includeObject") ?? "Metadata";
  if (includeObject !== "None" && includeObject !== "Metadata" && includeObject !== "Object") throw badRequest(`unrecognized includeObject value: ${JSON.stringify(includeObject)}`);
  return { engine, kind, output: query.has("pretty") && isTrue(query.get("pretty")) ? { ...output, pretty: true } : output, includeObject };
}

/** Answers one object. */
export function replyEntry(exchange: Exchange, status: number, entry: Entry, view: View): void {
  const { output } = view;
  if (isPlainJson(output)) return reply(exchange, status, entry.bytes, JSON_TYPE);
  replyObject(exchange, status, viewedEntry(entry, view), output);
}

/** Answers a list. */
export function replyList(exchange: Exchange, result: ListResult, view: View): void {
  const { output, kind } = view;
  if (isPlainJson(output)) return reply(exchange, 200, listBytes(kind, result), JSON_TYPE);
  replyObject(exchange, 200, viewedList(result, view), output);
}

const JSON_TYPE = { "content-type": "application/json" };
const COMMA = Buffer.from(",");
const LIST_END = Buffer.from("]}\n");

function isPlainJson(output: Output): boolean {
  return output.format === "json" && output.as === undefined && !output.pretty;
}

/** One object as asked for. */
export function viewedEntry(entry: Entry, { output, ...view }: View, omitColumns = false): unknown {
  const { object } = entry;
  if (output.as === undefined) return object;
  if (output.as === "PartialObjectMetadata") return partialOf(object, output.version);
  if (output.as !== "Table") throw notAcceptable(`only the following media types are accepted when converting to ${output.as}.meta.k8s.io/${output.version}: application/json`);
  const { engine, kind, includeObject } = view;
  return tableOf([object], engine.strategies.for(kind).printer, { version: output.version, includeObject, nowMs: engine.clock.now(), metadata: { resourceVersion: object.metadata.resourceVersion }, omitColumns });
}

function viewedList(result: ListResult, { engine, kind, output, includeObject }: View): unknown {
  const metadata = listMetadata(result);
  const objects = result.entries.map((entry) => entry.object);
  if (output.as === "Table") return tableOf(objects, engine.strategies.for(kind).printer, { version: output.version, includeObject, nowMs: engine.clock.now(), metadata });
  if (output.as !== undefined) return { kind: "PartialObjectMetadataList", apiVersion: `meta.k8s.io/${output.version}`, metadata, items: objects.map((object) => partialOf(object, output.version)) };
  return { ...listHead(kind, metadata), items: objects };
}

function listMetadata({ revision, continue: token, remaining }: ListResult): Record<string, unknown> {
  return { resourceVersion: String(revision), ...(token && { continue: token }), ...(remaining !== undefined && { remainingItemCount: remaining }) };
}

/** Items of plain lists, joined, for as long as the list they were made of is the current one. */
const joined = new WeakMap<readonly Entry[], Buffer>();
/** Lists below this size are joined faster than they are looked up. */
const WORTH_KEEPING = 64;

function listBytes(kind: KindInfo, result: ListResult): Buffer {
  const head = JSON.stringify({ kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind), metadata: listMetadata(result), items: [] });
  return Buffer.concat([Buffer.from(head.slice(0, -2)), itemsBytes(result.entries), LIST_END]);
}

function itemsBytes(entries: readonly Entry[]): Buffer {
  const known = joined.get(entries);
  if (known) return known;
  const parts: Buffer[] = [];
  for (const { bytes } of entries) parts.push(bytes, COMMA);
  parts.pop();
  const items = Buffer.concat(parts);
  if (entries.length >= WORTH_KEEPING) joined.set(entries, items);
  return items;
}

// Puts objects and lists into the form a client negotiated: as they are, as a Table, or their metadata only.
// JSON of whole objects is copied from the cache's bytes, never serialised again.
import { badRequest, notAcceptable } from "../../../api/errors.ts";
import { apiVersionOf, type KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Entry } from "../cache/entry.ts";
import type { Engine } from "../engine.ts";
import type { ListResult } from "../verbs/read.ts";
import type { Printer } from "../kinds/strategy.ts";
import { objectText, reply, replyObject, type Exchange } from "./exchange.ts";
import type { Output } from "./negotiate.ts";
import { replyInPieces } from "./pieces.ts";
import { listHead, partialOf, rowOf, tableOf, type IncludeObject } from "./table.ts";
import type { Query } from "./target.ts";
import { yamlText } from "./yaml.ts";

/** What a reply is shaped by. */
export interface View {
  readonly engine: Engine;
  readonly kind: KindInfo;
  readonly output: Output;
  readonly includeObject: IncludeObject;
}

/** The view a request asks for. */
export function viewOf(engine: Engine, kind: KindInfo, { output, query, pretty }: { output: Output; query: Query; pretty: boolean }): View {
  const includeObject = query.get("includeObject") ?? "Metadata";
  if (includeObject !== "None" && includeObject !== "Metadata" && includeObject !== "Object") throw badRequest(`unrecognized includeObject value: ${JSON.stringify(includeObject)}`);
  return { engine, kind, output: pretty && !output.pretty ? { ...output, pretty } : output, includeObject };
}

/** Answers one object. */
export function replyEntry(exchange: Exchange, status: number, entry: Entry, view: View): void {
  const { output } = view;
  if (isPlainJson(output)) return reply(exchange, status, entry.bytes, JSON_TYPE);
  replyObject(exchange, status, viewedEntry(entry, view), output);
}

/** Answers a list: a short one at once, a long one piece by piece. */
export function replyList(exchange: Exchange, result: ListResult, view: View): Promise<void> | void {
  const { output, kind } = view;
  const { entries } = result;
  const isPlain = isPlainJson(output);
  const headers = output.format === "yaml" ? YAML_TYPE : JSON_TYPE;
  if (isPlain && isJoinable(entries)) return reply(exchange, 200, listBytes(kind, result), headers);
  const pieces = isPlain ? plainPieces(kind, result) : viewedPieces(result, view);
  if (isPlain || entries.length > MADE_AT_ONCE) return replyInPieces(exchange, pieces, headers);
  reply(exchange, 200, Buffer.from([...pieces].join("")), headers);
}

/** Lists with more objects than this are put into their form piece by piece. */
const MADE_AT_ONCE = 500;
/** Longer lists, in objects or bytes, are not joined and kept but written as they are. */
const JOINED_UP_TO = 5000;
const JOINED_UP_TO_BYTES = 16 * 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };
const YAML_TYPE = { "content-type": "application/yaml" };
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

/** A list in the asked-for form, item by item. */
function* viewedPieces(result: ListResult, view: View): Generator<string> {
  const { engine, kind, output, includeObject } = view;
  const metadata = listMetadata(result);
  if (output.as === "Table") {
    const { printer } = engine.strategies.for(kind);
    const options = { version: output.version, includeObject, nowMs: engine.clock.now(), metadata };
    yield* itemsIn(tableOf([], printer, options), inOrder(result.entries, printer), { output, itemOf: (entry) => rowOf(entry.object, printer, options) });
  } else if (output.as !== undefined) {
    const list = { kind: "PartialObjectMetadataList", apiVersion: `meta.k8s.io/${output.version}`, metadata, items: [] };
    yield* itemsIn(list, result.entries, { output, itemOf: (entry) => partialOf(entry.object, output.version) });
  } else yield* itemsIn({ ...listHead(kind, metadata), items: [] }, result.entries, { output, itemOf: (entry) => (kind.isCustom ? entry.object : untyped(entry.object)) });
}

function inOrder(entries: readonly Entry[], printer: Printer | undefined): readonly Entry[] {
  const compare = printer?.compare;
  return compare ? entries.toSorted((a, b) => compare(a.object, b.object)) : entries;
}

/** The text of a list whose last field is empty yet, with that field filled. */
function* itemsIn(list: object, entries: readonly Entry[], { output, itemOf }: { output: Output; itemOf: (entry: Entry) => unknown }): Generator<string> {
  const text = objectText(list, output);
  const at = text.lastIndexOf("[]");
  if (entries.length === 0) return yield text;
  const form = output.format === "yaml" ? YAML_ITEMS : output.pretty ? PRETTY_ITEMS : JSON_ITEMS;
  yield text.slice(0, at) + form.begin;
  let separator = "";
  for (const entry of entries) {
    yield separator + form.item(itemOf(entry));
    separator = form.separator;
  }
  yield form.end + text.slice(at + 2);
}

const JSON_ITEMS = { begin: "[", separator: ",", end: "]", item: (item: unknown): string => JSON.stringify(item) };
const PRETTY_ITEMS = { begin: "[", separator: ",", end: "\n  ]", item: (item: unknown): string => `\n    ${JSON.stringify(item, null, 2).replaceAll("\n", "\n    ")}` };
const YAML_ITEMS = { begin: "\n", separator: "", end: "", item: (item: unknown): string => yamlText([item]).replace(/^(?=.)/gm, "  ") };

function listMetadata({ revision, continue: token, remaining }: ListResult): Record<string, unknown> {
  return { resourceVersion: String(revision), ...(token && { continue: token }), ...(remaining !== undefined && { remainingItemCount: remaining }) };
}

/** Items of plain lists, joined, for as long as the list they were made of is the current one. */
const joined = new WeakMap<readonly Entry[], Buffer>();
/** Lists below this size are joined faster than they are looked up. */
const WORTH_KEEPING = 64;

function isJoinable(entries: readonly Entry[]): boolean {
  if (joined.has(entries)) return true;
  if (entries.length > JOINED_UP_TO) return false;
  let bytes = 0;
  for (const entry of entries) bytes += entry.bytes.length;
  return bytes <= JOINED_UP_TO_BYTES;
}

function listBytes(kind: KindInfo, result: ListResult): Buffer[] {
  return [listStart(kind, result), itemsBytes(kind, result.entries), LIST_END];
}

function* plainPieces(kind: KindInfo, result: ListResult): Generator<Buffer> {
  yield listStart(kind, result);
  yield* itemParts(kind, result.entries);
  yield LIST_END;
}

/** The items' text between the brackets. Those of built-in kinds leave their type to the list's, as upstream's do. */
function* itemParts(kind: KindInfo, entries: readonly Entry[]): Generator<Buffer> {
  const type = kind.isCustom ? "" : `"kind":"${kind.kind}","apiVersion":"${apiVersionOf(kind)}",`;
  const start = Buffer.from(`{${type}`);
  let begin = BEGIN;
  for (const entry of entries) {
    yield begin;
    begin = NEXT;
    yield startsWith(entry.bytes, start) ? entry.bytes.subarray(start.length) : Buffer.from(JSON.stringify(untyped(entry.object)).slice(1));
  }
}

const BEGIN = Buffer.from("{");
const NEXT = Buffer.from(",{");

function startsWith(bytes: Buffer, start: Buffer): boolean {
  return bytes.length > start.length && start.compare(bytes, 0, start.length) === 0;
}

function untyped({ kind: _kind, apiVersion: _apiVersion, ...rest }: AnyObject): object {
  return rest;
}

function listStart(kind: KindInfo, result: ListResult): Buffer {
  return Buffer.from(JSON.stringify({ ...listHead(kind, listMetadata(result)), items: [] }).slice(0, -2));
}

function itemsBytes(kind: KindInfo, entries: readonly Entry[]): Buffer {
  const known = joined.get(entries);
  if (known) return known;
  const items = Buffer.concat([...itemParts(kind, entries)]);
  if (entries.length >= WORTH_KEEPING) joined.set(entries, items);
  return items;
}

// One request and its reply: the types of both protocol versions as one, and how replies are written.
import type { IncomingHttpHeaders } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { ApiError, internalError } from "../../../api/errors.ts";
import { isPretty, type Output } from "./negotiate.ts";
import { splitUrl } from "./target.ts";
import { yamlText } from "./yaml.ts";

// Arguments differ by event, and Node types them so.
// oxlint-disable-next-line no-explicit-any
export type Listener = (...args: any[]) => void;

/** What is used of a request, whichever protocol it came over. */
export interface Request {
  /** Whether everything of it has come and gone; a body asked for later than that is empty. */
  readonly readableEnded: boolean;
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: string[];
  on(event: string, listener: Listener): unknown;
  pipe<T extends NodeJS.WritableStream>(destination: T): T;
}

/** What is used of a response, whichever protocol it goes over. */
export interface Response {
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableLength: number;
  readonly statusCode: number;
  /** Whether the client took its request back; unknown where the protocol cannot say. */
  readonly isReset?: boolean;
  /** Goes out with the headers of `writeHead`. */
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, headers: Readonly<Record<string, string | string[]>>): unknown;
  /** False when the client does not keep up; `drain` says when it has. */
  write(chunk: Buffer): boolean;
  end(chunk?: Buffer | string): unknown;
  on(event: string, listener: Listener): unknown;
  once(event: string, listener: Listener): unknown;
  destroy(): unknown;
}

/** One request on its way through the server. */
export interface Exchange {
  readonly request: Request;
  readonly response: Response;
  readonly warnings: string[];
  /** What is recorded of it, where somebody wants to know. */
  readonly audit?: AuditTrail | undefined;
}

/** What is told the audit while a request is served. */
export interface AuditTrail {
  readonly annotations: Map<string, string>;
  /** Whether replies are to be kept whole. */
  readonly wantsResponse: boolean;
  requested(object: unknown): void;
  responded(code: number, body?: Buffer): void;
}

const GZIP_FROM_BYTES = 128 * 1024;
/** Larger bodies go out piece by piece, as fast as the client takes them. */
const CHUNK_BYTES = 1024 * 1024;
const compress = promisify(gzip);

/** Writes a whole reply, whose body may come in parts: large ones are never copied into one. */
export function reply({ request, response, warnings, audit }: Exchange, status: number, body: Buffer | readonly Buffer[], headers: Readonly<Record<string, string>>): void {
  if (response.headersSent || response.destroyed) return;
  const parts = Buffer.isBuffer(body) ? [body] : body;
  audit?.responded(status, parts.length === 1 ? parts[0] : audit.wantsResponse ? Buffer.concat(parts) : undefined);
  const all = replyHeaders({ warnings }, headers);
  let length = 0;
  for (const part of parts) length += part.length;
  if (length >= GZIP_FROM_BYTES && wantsGzip(request) && !headers["content-encoding"]) return void replyCompressed({ request, response, warnings }, status, Buffer.concat(parts), all);
  all["content-length"] = String(length);
  response.writeHead(status, all);
  if (request.method === "HEAD") response.end();
  else if (length <= CHUNK_BYTES) response.end(parts.length === 1 ? parts[0] : Buffer.concat(parts, length));
  else endInChunks(response, parts);
}

/** The headers of a reply, those that all have included. */
export function replyHeaders({ warnings }: Pick<Exchange, "warnings">, headers: Readonly<Record<string, string>>): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = { "cache-control": "no-cache, private", ...headers };
  if (warnings.length > 0) all["warning"] = warnings.map(warningHeader);
  return all;
}

/** Whether the client reads gzip. */
export function wantsGzip({ headers }: Request): boolean {
  return /\bgzip\b/.test(String(headers["accept-encoding"] ?? ""));
}

async function replyCompressed({ response }: Exchange, status: number, body: Buffer, headers: Readonly<Record<string, string | string[]>>): Promise<void> {
  const small = await compress(body, { level: 1 });
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { ...headers, "content-encoding": "gzip", vary: "Accept-Encoding", "content-length": String(small.length) });
  response.end(small);
}

function endInChunks(response: Response, parts: readonly Buffer[]): void {
  const chunks = chunksOf(parts);
  const next = (): void => {
    for (let chunk = chunks.next(); !response.destroyed; chunk = chunks.next()) {
      if (chunk.done) return void response.end();
      if (!response.write(chunk.value)) return void response.once("drain", next);
    }
  };
  next();
}

function* chunksOf(parts: readonly Buffer[]): Generator<Buffer, void> {
  for (const part of parts) for (let at = 0; at < part.length; at += CHUNK_BYTES) yield part.subarray(at, at + CHUNK_BYTES);
}

/** Writes an object in the asked-for format. */
export function replyObject(exchange: Exchange, status: number, object: unknown, output: Output): void {
  reply(exchange, status, Buffer.from(objectText(object, output)), { "content-type": output.format === "yaml" ? "application/yaml" : "application/json" });
}

/** An object as text in the asked-for format. */
export function objectText(object: unknown, { format, pretty }: Output): string {
  return format === "yaml" ? yamlText(object) : `${JSON.stringify(object, null, pretty ? 2 : 0)}\n`;
}

/** Writes an error as a Status. */
export function replyError(exchange: Exchange, error: unknown): void {
  const known = error instanceof ApiError ? error : internalError(error);
  const retry = known.details?.retryAfterSeconds;
  const { headers, url = "" } = exchange.request;
  const text = JSON.stringify(known.toStatus(), null, isPretty(headers, splitUrl(url).query) ? 2 : 0);
  reply(exchange, known.code, Buffer.from(`${text}\n`), { "content-type": "application/json", ...(retry && { "retry-after": String(retry) }) });
}

/** Writes plain text. */
export function replyText(exchange: Exchange, status: number, text: string): void {
  reply(exchange, status, Buffer.from(text), { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
}

/** Agent 299 and a quoted text: RFC 9111's form, one header each. */
function warningHeader(text: string): string {
  // HTTP/1.1 headers that are not ASCII cannot be written, and the reply with them.
  const clean = text.replace(/\p{Cc}/gu, " ").replace(/[^\u0020-\u007e]/gu, "?").slice(0, 4096);
  return `299 - "${clean.replace(/[\\"]/g, "\\$&")}"`;
}

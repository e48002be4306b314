// Reads and parses request bodies, with the API server's limit and its words for what is wrong with them.
import { badRequest, requestTooLarge } from "../../../api/errors.ts";
import { countKeys, countKeysInText } from "../../../api/schema/duplicates.ts";
import type { Request } from "./exchange.ts";
import { goType } from "../json.ts";
import { jsonError, summaryOf } from "./jsonerror.ts";
import { readYamlApart } from "./yaml-reader.ts";

/** The most a request body may hold, in bytes. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** Upstream stops at 10,000; no object of any use comes near this. */
const MAX_DEPTH = 1000;

/** The whole body; throws 413 beyond the limit. */
export function readBody(request: Request): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) return reject(tooLarge());
    // A request without a body ends by itself while it waits for its turn, and says so only once.
    if (request.readableEnded) return resolve(Buffer.alloc(0));
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    request.on("error", reject);
    request.on("aborted", () => reject(badRequest("the client closed the connection before the body was complete")));
  });
}

/** A parsed body, and its JSON text, which shows what parsing hides. */
export interface Parsed {
  readonly raw: unknown;
  /** What upstream says of keys that stand twice in one map of a YAML text. */
  readonly repeated?: string | undefined;
  /** For JSON only. */
  readonly text?: string;
}

/** Parses the body that should be an object of a kind; throws 400 naming what is wrong. */
export async function parseBody(body: Buffer, format: "json" | "yaml", kind: string): Promise<Parsed> {
  const parsed = format === "json" ? { raw: parseJson(body, (why) => unrecognized(kind, why, body)), text: body.toString() } : await parseYaml(body.toString());
  if (Array.isArray(parsed.raw) || (typeof parsed.raw !== "object")) throw unrecognized(kind, `json: cannot unmarshal ${goType(parsed.raw)} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`, body);
  return parsed;
}

/** Parses JSON; throws what `refusal` makes of Go's words for what is wrong. */
export function parseJson(body: Buffer, refusal: (why: string) => Error): unknown {
  if (body.length > MAX_DEPTH * 2 && isTooDeep(body)) throw refusal("exceeded max depth");
  const text = body.toString();
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw refusal(jsonError(text) ?? (error as Error).message);
  }
}

function unrecognized(kind: string, why: string, body: Buffer): Error {
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${why} (${summaryOf(body)})`);
}

/** Parses one YAML document, which JSON without repeated keys is too; throws 400 in upstream's words. */
export async function parseYaml(text: string): Promise<Parsed> {
  const raw = plainJson(text);
  if (raw !== undefined) return { raw };
  const reading = await readYamlApart(text);
  if ("error" in reading) throw badRequest(reading.error);
  return { raw: parseJson(Buffer.from(reading.json), badRequest), repeated: reading.repeated };
}

function plainJson(text: string): unknown {
  if (!text.startsWith("{")) return undefined;
  const body = Buffer.from(text);
  if (body.length > MAX_DEPTH * 2 && isTooDeep(body)) throw badRequest("error converting YAML to JSON: yaml: exceeded max depth");
  try {
    const raw = JSON.parse(text) as unknown;
    return countKeysInText(text) === countKeys(raw) ? raw : undefined;
  } catch {
    // Flow style that is not JSON.
    return undefined;
  }
}

const [QUOTE, BACKSLASH, OPEN_LIST, OPEN_MAP, CLOSE_LIST, CLOSE_MAP] = Buffer.from('"\\[{]}') as unknown as [number, number, number, number, number, number];

/** Whether lists and maps stand in each other deeper than anything here could walk. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at];
    if (byte === QUOTE) at = endOfString(body, at);
    else if (byte === OPEN_LIST || byte === OPEN_MAP) {
      if (++depth > MAX_DEPTH) return true;
    } else if (byte === CLOSE_LIST || byte === CLOSE_MAP) depth--;
  }
  return false;
}

function endOfString(body: Buffer, start: number): number {
  let at = start + 1;
  while (at < body.length && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at;
}

function tooLarge(): Error {
  return requestTooLarge(`Request entity too large: limit is ${MAX_BODY_BYTES}`);
}

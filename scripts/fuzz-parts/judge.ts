// What no reply may be: an accident, a Status that is none, an object without identity, an answer that never comes.
import type { Reply } from "./send.ts";
import type { Shot } from "./shots.ts";

/** Words only a mistake of the program can put into a reply. */
const ACCIDENT = /is not a function|is not an object|is not iterable|Cannot read propert|Cannot destructure|undefined is not|null is not|\[object Object\]|TypeError|RangeError|Maximum call stack|is not defined|Internal error occurred: (?!failed calling webhook|failed to allocate|failed, conversion)/;
/** What upstream answers 500 to as well: someone else's server is at fault. */
const OTHERS_FAULT = /failed calling webhook|conversion webhook|failed to allocate|error trying to reach service|error dialing backend|no endpoints available/;
const UNREACHABLE = new Set([502, 503, 504]);

/** What is wrong with a reply; undefined when nothing is. */
export function complaintAbout(shot: Shot, reply: Reply): string | undefined {
  if (reply.error !== undefined) return isMalformed(shot) || isCutOff(shot, reply.error) ? undefined : `no reply: ${reply.error}`;
  const text = reply.contentType.includes("json") || reply.status >= 400 ? reply.body.toString() : "";
  if (reply.status >= 500 && !UNREACHABLE.has(reply.status) && !OTHERS_FAULT.test(text) && reply.status !== 501) return `${reply.status}`;
  if (reply.status >= 400 && ACCIDENT.test(text)) return `the message tells of an accident`;
  // Compressed bodies are not looked into.
  if (reply.body[0] === 0x1f || shot.method === "HEAD" || reply.status === 304 || reply.status === 101 || !reply.contentType.startsWith("application/json")) return undefined;
  const complaint = complaintAboutJson(shot, reply.status, text);
  return complaint && mayStream(shot) && reply.status === 200 ? complaintAboutStream(text) : complaint;
}

/** Bytes that client libraries or the protocol itself refuse before the server has a say. */
function isMalformed({ path, method, headers }: Shot): boolean {
  return /[^\u0021-\u007e]/.test(path) || method === "FOO" || method === "OPTIONS" || Object.values(headers).some((value) => /[^\u0020-\u007e]/.test(value));
}

/** Refused before it was read: the connection ends, as with upstream. */
function isCutOff({ body }: Shot, error: string): boolean {
  return (body?.length ?? 0) > 64 * 1024 && /ECONNRESET|EPIPE|hang up/.test(error);
}

function mayStream({ path, method }: Shot): boolean {
  return method === "GET" && /[?&]watch=|\/watch\//.test(path);
}

function complaintAboutJson(shot: Shot, status: number, text: string): string | undefined {
  let object: Record<string, unknown>;
  try {
    object = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return "the body is not JSON";
  }
  if (status >= 400) return complaintAboutStatus(status, object);
  if (object["kind"] === "APIResourceList" || object["kind"] === "APIVersions") return undefined;
  if (!/^\/apis?\//.test(shot.path) || shot.path.includes("/proxy")) return undefined;
  if (typeof object["kind"] !== "string" || typeof object["apiVersion"] !== "string") return "neither kind nor apiVersion";
  if (object["kind"] === "Table") return complaintAboutTable(object);
  return object["kind"].endsWith("List") && !Array.isArray(object["items"]) && !object["kind"].startsWith("API") ? "a list without items" : undefined;
}

function complaintAboutStatus(status: number, object: Record<string, unknown>): string | undefined {
  if (object["kind"] !== "Status" || object["apiVersion"] !== "v1" || object["status"] !== "Failure") return "an error that is no Status";
  if (object["code"] !== status) return `a Status of code ${String(object["code"])}`;
  if (typeof object["message"] !== "string" || object["message"] === "") return "a Status without a message";
  return typeof object["reason"] === "string" ? undefined : "a Status without a reason";
}

function complaintAboutTable({ columnDefinitions, rows }: Record<string, unknown>): string | undefined {
  if (!Array.isArray(columnDefinitions) || !Array.isArray(rows)) return "a Table without columns or rows";
  const isWrong = (rows as { cells?: unknown[] }[]).some(({ cells }) => cells?.length !== columnDefinitions.length || cells.includes(undefined));
  return isWrong ? "a row that does not fit its columns" : undefined;
}

function complaintAboutStream(text: string): string | undefined {
  const lines = text.split("\n");
  // The last line may have been cut off by whoever stopped reading.
  lines.pop();
  for (const line of lines) {
    try {
      const { type, object } = JSON.parse(line) as { type?: string; object?: { kind?: string } };
      if (!type || typeof object?.kind !== "string") return `an event without type or object: ${line.slice(0, 200)}`;
    } catch {
      return `a line that is no event: ${line.slice(0, 200)}`;
    }
  }
  return undefined;
}

// How long a request may take, and what becomes of one that takes longer.
// Rules: k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go; a client may ask for less than the server allows.
import { ApiError, badRequest } from "../../../api/errors.ts";
import { replyError, type Exchange } from "./exchange.ts";
import type { Query } from "./target.ts";

const UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, "µs": 1e-3, "μs": 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** What a client gets to take the answer. */
const LINGER_MS = 1_000;

/** What a request may take in milliseconds: `?timeout=` up to the server's limit. Throws 400 for what is no duration. */
export function timeoutOf(query: Query, limitMs: number): number {
  const text = query.get("timeout");
  if (!text) return limitMs;
  const asked = durationMs(text);
  return asked > 0 && asked < limitMs ? asked : limitMs;
}

/** Reads a duration as Go writes it. */
function durationMs(text: string): number {
  const bare = text.replace(/^[+-]/, "");
  if (bare === "0") return 0;
  const quoted = JSON.stringify(text);
  if (bare === "" || !/^[\d.]/.test(bare)) throw refuse(`invalid duration ${quoted}`);
  let total = 0;
  let rest = bare;
  while (rest !== "") {
    const [whole = "", number, unit] = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest) ?? [];
    if (!number) throw refuse(`invalid duration ${quoted}`);
    if (!unit) throw refuse(`missing unit in duration ${quoted}`);
    if (UNITS[unit] === undefined) throw refuse(`unknown unit ${JSON.stringify(unit)} in duration ${quoted}`);
    total += Number(number) * UNITS[unit];
    rest = rest.slice(whole.length);
  }
  return text.startsWith("-") ? -total : total;
}

function refuse(why: string): ApiError {
  return badRequest(`invalid timeout specified in the request URL - time: ${why}`);
}

/** Answers 504, or cuts off a reply that is under way: its reader is too slow. One that was given in time may still be taken. */
export function expire(exchange: Exchange): void {
  const { response } = exchange;
  if (response.headersSent && !response.writableEnded) return void response.destroy();
  // Whoever is still sending a body, or takes no answer, would keep the connection's share for as long as they like.
  setTimeout(() => response.destroy(), LINGER_MS).unref();
  if (!response.headersSent) replyError(exchange, new ApiError(504, "Timeout", "Timeout: request did not complete within the allotted timeout", {}));
}

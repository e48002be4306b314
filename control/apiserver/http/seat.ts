// A request's way past priority and fairness: what it is, what it costs, and what it is told about that.
// Long-running requests other than watches pass freely, and a watch gives its seat back once its first events are out.
import type { Engine } from "../engine.ts";
import type { FlowControl } from "../flowcontrol/control.ts";
import type { InFlightLimits } from "../flowcontrol/inflight.ts";
import type { Digest } from "../flowcontrol/match.ts";
import { seatsOf } from "../flowcontrol/seats.ts";
import type { UserInfo } from "../request.ts";
import { replyText, type Exchange } from "./exchange.ts";
import type { Refused } from "../flowcontrol/refused.ts";
import type { Query, Target } from "./target.ts";

/** What limits the requests under way: both or neither of the two may be there. */
export interface Limits {
  readonly flowControl?: FlowControl | undefined;
  readonly inFlight?: InFlightLimits | undefined;
}

/** Held while a request is being served. */
export interface Held {
  release(): void;
}

export interface Asked {
  readonly engine: Engine;
  readonly target: Target;
  readonly method: string;
  readonly query: Query;
  readonly user: UserInfo;
  /** How long the request may take in all. */
  readonly timeoutMs: number;
}

const LONG_RUNNING = new Set(["attach", "exec", "proxy", "log", "portforward"]);
const LONGEST_WAIT_MS = 60_000;
/** A watch whose first events wait to be read keeps its seat above this. */
const WATCH_BUFFER_BYTES = 256 * 1024;

/** Whether a request goes on for as long as the client likes. */
export function isLongRunning(target: Target): boolean {
  return target.type === "resource" && (target.verb === "watch" || target.verb === "proxy" || LONG_RUNNING.has(target.subresource));
}

/** A seat for the request, undefined when it needs none. Throws or rejects with Refused. */
export function takeSeat({ flowControl, inFlight }: Limits, exchange: Exchange, asked: Asked): Held | undefined | Promise<Held> {
  const { target, method, user } = asked;
  const isWatch = target.type === "resource" && target.verb === "watch";
  if (isLongRunning(target) && !isWatch) return undefined;
  if (!flowControl) return isWatch ? undefined : inFlight?.enter(user, target.type === "path" ? method.toLowerCase() : target.verb);
  const digest = digestOf(asked);
  const flow = flowControl.flowOf(digest);
  const { response } = exchange;
  response.setHeader("x-kubernetes-pf-flowschema-uid", flow.schema.uid);
  response.setHeader("x-kubernetes-pf-prioritylevel-uid", flow.level.config.uid);
  const seats = target.type === "path" ? 1 : seatsOf(asked.engine, target, asked.query);
  const waitAtMostMs = Math.min(asked.timeoutMs / 4, LONGEST_WAIT_MS);
  return flowControl.enter(flow, { digest, seats, waitAtMostMs, onGone: (leave) => response.once("close", leave) });
}

/** Gives a watch's seat back once its first events are on their way. */
export function releaseWatchSeat({ response }: Exchange, seat: Held | undefined): void {
  if (!seat) return;
  if (response.writableLength < WATCH_BUFFER_BYTES) seat.release();
  else response.once("drain", () => seat.release());
}

/** Upstream's answer, which is plain text. */
export function replyRefused(exchange: Exchange, { message, retryAfterSeconds }: Refused): void {
  if (exchange.response.headersSent || exchange.response.destroyed) return;
  exchange.response.setHeader("retry-after", String(retryAfterSeconds));
  replyText(exchange, 429, `${message}\n`);
}

function digestOf({ target, method, user }: Asked): Digest {
  if (target.type === "path") return { user, verb: method.toLowerCase(), group: "", resource: "", namespace: "", path: target.path };
  const { verb, group, plural, subresource, name } = target;
  const namespace = group === "" && plural === "namespaces" ? name : target.namespace;
  return { user, verb, group, resource: subresource === "" ? plural : `${plural}/${subresource}`, namespace };
}

// GET /containerLogs: which log, with which options, and for how long to follow it.
// Reading the file is `logs/`.
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import type { Pod } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { hasContainer, loggedContainer, NodeRequestError } from "./containers.ts";
import { offeredProtocols, WebSocketConnection } from "../websocket/connection.ts";
import { type LogOptions, readLog } from "./logs/reader.ts";
import type { Upgrade } from "./upgrade.ts";

const STATE_RECHECK_MS = 5_000;

/** Options from the query of upstream's PodLogOptions; throws 422 in upstream's words when they contradict. */
export function logOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const number = (name: string, minimum: number): number | undefined => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    if (!/^-?\d+$/.test(text)) throw new NodeRequestError(400, `{"message": "Unable to decode query."}`);
    if (Number(text) < minimum) throw invalid();
    return Number(text);
  };
  const tailLines = query.get("tail") === "all" ? undefined : (number("tail", 0) ?? number("tailLines", 0));
  const limitBytes = number("limitBytes", 1);
  const sinceSeconds = number("sinceSeconds", 1);
  const sinceTime = query.get("sinceTime") || undefined;
  const stream = query.get("stream") || "All";
  if (sinceSeconds !== undefined && sinceTime !== undefined) throw invalid();
  if (stream !== "All" && stream !== "Stdout" && stream !== "Stderr") throw invalid();
  if (stream !== "All" && tailLines !== undefined) throw invalid();
  const sinceMs = sinceSeconds !== undefined ? nowMs - sinceSeconds * 1000 : sinceTime !== undefined ? Date.parse(sinceTime) : undefined;
  if (Number.isNaN(sinceMs)) throw new NodeRequestError(400, `{"message": "Unable to decode query."}`);
  return {
    stream,
    follow: isTrue(query.get("follow")),
    timestamps: isTrue(query.get("timestamps")),
    ...(tailLines !== undefined && { tailLines }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(sinceMs !== undefined && { sinceMs }),
  };
}

export interface LogRequest {
  readonly pod: Pod;
  readonly container: string;
  readonly query: URLSearchParams;
}

/** Where a log goes; `open` is called once the log is sure to be there. */
export interface LogSink {
  readonly open: () => LogOutput;
  /** Aborts when the reader has gone. */
  readonly signal: AbortSignal;
}

export interface LogOutput {
  /** Resolves when more is welcome and the chunk's memory may be used again. */
  readonly write: (chunk: Buffer) => Promise<void>;
  readonly end: () => void;
}

/** Sends the log; rejects with NodeRequestError before `open` was called. */
export async function serveContainerLogs({ runtime, clock }: { readonly runtime: Runtime; readonly clock: Clock }, { pod, container, query }: LogRequest, sink: LogSink): Promise<void> {
  const options = logOptions(query, clock.now());
  if (!hasContainer(pod, container)) throw new NodeRequestError(404, `container "${container}" not found in pod "${pod.metadata.name}"`);
  const id = loggedContainer(pod, container, isTrue(query.get("previous")));
  const record = await runtime.pods.containerStatus(id);
  if (!record?.logPath) throw new NodeRequestError(400, `unable to retrieve container logs for ${runtime.name}://${id}`);
  const stop = new AbortController();
  const ended = record.state === "running" && options.follow ? whenEnded({ runtime, clock }, id, AbortSignal.any([sink.signal, stop.signal])) : AbortSignal.abort();
  const { write, end } = sink.open();
  try {
    await readLog(record.logPath, options, { write, ended, signal: sink.signal });
  } catch (error) {
    // The status line is out; upstream then puts the error where the log would be.
    await write(Buffer.from(`failed to open log file "${record.logPath}": ${(error as Error).message}`));
  } finally {
    stop.abort();
    end();
  }
}

/** The log as the body of an HTTP response. */
export function responseSink(response: ServerResponse): LogSink {
  const gone = whenClosed(response);
  const open = (): LogOutput => {
    response.writeHead(200, { "content-type": "text/plain" });
    response.flushHeaders();
    return { write: (chunk) => written(response, chunk), end: () => void response.end() };
  };
  return { open, signal: gone };
}

const SOCKET_PROTOCOLS = ["binary.k8s.io", "base64.binary.k8s.io"];

/** The log as WebSocket messages, which is how browsers and older clients follow one. */
export function webSocketSink(upgrade: Upgrade): LogSink {
  const protocol = offeredProtocols(upgrade.request).find((name) => SOCKET_PROTOCOLS.includes(name));
  const gone = whenClosed(upgrade.socket);
  const open = (): LogOutput => {
    const connection = WebSocketConnection.accept(upgrade.request, upgrade.socket, { protocol, head: upgrade.head });
    const send = (chunk: Buffer): Promise<void> => new Promise((done) => (protocol?.startsWith("base64.") ? connection.send(Buffer.from(chunk.toString("base64")), { text: true, done }) : connection.send(chunk, { done })));
    return { write: send, end: () => connection.close() };
  };
  return { open, signal: gone };
}

/** Aborts when the reader goes, or has gone while it was asked who it is. */
function whenClosed(reader: Writable): AbortSignal {
  if (reader.destroyed) return AbortSignal.abort();
  const gone = new AbortController();
  reader.once("close", () => gone.abort());
  return gone.signal;
}

/** Aborts once the container no longer runs: told by an event, and looked at now and then in case none comes. */
function whenEnded({ runtime, clock }: { readonly runtime: Runtime; readonly clock: Clock }, id: string, signal: AbortSignal): AbortSignal {
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  const check = async (): Promise<void> => {
    const record = await runtime.pods.containerStatus(id).catch(() => ({ state: "running" }));
    if (record?.state !== "running") ended.abort();
  };
  const listen = async (): Promise<void> => {
    for await (const event of runtime.pods.events(stop)) if (event.id === id && event.type !== "started") await check();
  };
  const recheck = async (): Promise<void> => {
    for (; !stop.aborted; await clock.sleep(STATE_RECHECK_MS, stop)) await check();
  };
  void listen().catch(() => undefined);
  void recheck();
  return ended.signal;
}

/** Resolves once the bytes are out of our hands: their memory is used again. */
function written(response: ServerResponse, chunk: Buffer): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("close", done);
      resolve();
    };
    response.once("close", done);
    response.write(chunk, done);
  });
}

function invalid(): NodeRequestError {
  return new NodeRequestError(422, `{"message": "Invalid request."}`);
}

function isTrue(value: string | null): boolean {
  return value === "true" || value === "1" || value === "";
}

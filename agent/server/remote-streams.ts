// The client's end of an exec or attach as streams, whichever protocol it speaks: SPDY v1 to v4, or WebSocket channels up to v5.
// What is run is the caller's.
import type { Duplex } from "node:stream";
import type { TerminalSize } from "../runtime/runtime.ts";
import { SpdySession, type SpdyStream } from "../spdy/session.ts";
import { Channels } from "../websocket/channels.ts";
import { isWebSocketRequest, offeredProtocols, WebSocketConnection } from "../websocket/connection.ts";
import { negotiate, refuse, switchToSpdy, type Upgrade } from "./upgrade.ts";

/** What the client asked to be connected. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** How a command ended, as the error stream tells it (upstream's v1.Status). */
export interface RemoteStatus {
  readonly status: "Success" | "Failure";
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: { readonly causes: readonly { readonly reason: string; readonly message: string }[] };
}

/** Streams to one client. */
export interface RemoteStreams {
  readonly stdin: Duplex | undefined;
  readonly stdout: Duplex | undefined;
  readonly stderr: Duplex | undefined;
  readonly resize: AsyncIterable<TerminalSize> | undefined;
  /** Aborts when the client has gone. */
  readonly gone: AbortSignal;
  /** Sends what was written and the status, then closes. */
  finish(status: RemoteStatus): Promise<void>;
}

const SPDY_PROTOCOLS = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const WEBSOCKET_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];
const STREAM_WAIT_MS = 30_000;
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Switches protocols; undefined when the request was refused or the client never opened its streams. */
export function openRemoteStreams(upgrade: Upgrade, wanted: WantedStreams): Promise<RemoteStreams | undefined> {
  return isWebSocketRequest(upgrade.request) ? Promise.resolve(overWebSocket(upgrade, wanted)) : overSpdy(upgrade, wanted);
}

async function overSpdy(upgrade: Upgrade, wanted: WantedStreams): Promise<RemoteStreams | undefined> {
  const protocol = negotiate(upgrade.request, SPDY_PROTOCOLS);
  if (!switchToSpdy(upgrade, protocol, SPDY_PROTOCOLS)) return undefined;
  const hasResize = wanted.tty && (protocol === "v4.channel.k8s.io" || protocol === "v3.channel.k8s.io");
  const expected = ["error", ...(["stdin", "stdout", "stderr"] as const).filter((name) => wanted[name]), ...(hasResize ? ["resize"] : [])];
  const arrived = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<boolean>();
  const session = new SpdySession(upgrade.socket, {
    isServer: true,
    onStream: (stream) => {
      arrived.set(stream.headers["streamtype"] ?? "", stream);
      // The reply to the last stream goes out before anything else is written.
      if (expected.every((name) => arrived.has(name))) queueMicrotask(() => complete.resolve(true));
    },
  });
  const timer = setTimeout(() => complete.resolve(false), STREAM_WAIT_MS);
  void session.closed.then(() => complete.resolve(false));
  const isComplete = await complete.promise;
  clearTimeout(timer);
  if (!isComplete) {
    session.close();
    return undefined;
  }
  const named = (name: string): SpdyStream | undefined => arrived.get(name);
  return remoteStreams({ named, isJson: protocol === "v4.channel.k8s.io", closed: session.closed, close: () => session.close() });
}

function overWebSocket(upgrade: Upgrade, wanted: WantedStreams): RemoteStreams | undefined {
  const offered = offeredProtocols(upgrade.request);
  const protocol = offered.find((name) => WEBSOCKET_PROTOCOLS.includes(name));
  if (offered.length > 0 && protocol === undefined) {
    refuse(upgrade, 400, `unable to upgrade: client offered sub-protocols ${offered.join(", ")}, server accepts ${WEBSOCKET_PROTOCOLS.join(", ")}`);
    return undefined;
  }
  const connection = WebSocketConnection.accept(upgrade.request, upgrade.socket, { protocol, head: upgrade.head });
  const channels = new Channels(connection, protocol ?? "");
  const opened = new Map<string, Duplex>();
  for (const [name, number] of Object.entries(CHANNEL)) if (name === "error" || (name === "resize" ? wanted.tty : wanted[name as keyof WantedStreams])) opened.set(name, channels.open(number));
  // An empty message tells the client that the connection stands, as upstream does before v5.
  if (protocol !== "v5.channel.k8s.io") channels.greet(wanted.stdout ? CHANNEL.stdout : wanted.stderr ? CHANNEL.stderr : CHANNEL.error);
  return remoteStreams({ named: (name) => opened.get(name), isJson: protocol?.startsWith("v") ?? false, closed: connection.closed, close: () => connection.close() });
}

interface Transport {
  readonly named: (name: string) => Duplex | undefined;
  /** Whether the error stream carries a Status, or only a message. */
  readonly isJson: boolean;
  readonly closed: Promise<void>;
  readonly close: () => void;
}

function remoteStreams({ named, isJson, closed, close }: Transport): RemoteStreams {
  const gone = new AbortController();
  void closed.then(() => gone.abort());
  const [stdin, stdout, stderr, error, resize] = ["stdin", "stdout", "stderr", "error", "resize"].map(named);
  error?.resume();
  const finish = async (status: RemoteStatus): Promise<void> => {
    await Promise.all([stdout, stderr].map(ended));
    const text = isJson ? JSON.stringify({ metadata: {}, ...status }) : (status.message ?? "");
    if (text !== "") error?.write(text);
    await ended(error);
    // Nobody reads these any more; what the client still sends must not stop the connection from closing.
    stdin?.resume();
    resize?.resume();
    close();
  };
  return { stdin, stdout, stderr, resize: resize && sizes(resize), gone: gone.signal, finish };
}

/** Resolves once all that was written has gone to the transport, or the stream is dead. */
function ended(stream: Duplex | undefined): Promise<void> {
  if (!stream || stream.destroyed || stream.writableFinished) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once("finish", resolve);
    stream.once("close", resolve);
    stream.end();
  });
}

/** Terminal sizes as the client sends them: JSON values one after another. */
async function* sizes(stream: Duplex): AsyncGenerator<TerminalSize> {
  let text = "";
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
      const size = parseSize(text.slice(0, end + 1));
      text = text.slice(end + 1);
      if (size) yield size;
    }
    if (text.length > 1024) return;
  }
}

function parseSize(text: string): TerminalSize | undefined {
  try {
    const { Width, Height } = JSON.parse(text) as { Width?: number; Height?: number };
    return Number.isInteger(Width) && Number.isInteger(Height) ? { width: Width as number, height: Height as number } : undefined;
  } catch {
    return undefined;
  }
}

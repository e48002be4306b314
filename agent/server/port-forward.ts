// Port-forward: connections of a client joined to ports of a pod, over SPDY, SPDY in a WebSocket, or WebSocket channels.
// Reaching the pod's port is the runtime's.
import type { Duplex } from "node:stream";
import { finished } from "node:stream";
import { SpdySession, type SpdyStream } from "../spdy/session.ts";
import { Channels, messageStream } from "../websocket/channels.ts";
import { isWebSocketRequest, offeredProtocols, WebSocketConnection } from "../websocket/connection.ts";
import { negotiate, refuse, switchToSpdy, type Upgrade } from "./upgrade.ts";

/** Opens a byte stream to a port of the pod. */
export type Dial = (port: number) => Promise<Duplex>;

export interface PortForwardTarget {
  readonly dial: Dial;
  readonly podName: string;
  readonly podUid: string;
}

const SPDY_PROTOCOLS = ["portforward.k8s.io"];
const TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io";
const CHANNEL_PROTOCOLS = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
const STREAM_WAIT_MS = 30_000;
/** As the runtimes' own servers give it. */
const HALF_OPEN_MS = 1_000;
/** Half-open pairs of one client; more are refused. */
const MAX_WAITING = 1024;

/** Serves one client until it goes. */
export async function servePortForward(upgrade: Upgrade, target: PortForwardTarget): Promise<void> {
  const { request, socket, head } = upgrade;
  if (!isWebSocketRequest(request)) {
    if (!switchToSpdy(upgrade, negotiate(request, SPDY_PROTOCOLS), SPDY_PROTOCOLS)) return;
    return serveSpdy(socket, target);
  }
  const offered = offeredProtocols(request);
  if (offered.includes(TUNNEL_PROTOCOL)) {
    const connection = WebSocketConnection.accept(request, socket, { protocol: TUNNEL_PROTOCOL, head });
    return serveSpdy(messageStream(connection), target);
  }
  return serveChannels(upgrade, offered, target);
}

/** A pair of streams belongs together by its request id; both must come before the port is dialled. */
async function serveSpdy(transport: Duplex, target: PortForwardTarget): Promise<void> {
  const waiting = new Map<string, { readonly stream: SpdyStream; readonly timer: ReturnType<typeof setTimeout> }>();
  const onStream = (stream: SpdyStream): void => {
    const type = stream.headers["streamtype"];
    const port = Number(stream.headers["port"]);
    if ((type !== "data" && type !== "error") || !isPort(port) || waiting.size >= MAX_WAITING) return void stream.destroy();
    const id = stream.headers["requestid"] ?? String(type === "error" ? stream.id : stream.id - 2);
    const other = waiting.get(id);
    if (!other) {
      const expire = (): void => (waiting.delete(id), void stream.destroy());
      return void waiting.set(id, { stream, timer: setTimeout(expire, STREAM_WAIT_MS) });
    }
    clearTimeout(other.timer);
    waiting.delete(id);
    const [data, error] = type === "data" ? [stream, other.stream] : [other.stream, stream];
    error.resume();
    void forward({ data, error, port }, target);
  };
  const session = new SpdySession(transport, { isServer: true, onStream });
  await session.closed;
  for (const { timer } of waiting.values()) clearTimeout(timer);
}

/** Channels 2n and 2n+1 are data and error of the n-th `port` in the query; each starts with the port in two bytes. */
async function serveChannels(upgrade: Upgrade, offered: readonly string[], target: PortForwardTarget): Promise<void> {
  const query = new URL(upgrade.request.url ?? "/", "http://node").searchParams;
  const ports = query.getAll("port").flatMap((value) => value.split(",")).map(Number);
  if (ports.length === 0) return refuse(upgrade, 400, `query parameter "port" is required`);
  const bad = ports.find((port) => !isPort(port));
  if (bad !== undefined) return refuse(upgrade, 400, `port "${bad}" must be > 0`);
  const protocol = offered.find((name) => CHANNEL_PROTOCOLS.includes(name));
  if (offered.length > 0 && protocol === undefined) return refuse(upgrade, 400, `unable to upgrade: client offered sub-protocols ${offered.join(", ")}, server accepts ${[TUNNEL_PROTOCOL, ...CHANNEL_PROTOCOLS].join(", ")}`);
  const connection = WebSocketConnection.accept(upgrade.request, upgrade.socket, { protocol, head: upgrade.head });
  const channels = new Channels(connection, protocol ?? "");
  const forwards = ports.map((port, index) => {
    const [data, error] = [channels.open(index * 2), channels.open(index * 2 + 1)];
    const portBytes = Buffer.from([port & 0xff, port >> 8]);
    data.write(portBytes);
    error.write(portBytes);
    error.resume();
    return forward({ data, error, port }, target);
  });
  await Promise.all(forwards);
  connection.close();
}

/** Joins one connection; never rejects, because the client is told on the error stream. */
async function forward({ data, error, port }: { data: Duplex; error: Duplex; port: number }, { dial, podName, podUid }: PortForwardTarget): Promise<void> {
  try {
    await join(data, await dial(port));
    error.end();
  } catch (cause) {
    error.end(`error forwarding port ${port} to pod ${podName}, uid ${podUid}: ${(cause as Error).message}`);
    await new Promise((resolve) => finished(error, { readable: false }, resolve));
    data.destroy();
  }
}

/**
 * Copies both ways, passing half-closes on, until both directions are done; rejects when the pod's side fails.
 * Once the pod has said its last word the client has a moment to end too: over a WebSocket it has no way to.
 */
function join(client: Duplex, pod: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    client.pipe(pod);
    pod.pipe(client);
    pod.on("end", () => (timer = setTimeout(() => pod.destroy(), HALF_OPEN_MS)));
    if (client.destroyed) pod.destroy();
    client.on("close", () => pod.destroy());
    pod.on("error", reject);
    pod.on("close", () => {
      clearTimeout(timer);
      // What the client still sends has nowhere to go, but must not hold up its other connections.
      client.unpipe(pod).resume();
      client.end();
      finished(client, { readable: false }, () => resolve());
    });
  });
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65536;
}

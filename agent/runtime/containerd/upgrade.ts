// Opening a streaming URL that a CRI runtime handed out: HTTP/1.1 upgrade to SPDY/3.1, and the remote-command protocol on it.
// Framing is `agent/spdy/`.
import { connect, type Socket } from "node:net";
import { SpdySession, type SpdyStream } from "../../spdy/session.ts";
import { RuntimeError, type StreamOptions, type TerminalSize } from "../runtime.ts";

const CONNECT_TIMEOUT_MS = 30_000;
const MAX_HEAD_BYTES = 16 * 1024;

/** A SPDY session with the server at `url`, which must accept `protocol`. Rejects with RuntimeError in the server's words. */
export async function openSpdy(url: string, protocol: string, signal?: AbortSignal): Promise<SpdySession> {
  const target = new URL(url);
  const socket = await connected(target);
  try {
    socket.write([`POST ${target.pathname}${target.search} HTTP/1.1`, `Host: ${target.host}`, "Connection: Upgrade", "Upgrade: SPDY/3.1", `X-Stream-Protocol-Version: ${protocol}`, "Content-Length: 0", "", ""].join("\r\n"));
    const { head, rest } = await readHead(socket);
    if (!head.startsWith("HTTP/1.1 101 ")) throw new RuntimeError("Unavailable", `the container runtime refused to stream: ${head.split("\r\n")[0]} ${rest.toString().trim()}`);
    const session = new SpdySession(socket, { isServer: false });
    if (rest.length > 0) socket.emit("data", rest);
    signal?.addEventListener("abort", () => socket.destroy(), { once: true });
    if (signal?.aborted) socket.destroy();
    return session;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function connected(target: URL): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target.hostname, port: Number(target.port), noDelay: true });
    const timer = setTimeout(() => socket.destroy(new Error("timed out")), CONNECT_TIMEOUT_MS);
    socket.once("connect", () => (clearTimeout(timer), resolve(socket)));
    socket.once("error", (error) => (clearTimeout(timer), reject(new RuntimeError("Unavailable", `cannot reach the runtime's streaming server at ${target.host}: ${error.message}`, { cause: error }))));
  });
}

function readHead(socket: Socket): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const finish = (act: () => void): void => {
      socket.off("data", onData);
      socket.off("close", onClose);
      act();
    };
    const onClose = (): void => finish(() => reject(new RuntimeError("Unavailable", "the container runtime closed the connection instead of answering")));
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf("\r\n\r\n");
      if (end >= 0) finish(() => (socket.pause(), resolve({ head: seen.toString("latin1", 0, end), rest: seen.subarray(end + 4) })));
      else if (seen.length > MAX_HEAD_BYTES) finish(() => reject(new RuntimeError("Unavailable", "the container runtime's answer has no end")));
    };
    socket.on("data", onData);
    socket.on("close", onClose);
  });
}

/** Runs the v4 remote-command protocol over a session until the remote side is done; resolves with the exit code. */
export async function remoteCommand(session: SpdySession, streams: StreamOptions): Promise<number> {
  const error = session.open({ streamtype: "error" });
  const stdin = streams.stdin && session.open({ streamtype: "stdin" });
  const stdout = streams.stdout && session.open({ streamtype: "stdout" });
  const stderr = streams.tty ? undefined : streams.stderr && session.open({ streamtype: "stderr" });
  const resize = streams.tty && streams.resize ? session.open({ streamtype: "resize" }) : undefined;
  error.end();
  if (stdin) streams.stdin?.pipe(stdin);
  if (resize && streams.resize) void sendSizes(resize, streams.resize).catch(() => undefined);
  try {
    const [status] = await Promise.all([readText(error), copy(stdout, streams.stdout), copy(stderr, streams.stderr)]);
    return exitCode(status);
  } finally {
    if (stdin) streams.stdin?.unpipe(stdin);
    session.close();
  }
}

async function sendSizes(stream: SpdyStream, sizes: AsyncIterable<TerminalSize>): Promise<void> {
  for await (const { width, height } of sizes) stream.write(`${JSON.stringify({ Width: width, Height: height })}\n`);
}

function copy(from: SpdyStream | undefined, to: NodeJS.WritableStream | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!from || !to) return resolve();
    from.on("end", resolve);
    from.on("close", resolve);
    // The reader's end is the caller's to close: it may carry more than this.
    from.pipe(to, { end: false });
  });
}

function readText(stream: SpdyStream): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.on("close", () => resolve(Buffer.concat(chunks).toString())));
}

/** From the v1 Status on the error stream, which upstream's remote command v4 defines. */
function exitCode(text: string): number {
  if (text === "") throw new RuntimeError("Unavailable", "the connection to the container was lost");
  const status = JSON.parse(text) as { status?: string; reason?: string; message?: string; details?: { causes?: { reason?: string; message?: string }[] } };
  if (status.status === "Success") return 0;
  const code = status.reason === "NonZeroExitCode" ? status.details?.causes?.find((cause) => cause.reason === "ExitCode")?.message : undefined;
  // Whoever reports this adds the same words again.
  if (code === undefined) throw new RuntimeError("Unavailable", (status.message ?? text).replace(/^Internal error occurred: (error (executing command in|attaching to) container: )?/, ""));
  return Number(code);
}

/** Byte streams to one port, over the port-forward protocol: a data and an error stream a connection. */
export function forwardPort(session: SpdySession, port: number): SpdyStream {
  const headers = { port: String(port), requestid: "0" };
  const error = session.open({ ...headers, streamtype: "error" });
  error.end();
  const data = session.open({ ...headers, streamtype: "data" });
  // The runtime ends the error stream when it is through with the connection, whoever's end is still open.
  void readText(error).then((message) => (message === "" ? data.cut() : data.destroy(new RuntimeError("Unavailable", message))));
  data.on("close", () => session.close());
  return data;
}

// Live connections into containers of a Docker engine: exec and attach over its hijacked connections, ports through the network namespace.
// The kubelet's server brings the client's end.
import { connect } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { Writable } from "node:stream";
import type Docker from "dockerode";
import { RuntimeError, type StreamOptions, type Streaming, type TerminalSize } from "../runtime.ts";
import { Demultiplexer } from "./demultiplexer.ts";
import { ask } from "./engine.ts";
import { throughNamespace } from "./ports.ts";
import { decodeLabels } from "./record.ts";

/** Streaming on the Docker Engine's API. */
export class DockerStreaming implements Streaming {
  readonly #docker: Docker;

  constructor(docker: Docker) {
    this.#docker = docker;
  }

  async exec(id: string, command: readonly string[], streams: StreamOptions): Promise<number> {
    const { tty } = streams;
    const exec = await ask("Unavailable", () => this.#docker.getContainer(id).exec({ Cmd: [...command], Tty: tty, AttachStdin: streams.stdin !== undefined, AttachStdout: true, AttachStderr: !tty }));
    const connection = await ask("Unavailable", () => exec.start({ hijack: true, stdin: streams.stdin !== undefined, Tty: tty }));
    await this.#join(connection, streams, (size) => exec.resize(size));
    const { ExitCode, Running } = await ask("Unavailable", () => exec.inspect());
    if (ExitCode === null) throw new RuntimeError("Unavailable", Running ? "the connection to the container was lost" : `cannot start ${command.join(" ")}`);
    return ExitCode;
  }

  async execSync(id: string, command: readonly string[], { timeoutMs, maxBytes }: { readonly timeoutMs: number; readonly maxBytes: number }): Promise<{ exitCode: number; output: string }> {
    const exec = await ask("Unavailable", () => this.#docker.getContainer(id).exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true }));
    const connection = await ask("Unavailable", () => exec.start({ hijack: true, stdin: false }));
    const kept = new Kept(maxBytes);
    const stop = new AbortController();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      void killExec(exec).finally(() => stop.abort());
    }, timeoutMs);
    try {
      await this.#join(connection, { stdout: kept, stderr: kept, tty: false, signal: stop.signal }, () => Promise.resolve());
    } finally {
      clearTimeout(timer);
    }
    if (isLate) throw new RuntimeError("Timeout", `command "${command.join(" ")}" timed out after ${timeoutMs / 1000}s`);
    const { ExitCode } = await ask("Unavailable", () => exec.inspect());
    return { exitCode: ExitCode ?? -1, output: kept.text() };
  }

  async attach(id: string, streams: StreamOptions): Promise<void> {
    const container = this.#docker.getContainer(id);
    const options = { stream: true, hijack: true, stdin: streams.stdin !== undefined, stdout: streams.stdout !== undefined, stderr: streams.stderr !== undefined };
    const connection = await ask("Unavailable", () => container.attach(options));
    await this.#join(connection as unknown as Duplex, streams, (size) => container.resize(size));
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const info = await ask("NotFound", () => this.#docker.getContainer(sandboxId).inspect());
    const label = decodeLabels(info.Config.Labels);
    if (label?.type === "sandbox" && label.hostNetwork) return connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    return throughNamespace(info.State.Pid, port);
  }

  /** Copies between a hijacked connection and the caller's streams until the container's side is done. */
  async #join(connection: Duplex, streams: StreamOptions, resize: (size: { h: number; w: number }) => Promise<unknown>): Promise<void> {
    const { stdin, stdout, stderr, tty, signal } = streams;
    const stop = (): void => void connection.destroy();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const output = tty ? new Undivided(stdout) : new Demultiplexer(stdout, stderr);
    const done = new Promise<void>((resolve) => output.once("finish", resolve));
    connection.pipe(output);
    // Where it broke off there is no end to be passed on.
    connection.once("error", () => output.end());
    connection.once("close", () => connection.readableEnded || output.end());
    if (connection.destroyed) output.end();
    if (stdin) feed(stdin, connection);
    if (streams.resize) void resizeAll(streams.resize, resize).catch(() => undefined);
    await done;
    signal.removeEventListener("abort", stop);
  }
}

/** Passes the end of stdin on as a half-close. */
function feed(stdin: Readable, connection: Duplex): void {
  stdin.pipe(connection, { end: false });
  stdin.once("end", () => connection.end());
  connection.once("close", () => stdin.unpipe(connection));
}

async function resizeAll(sizes: AsyncIterable<TerminalSize>, resize: (size: { h: number; w: number }) => Promise<unknown>): Promise<void> {
  for await (const { width, height } of sizes) await resize({ h: height, w: width }).catch(() => undefined);
}

/** The engine has no call to end an exec, but tells its process. */
async function killExec(exec: Docker.Exec): Promise<void> {
  const { Pid } = await exec.inspect();
  if (Pid > 0) process.kill(Pid, "SIGKILL");
}

/** A terminal's one output. */
class Undivided extends Writable {
  constructor(private readonly target: Writable | undefined) {
    super();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.target?.writable) return done();
    this.target.write(chunk, () => done());
  }
}

/** Keeps the first bytes of what is written. */
class Kept extends Writable {
  readonly #chunks: Buffer[] = [];
  #room: number;

  constructor(maxBytes: number) {
    super();
    this.#room = maxBytes;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const kept = chunk.subarray(0, this.#room);
    this.#room -= kept.length;
    if (kept.length > 0) this.#chunks.push(Buffer.from(kept));
    done();
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

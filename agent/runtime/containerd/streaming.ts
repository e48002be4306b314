// Live connections into containers over CRI: calls for a URL, then streams from there.
// The protocols on that URL are `upgrade.ts`.
import type { Duplex } from "node:stream";
import { RuntimeError, type StreamOptions, type Streaming } from "../runtime.ts";
import type { CriClient, CriMethod } from "./cri.ts";
import { forwardPort, openSpdy, remoteCommand } from "./upgrade.ts";

const REMOTE_COMMAND = "v4.channel.k8s.io";
const PORT_FORWARD = "portforward.k8s.io";
/** The runtime gives up by itself when the time is over; after that it still has this long to answer. */
const EXEC_MARGIN_MS = 5_000;

/** Streaming on CRI. */
export class CriStreaming implements Streaming {
  readonly #cri: CriClient;

  constructor(cri: CriClient) {
    this.#cri = cri;
  }

  async exec(id: string, command: readonly string[], streams: StreamOptions): Promise<number> {
    return this.#remoteCommand("exec", { containerId: id, cmd: command }, streams);
  }

  async attach(id: string, streams: StreamOptions): Promise<void> {
    await this.#remoteCommand("attach", { containerId: id }, streams);
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const url = await this.#url("portForward", { podSandboxId: sandboxId, port: [port] });
    return forwardPort(await openSpdy(url, PORT_FORWARD), port);
  }

  async execSync(id: string, command: readonly string[], { timeoutMs, maxBytes }: { readonly timeoutMs: number; readonly maxBytes: number }): Promise<{ exitCode: number; output: string }> {
    const timeout = Math.max(1, Math.ceil(timeoutMs / 1000));
    const call = this.#cri.call<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }>("execSync", { containerId: id, cmd: command, timeout }, { timeoutMs: timeout * 1000 + EXEC_MARGIN_MS });
    const { stdout, stderr, exitCode } = await call.catch((error: Error) => Promise.reject(isTimeout(error) ? new RuntimeError("Timeout", `command "${command.join(" ")}" timed out after ${timeout}s`, { cause: error }) : error));
    return { exitCode, output: Buffer.concat([stdout, stderr]).subarray(0, maxBytes).toString() };
  }

  async #remoteCommand(method: CriMethod, target: object, streams: StreamOptions): Promise<number> {
    const { tty } = streams;
    const wanted = { tty, stdin: streams.stdin !== undefined, stdout: streams.stdout !== undefined, stderr: !tty && streams.stderr !== undefined };
    const url = await this.#url(method, { ...target, ...wanted });
    return remoteCommand(await openSpdy(url, REMOTE_COMMAND, streams.signal), streams);
  }

  async #url(method: CriMethod, request: object): Promise<string> {
    return (await this.#cri.call<{ url: string }>(method, request)).url;
  }
}

/** Not all runtimes use gRPC's code for it. */
function isTimeout(error: Error): boolean {
  return (error instanceof RuntimeError && error.reason === "Timeout") || /timeout .* exceeded|context deadline exceeded/.test(error.message);
}

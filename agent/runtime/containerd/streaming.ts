// Live connections into containers over CRI's streaming endpoint.
// The wire protocols are in `agent/streams/`.
import type { Duplex } from "node:stream";
import { type StreamOptions, type Streaming, RuntimeError } from "../runtime.ts";
import type { CriClient } from "./cri.ts";

/** Streaming on CRI. */
export class CriStreaming implements Streaming {
  readonly #cri: CriClient;

  constructor(cri: CriClient) {
    this.#cri = cri;
  }

  exec(_id: string, _command: readonly string[], _streams: StreamOptions): Promise<number> {
    throw new RuntimeError("Unavailable", "not yet");
  }

  async execSync(id: string, command: readonly string[], { timeoutMs, maxBytes }: { readonly timeoutMs: number; readonly maxBytes: number }): Promise<{ exitCode: number; output: string }> {
    const timeout = Math.max(1, Math.ceil(timeoutMs / 1000));
    const { stdout, stderr, exitCode } = await this.#cri.call<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }>("execSync", { containerId: id, cmd: command, timeout }, { timeoutMs: timeout * 1000 + 5_000 });
    return { exitCode, output: Buffer.concat([stdout, stderr]).subarray(0, maxBytes).toString() };
  }

  attach(_id: string, _streams: StreamOptions): Promise<void> {
    throw new RuntimeError("Unavailable", "not yet");
  }

  portForward(_sandboxId: string, _port: number): Promise<Duplex> {
    throw new RuntimeError("Unavailable", "not yet");
  }
}

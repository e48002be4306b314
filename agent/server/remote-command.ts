// Exec, attach and run: a client's streams joined to a container's.
// The streams' protocols are `remote-streams.ts`; which container is `containers.ts`.
import { type StreamOptions, type Streaming, RuntimeError } from "../runtime/runtime.ts";
import { openRemoteStreams, type RemoteStatus, type RemoteStreams, type WantedStreams } from "./remote-streams.ts";
import type { Upgrade } from "./upgrade.ts";

/** Reads `input`, `output`, `error`, `tty` (the node's names) or `stdin`, `stdout`, `stderr` (the pod subresource's); undefined when none is asked for. */
export function wantedStreams(query: URLSearchParams): WantedStreams | undefined {
  const isSet = (...names: string[]): boolean => names.some((name) => ["1", "true"].includes(query.get(name) ?? ""));
  const tty = isSet("tty");
  const wanted = { stdin: isSet("input", "stdin"), stdout: isSet("output", "stdout"), stderr: isSet("error", "stderr") && !tty, tty };
  return wanted.stdin || wanted.stdout || wanted.stderr ? wanted : undefined;
}

/** Runs a command in a container for the client; resolves when the client has been told how it ended. */
export async function serveExec(upgrade: Upgrade, wanted: WantedStreams, target: { readonly streaming: Streaming; readonly containerId: string; readonly command: readonly string[] }): Promise<void> {
  const streams = await openRemoteStreams(upgrade, wanted);
  if (!streams) return;
  const run = target.streaming.exec(target.containerId, target.command, streamOptions(streams, wanted));
  await streams.finish(await run.then((code) => exitStatus(code, target.command), (error: unknown) => failure(`error executing command in container: ${messageOf(error)}`)));
}

/** Joins the client to a container's first process; resolves when either is done. */
export async function serveAttach(upgrade: Upgrade, wanted: WantedStreams, target: { readonly streaming: Streaming; readonly containerId: string }): Promise<void> {
  const streams = await openRemoteStreams(upgrade, wanted);
  if (!streams) return;
  const run = target.streaming.attach(target.containerId, streamOptions(streams, wanted));
  await streams.finish(await run.then((): RemoteStatus => ({ status: "Success" }), (error: unknown) => failure(`error attaching to container: ${messageOf(error)}`)));
}

function streamOptions({ stdin, stdout, stderr, resize, gone }: RemoteStreams, { tty }: WantedStreams): StreamOptions {
  return { stdin, stdout, stderr, resize, tty, signal: gone };
}

function exitStatus(code: number, command: readonly string[]): RemoteStatus {
  if (code === 0) return { status: "Success" };
  return {
    status: "Failure",
    message: `command terminated with non-zero exit code: error executing command [${command.join(" ")}], exit code ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

function failure(message: string): RemoteStatus {
  return { status: "Failure", message: `Internal error occurred: ${message}`, reason: "InternalError", code: 500 };
}

function messageOf(error: unknown): string {
  return error instanceof RuntimeError || error instanceof Error ? error.message : String(error);
}

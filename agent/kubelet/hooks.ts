// Lifecycle handlers (postStart, preStop): exec, HTTP and sleep.
// When to run them is `start.ts`'s and `kill.ts`'s business.
import type { Container, LifecycleHandler } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { unlessAborted } from "./interrupt.ts";
import type { Streaming } from "../runtime/runtime.ts";

/** The handler failed; the message may hold the container's output and is not for events. */
export class HookError extends Error {
  override readonly name = "HookError";
}

export interface HookInput {
  readonly handler: LifecycleHandler;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly signal: AbortSignal;
}

const MAX_OUTPUT_BYTES = 10 * 1024;
/** Long enough to never end a hook before its grace period does. */
const EXEC_TIMEOUT_MS = 24 * 3_600_000;

/** Runs the handler to its end; rejects with HookError when it fails. */
export async function runHook({ streaming, clock }: { streaming: Streaming; clock: Clock }, input: HookInput): Promise<void> {
  const { exec, httpGet, sleep } = input.handler;
  if (exec) {
    const command = exec.command ?? [];
    const result = await unlessAborted(streaming.execSync(input.containerId, command, { timeoutMs: EXEC_TIMEOUT_MS, maxBytes: MAX_OUTPUT_BYTES }), input.signal);
    if (!result) return;
    const { exitCode, output } = result;
    if (exitCode !== 0) throw new HookError(`Exec lifecycle hook ([${command.join(" ")}]) for Container "${input.container.name}" failed - error: command exited with ${exitCode}, message: ${JSON.stringify(output)}`);
    return;
  }
  if (httpGet) return request(input, httpGet);
  if (sleep) await clock.sleep(sleep.seconds * 1000, input.signal);
}

async function request(input: HookInput, get: NonNullable<LifecycleHandler["httpGet"]>): Promise<void> {
  const url = httpUrl(get, input.container, input.podIp);
  try {
    const response = await fetch(url, { headers: headersOf(get), signal: input.signal, redirect: "manual", tls: { rejectUnauthorized: false } });
    await response.body?.cancel();
    if (response.status >= 400) throw new HookError(`HTTP lifecycle hook (${get.path ?? ""}) for Container "${input.container.name}" failed - HTTP status code: ${response.status}`);
  } catch (error) {
    if (error instanceof HookError) throw error;
    throw new HookError(`HTTP lifecycle hook (${get.path ?? ""}) for Container "${input.container.name}" failed: ${(error as Error).message}`, { cause: error });
  }
}

/** The URL a handler or probe asks; named ports are looked up in the container. */
export function httpUrl(get: NonNullable<LifecycleHandler["httpGet"]>, container: Container, podIp: string): string {
  const host = get.host || podIp;
  const path = get.path ?? "/";
  return `${(get.scheme ?? "HTTP").toLowerCase()}://${host.includes(":") ? `[${host}]` : host}:${portOf(get.port, container)}${path.startsWith("/") ? path : `/${path}`}`;
}

export function headersOf(get: NonNullable<LifecycleHandler["httpGet"]>): [string, string][] {
  return (get.httpHeaders ?? []).map(({ name, value }) => [name, value]);
}

/** A port by number or by the name it has in the container; throws when there is none of that name. */
export function portOf(port: number | string, container: Container): number {
  if (typeof port === "number") return port;
  if (/^\d+$/.test(port)) return Number(port);
  const named = container.ports?.find((candidate) => candidate.name === port);
  if (!named) throw new HookError(`couldn't find port: ${port} in container ${container.name}`);
  return named.containerPort;
}

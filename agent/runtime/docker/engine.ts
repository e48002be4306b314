// The Docker Engine's API with failures as RuntimeError.
// dockerode does the HTTP; what is asked is the callers'.
import Docker from "dockerode";
import { RuntimeError } from "../runtime.ts";

type Reason = RuntimeError["reason"];

/** An engine on a socket. */
export function connectDocker(socketPath: string): Docker {
  return new Docker({ socketPath });
}

/** Runs a call; rejects with RuntimeError of `reason` unless the status code says something better. */
export async function ask<T>(reason: Reason, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    throw new RuntimeError(statusCode(error) === undefined ? "Unavailable" : reason, messageOf(error), { cause: error });
  }
}

/** As `ask`, with undefined where what was asked about does not exist (404) or is so already (304). */
export async function askIfPresent<T>(reason: Reason, call: () => Promise<T>): Promise<T | undefined> {
  return ask(reason, async () => {
    try {
      return await call();
    } catch (error) {
      if (statusCode(error) === 404 || statusCode(error) === 304) return undefined;
      throw error;
    }
  });
}

/** The engine's HTTP status code; undefined when it did not answer. */
export function statusCode(error: unknown): number | undefined {
  return (error as { statusCode?: number }).statusCode;
}

/** What the engine said, without dockerode's prefix. */
export function messageOf(error: unknown): string {
  return (error as { json?: { message?: string } }).json?.message ?? (error as Error).message.replace(/^\(HTTP code \d+\) [a-z ]+ - /, "").trim();
}

// Running host commands as an injected dependency, so that rules can be tested without root.

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command to its end; never throws for a non-zero exit. */
export type Exec = (command: readonly string[], options?: { readonly stdin?: string; readonly timeoutMs?: number; /** Its abort ends the command, where that has a timeout. */ readonly signal?: AbortSignal; readonly env?: Readonly<Record<string, string>> }) => Promise<ExecResult>;

/** A command that exited with another code than 0 where success was needed. */
export class ExecError extends Error {
  override readonly name = "ExecError";
  constructor(readonly command: readonly string[], readonly result: ExecResult) {
    super(`${command.join(" ")} exited ${result.exitCode}: ${(result.stderr || result.stdout).trim()}`);
  }
}

/** As shells tell of who was ended by SIGKILL. */
const KILLED = 137;

/** Administrators' commands are not on everybody's path: not after Debian's `su`, not for a runtime's plugins. */
const SYSTEM_PATH = [...new Set([...(process.env["PATH"] ?? "").split(":").filter(Boolean), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])].join(":");

/** Runs on this machine; a command that is not installed exits 127. One that takes too long, or is not wanted any more, is killed with all it started. */
export const hostExec: Exec = async (command, options = {}) => {
  const { stdin, timeoutMs, env } = options;
  let child;
  try {
    child = Bun.spawn([...command], {
      stdin: stdin === undefined ? "ignore" : new TextEncoder().encode(stdin),
      stdout: "pipe", stderr: "pipe",
      // A group of its own, so that whoever it starts can be ended with it.
      detached: timeoutMs !== undefined,
      env: { ...process.env, PATH: SYSTEM_PATH, ...env },
    });
  } catch (error) {
    return { exitCode: 127, stdout: "", stderr: `${command[0]}: ${(error as Error).message}` };
  }
  const ended = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]).then(([stdout, stderr, exitCode]) => ({ exitCode, stdout, stderr }));
  return timeoutMs === undefined ? ended : within(ended, child, { timeoutMs, signal: options.signal });
};

/** Not even its output is waited for then: a child that the kernel does not let end keeps it open. */
async function within(ended: Promise<ExecResult>, child: Bun.Subprocess, { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined }): Promise<ExecResult> {
  const late = Promise.withResolvers<ExecResult>();
  const giveUp = (stderr: string): void => {
    killGroup(child.pid);
    child.unref();
    late.resolve({ exitCode: KILLED, stdout: "", stderr });
  };
  const onAbort = (): void => giveUp("is not wanted any more");
  const timer = setTimeout(() => giveUp(`did not end within ${timeoutMs / 1000} seconds`), timeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    return await Promise.race([ended, late.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}

/** Runs and returns stdout; throws ExecError unless it exits 0. */
export async function run(exec: Exec, command: readonly string[], options?: Parameters<Exec>[1]): Promise<string> {
  const result = await exec(command, options);
  if (result.exitCode !== 0) throw new ExecError(command, result);
  return result.stdout;
}

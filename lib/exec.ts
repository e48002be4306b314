// Running host commands as an injected dependency, so that rules can be tested without root.

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command to its end; never throws for a non-zero exit. */
export type Exec = (command: readonly string[], options?: { readonly stdin?: string; readonly timeoutMs?: number; readonly env?: Readonly<Record<string, string>> }) => Promise<ExecResult>;

/** A command that exited with another code than 0 where success was needed. */
export class ExecError extends Error {
  override readonly name = "ExecError";
  constructor(readonly command: readonly string[], readonly result: ExecResult) {
    super(`${command.join(" ")} exited ${result.exitCode}: ${(result.stderr || result.stdout).trim()}`);
  }
}

/** Administrators' commands are not on everybody's path: not after Debian's `su`, not for a runtime's plugins. */
const SYSTEM_PATH = [...new Set([...(process.env["PATH"] ?? "").split(":").filter(Boolean), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])].join(":");

/** Runs on this machine; a command that is not installed exits 127. */
export const hostExec: Exec = async (command, options = {}) => {
  let child;
  try {
    child = Bun.spawn([...command], {
      stdin: options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin),
      stdout: "pipe", stderr: "pipe",
      ...(options.timeoutMs !== undefined && { timeout: options.timeoutMs, killSignal: "SIGKILL" as const }),
      env: { ...process.env, PATH: SYSTEM_PATH, ...options.env },
    });
  } catch (error) {
    return { exitCode: 127, stdout: "", stderr: `${command[0]}: ${(error as Error).message}` };
  }
  const [stdout, stderr, exitCode] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { exitCode, stdout, stderr };
};

/** Runs and returns stdout; throws ExecError unless it exits 0. */
export async function run(exec: Exec, command: readonly string[], options?: Parameters<Exec>[1]): Promise<string> {
  const result = await exec(command, options);
  if (result.exitCode !== 0) throw new ExecError(command, result);
  return result.stdout;
}

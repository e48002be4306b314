// Kernel parameters of the current network namespace, set in one process and only when they differ.
// Goes through /proc/sys and a shell, because `sysctl` itself is not installed everywhere.
import { ExecError, type Exec } from "../../lib/exec.ts";

const SET = 'while [ $# -gt 1 ]; do [ "$(cat "/proc/sys/$1")" = "$2" ] || echo "$2" > "/proc/sys/$1" || exit 1; shift 2; done';

/** Sets parameters, keys spelled with slashes (`net/ipv4/ip_forward`); throws ExecError naming the one refused. */
export async function setSysctls(exec: Exec, values: Readonly<Record<string, string>>): Promise<void> {
  const command = ["sh", "-c", SET, "sysctl", ...Object.entries(values).flat()];
  const result = await exec(command);
  if (result.exitCode !== 0) throw new ExecError(["sysctl", ...Object.entries(values).map(([key, value]) => `${key}=${value}`)], result);
}

/** Reads one parameter; undefined when the kernel does not have it. */
export async function readSysctl(exec: Exec, key: string): Promise<string | undefined> {
  const result = await exec(["cat", `/proc/sys/${key}`]);
  return result.exitCode === 0 ? result.stdout.trim() : undefined;
}

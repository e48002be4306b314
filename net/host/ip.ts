// iproute2 as data: batches of `ip` commands in one process, and its JSON answers.
// What links and routes should exist is decided by callers.
import { ExecError, type Exec } from "../../lib/exec.ts";

/** Where a command runs: the caller's own network namespace, or the one bound at a path. */
export interface Netns {
  readonly netns?: string;
}

/** A link as `ip -json link` shows it. */
export interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly operstate: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: Readonly<Record<string, unknown>> };
  readonly addr_info?: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

/** A route as `ip -json route` shows it. */
export interface Route {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly protocol?: string;
  readonly flags?: readonly string[];
}

const ABSENT = /Cannot find device|does not exist|No such (?:device|process|file)|Cannot assign requested address|Cannot open network namespace/;

/** Runs lines of `ip` arguments in one process, stopping at the first failure; throws ExecError. */
export async function ipBatch(exec: Exec, lines: readonly string[], { netns }: Netns = {}): Promise<void> {
  if (lines.length === 0) return;
  const command = inNetns(["ip", "-batch", "-"], netns);
  const result = await exec(command, { stdin: `${lines.join("\n")}\n` });
  if (result.exitCode !== 0) throw new ExecError([...command, `<<< ${lines.join("; ")}`], result);
}

/** Runs one deletion; something already gone is success. */
export async function ipDelete(exec: Exec, args: readonly string[], { netns }: Netns = {}): Promise<void> {
  const command = inNetns(["ip", ...args], netns);
  const result = await exec(command);
  if (result.exitCode !== 0 && !ABSENT.test(result.stderr)) throw new ExecError(command, result);
}

/** The link with its addresses and details, or undefined when there is none. */
export async function showLink(exec: Exec, name: string, { netns }: Netns = {}): Promise<Link | undefined> {
  const command = inNetns(["ip", "-json", "-details", "address", "show", "dev", name], netns);
  const result = await exec(command);
  if (result.exitCode !== 0) {
    if (ABSENT.test(result.stderr)) return undefined;
    throw new ExecError(command, result);
  }
  return (JSON.parse(result.stdout) as Link[]).find((link) => link.ifname === name);
}

/** Every route of the main table for one family. */
export async function listRoutes(exec: Exec, family: 4 | 6, { netns }: Netns = {}): Promise<Route[]> {
  const command = inNetns(["ip", `-${family}`, "-json", "route", "show"], netns);
  const result = await exec(command);
  if (result.exitCode !== 0) throw new ExecError(command, result);
  return JSON.parse(result.stdout || "[]") as Route[];
}

/** Whether a failed `ip` call said that its object is not there. */
export function isAbsent(error: unknown): boolean {
  return error instanceof ExecError && ABSENT.test(error.result.stderr);
}

/** Prefixes a command so that it runs in a network namespace; `nsenter` leaves /sys mounted as it was. */
export function inNetns(command: readonly string[], netns: string | undefined): string[] {
  return netns === undefined ? [...command] : ["nsenter", `--net=${netns}`, ...command];
}

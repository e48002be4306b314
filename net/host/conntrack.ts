// Removal of connection tracking entries that would keep sending UDP to a place that is gone.
// A machine without the `conntrack` tool keeps working; its stale UDP flows end by their own timeout.
import { ExecError, type Exec } from "../../lib/exec.ts";

/** Which entries to forget: those whose original packets went to this address and port, and were sent on to `replySource`. */
export interface ConntrackFilter {
  readonly protocol: "udp" | "sctp" | "tcp";
  readonly destination?: string;
  readonly destinationPort?: number;
  readonly replySource?: string;
}

/** Forgets matching entries; none matching is success. Throws ExecError when the tool is there but fails. */
export async function forgetConnections(exec: Exec, filter: ConntrackFilter): Promise<void> {
  const command = ["conntrack", "-D", "-p", filter.protocol, ...option("--orig-dst", filter.destination), ...option("--dport", filter.destinationPort), ...option("--reply-src", filter.replySource)];
  const result = await exec(command);
  if (result.exitCode === 0 || result.exitCode === 127 || /\b0 flow entries/.test(result.stderr)) return;
  throw new ExecError(command, result);
}

function option(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [name, String(value)];
}

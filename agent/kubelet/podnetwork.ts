// What has passed the network interfaces of the node or of one pod, as the kernel counts it.
import { readFile } from "node:fs/promises";

/** One interface; totals since it was made. */
export interface InterfaceFigures {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** The interfaces a process sees, loopback left out; none once it has ended. */
export async function interfacesOf(pid: number | "self"): Promise<InterfaceFigures[]> {
  return parseInterfaces(await readFile(`/proc/${pid}/net/dev`, "utf8").catch(() => ""));
}

/** The lines of `/proc/net/dev`. */
export function parseInterfaces(content: string): InterfaceFigures[] {
  return content.split("\n").flatMap((line) => {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (!match || match[1] === "lo") return [];
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0, , , , , txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = (match[2] as string).trim().split(/\s+/).map(Number);
    return [{ name: match[1] as string, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }];
  });
}

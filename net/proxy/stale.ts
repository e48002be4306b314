// UDP flows that conntrack still sends to an endpoint their Service no longer has.
// Pure; TCP ends by itself, but a UDP client that keeps sending would never be moved.
import type { ConntrackFilter } from "../host/conntrack.ts";
import { joinHostPort, type UdpPort } from "./compile.ts";

/** What to forget, each filter once, given `conntrack -L` lines and the UDP ports that changed. */
export function staleFlows(listing: string, ports: readonly UdpPort[]): ConntrackFilter[] {
  const frontends = new Map<string, ReadonlySet<string>>();
  const nodePorts = new Map<string, ReadonlySet<string>>();
  for (const { frontends: addresses, nodePort, serving } of ports) {
    // Without endpoints new packets are refused anyway, and old flows harm nobody.
    if (serving.size === 0) continue;
    for (const address of addresses) frontends.set(address, serving);
    if (nodePort !== 0) nodePorts.set(String(nodePort), serving);
  }
  const filters = new Map<string, ConntrackFilter>();
  for (const flow of listing.split("\n").map(parseFlow)) {
    if (!flow) continue;
    const serving = frontends.get(joinHostPort(flow.destination, flow.destinationPort)) ?? nodePorts.get(flow.destinationPort);
    if (!serving || serving.has(joinHostPort(flow.replySource, flow.replyPort))) continue;
    filters.set(`${flow.destination} ${flow.destinationPort} ${flow.replySource}`, { protocol: "udp", destination: flow.destination, destinationPort: Number(flow.destinationPort), replySource: flow.replySource });
  }
  return [...filters.values()];
}

interface Flow {
  readonly destination: string;
  readonly destinationPort: string;
  readonly replySource: string;
  readonly replyPort: string;
}

/** One `conntrack -L` line: the original direction's fields come first, the reply's second. */
function parseFlow(line: string): Flow | undefined {
  if (!line.startsWith("udp")) return undefined;
  const values = (key: string): string[] => [...line.matchAll(new RegExp(`\\b${key}=(\\S+)`, "g"))].map((match) => match[1] as string);
  const [, replySource] = values("src");
  const [destination] = values("dst");
  const [, replyPort] = values("sport");
  const [destinationPort] = values("dport");
  return destination && destinationPort && replySource && replyPort ? { destination, destinationPort, replySource, replyPort } : undefined;
}

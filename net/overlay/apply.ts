// A route plan on this machine: routes under our own protocol number, one VXLAN link, its neighbours.
// Only what differs is written; routes of others are never touched.
import { ExecError, type Exec } from "../../lib/exec.ts";
import { ipBatch, ipDelete, showLink } from "../host/ip.ts";
import type { RoutePlan, Tunnel, Uplink } from "./plan.ts";

export const TUNNEL_LINK = "minik8s-vxlan";
/** Marks our routes; in the range iproute2 leaves to administrators. */
export const ROUTE_PROTOCOL = 108;
const VXLAN_ID = 1;
const VXLAN_PORT = 8472;

/** The link that holds an address, with its subnets. Throws when no link does. */
export async function findUplink(exec: Exec, nodeName: string, nodeIp: string): Promise<Uplink> {
  const command = ["ip", "-json", "address", "show"];
  const result = await exec(command);
  if (result.exitCode !== 0) throw new ExecError(command, result);
  const links = JSON.parse(result.stdout) as { ifname: string; mtu: number; addr_info: { local: string; prefixlen: number }[] }[];
  const link = links.find((candidate) => candidate.addr_info?.some((own) => own.local === nodeIp));
  if (!link) throw new Error(`no network link of this machine holds the node's address ${nodeIp}`);
  return { nodeName, nodeIp, device: link.ifname, mtu: link.mtu, subnets: link.addr_info.map((own) => `${own.local}/${own.prefixlen}`) };
}

/** Brings routes and tunnel to the plan; safe to repeat. */
export async function applyRoutes(exec: Exec, plan: RoutePlan, uplink: Uplink): Promise<void> {
  if (plan.tunnel) await ensureTunnel(exec, plan.tunnel, uplink);
  const wanted = new Map<string, string>([
    ...plan.direct.map(({ dst, via }) => [dst, `via ${via} dev ${uplink.device}`] as const),
    ...(plan.tunnel?.peers ?? []).map(({ dst, gateway }) => [dst, `via ${gateway} dev ${TUNNEL_LINK} onlink`] as const),
  ]);
  const existing = await ownRoutes(exec);
  await ipBatch(exec, [
    ...[...existing.keys()].filter((dst) => !wanted.has(dst)).map((dst) => `route del ${dst} proto ${ROUTE_PROTOCOL}`),
    ...[...wanted].filter(([dst, path]) => existing.get(dst) !== path).map(([dst, path]) => `route replace ${dst} ${path} proto ${ROUTE_PROTOCOL}`),
  ]);
  if (!plan.tunnel) await ipDelete(exec, ["link", "delete", "dev", TUNNEL_LINK]);
}

/** Takes our routes and the tunnel away; absence is success. */
export async function removeRoutes(exec: Exec): Promise<void> {
  await ipBatch(exec, [...(await ownRoutes(exec)).keys()].map((dst) => `route del ${dst} proto ${ROUTE_PROTOCOL}`));
  await ipDelete(exec, ["link", "delete", "dev", TUNNEL_LINK]);
}

async function ensureTunnel(exec: Exec, tunnel: Tunnel, uplink: Uplink): Promise<void> {
  const link = await showLink(exec, TUNNEL_LINK);
  const data = link?.linkinfo?.info_data;
  const fits = link?.address === tunnel.mac && data?.["local"] === uplink.nodeIp && data?.["port"] === VXLAN_PORT;
  if (link && !fits) await ipDelete(exec, ["link", "delete", "dev", TUNNEL_LINK]);
  await ipBatch(exec, [
    ...(fits ? [] : [`link add name ${TUNNEL_LINK} address ${tunnel.mac} type vxlan id ${VXLAN_ID} local ${uplink.nodeIp} dev ${uplink.device} dstport ${VXLAN_PORT} nolearning`]),
    `link set dev ${TUNNEL_LINK} mtu ${tunnel.mtu} up`,
    `address replace ${tunnel.address}/32 dev ${TUNNEL_LINK}`,
    ...tunnel.peers.map((peer) => `neighbour replace ${peer.gateway} lladdr ${peer.mac} dev ${TUNNEL_LINK} nud permanent`),
    ...(await goneNeighbours(exec, tunnel)).map((address) => `neighbour del ${address} dev ${TUNNEL_LINK}`),
  ]);
  await forwardTo(exec, tunnel);
}

/** Which underlay address each tunnel end is at; entries of nodes that are gone go too. */
async function forwardTo(exec: Exec, tunnel: Tunnel): Promise<void> {
  const existing = await runJson<{ mac: string; dst?: string }[]>(exec, ["bridge", "-json", "fdb", "show", "dev", TUNNEL_LINK]);
  const wanted = new Map(tunnel.peers.map((peer) => [peer.mac, peer.nodeIp]));
  const gone = existing.filter((entry) => entry.dst && wanted.get(entry.mac) !== entry.dst);
  const missing = [...wanted].filter(([mac, dst]) => !existing.some((entry) => entry.mac === mac && entry.dst === dst));
  const lines = [...gone.map(({ mac, dst }) => `fdb del ${mac} dev ${TUNNEL_LINK} dst ${dst} self`), ...missing.map(([mac, dst]) => `fdb replace ${mac} dev ${TUNNEL_LINK} dst ${dst} self permanent`)];
  if (lines.length === 0) return;
  const command = ["bridge", "-batch", "-"];
  const result = await exec(command, { stdin: `${lines.join("\n")}\n` });
  if (result.exitCode !== 0) throw new ExecError([...command, `<<< ${lines.join("; ")}`], result);
}

async function goneNeighbours(exec: Exec, tunnel: Tunnel): Promise<string[]> {
  if (!(await showLink(exec, TUNNEL_LINK))) return [];
  const wanted = new Set(tunnel.peers.map((peer) => peer.gateway));
  const existing = await runJson<{ dst: string; state?: string[] }[]>(exec, ["ip", "-4", "-json", "neighbour", "show", "dev", TUNNEL_LINK]);
  return existing.filter((entry) => entry.state?.includes("PERMANENT") && !wanted.has(entry.dst)).map((entry) => entry.dst);
}

/** Our routes as the plan writes them. */
async function ownRoutes(exec: Exec): Promise<Map<string, string>> {
  const routes = (await Promise.all((["-4", "-6"] as const).map((family) => runJson<{ dst: string; gateway: string; dev: string; flags?: string[] }[]>(exec, ["ip", family, "-json", "route", "show", "proto", String(ROUTE_PROTOCOL)])))).flat();
  return new Map(routes.map((route) => [route.dst, `via ${route.gateway} dev ${route.dev}${route.flags?.includes("onlink") ? " onlink" : ""}`]));
}

async function runJson<T>(exec: Exec, command: readonly string[]): Promise<T> {
  const result = await exec(command);
  if (result.exitCode !== 0) throw new ExecError(command, result);
  return JSON.parse(result.stdout || "[]") as T;
}

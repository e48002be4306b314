// Names derived from a container: its host-side link, its hardware address, its iptables chains.
// Derived rather than stored, so that teardown needs nothing but the container's id.
import { createHash } from "node:crypto";
import { parseAddress } from "../lib/cidr.ts";

/** A kernel limit less one for the null byte. */
const MAX_CHAIN_LENGTH = 28;

/** The host side of a container's veth pair. */
export function hostLinkName(containerId: string, ifName: string): string {
  return `veth${digest("sha1", `${containerId}${ifName}`).slice(0, 8)}`;
}

/** A hardware address that follows from the IP, so that a reused address never meets a stale neighbour entry. */
export function hardwareAddress(ip: string): string {
  const value = parseAddress(ip)?.value ?? 0n;
  const low = [24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 255n).toString(16).padStart(2, "0"));
  return ["0a", "58", ...low].join(":");
}

/** The chain of one container of one network, `CNI-<infix><hash>`. */
export function chainName(infix: string, network: string, containerId: string): string {
  const prefix = `CNI-${infix}`;
  return prefix + digest("sha512", `${network}${containerId}`).slice(0, MAX_CHAIN_LENGTH - prefix.length);
}

function digest(algorithm: string, text: string): string {
  return createHash(algorithm).update(text).digest("hex");
}

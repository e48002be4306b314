// This machine's addresses and name, as a node or a control plane introduces itself.
import { readFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";

/** The IPv4 address of the interface the default route leaves through; else the first that is not loopback; else 127.0.0.1. */
export function defaultAddress(): string {
  const interfaces = networkInterfaces();
  const ofRoute = defaultRouteInterface();
  const candidates = [...(ofRoute ? (interfaces[ofRoute] ?? []) : []), ...Object.values(interfaces).flatMap((addresses) => addresses ?? [])];
  return candidates.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

/** Every IPv4 address of this machine, loopback included. */
export function allAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).filter(({ family }) => family === "IPv4").map(({ address }) => address));
}

/** This machine's name in the form a Node may have. */
export function machineName(): string {
  return hostname().toLowerCase().replaceAll(/[^a-z0-9.-]/g, "-").replaceAll(/^[.-]+|[.-]+$/g, "") || "node";
}

function defaultRouteInterface(): string | undefined {
  try {
    const rows = readFileSync("/proc/net/route", "utf8").split("\n").slice(1).map((row) => row.split("\t"));
    return rows.find(([, destination, , flags]) => destination === "00000000" && (Number.parseInt(flags ?? "0", 16) & 1) === 1)?.[0];
  } catch {
    return undefined;
  }
}

/** The address `index` places after a CIDR's base. */
export function nthAddress(cidr: string, index: number): string {
  const base = (cidr.split("/")[0] as string).split(".").reduce((sum, part) => sum * 256 + Number(part), 0) + index;
  return [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join(".");
}

/** The first usable address of a CIDR. */
export function firstAddress(cidr: string): string {
  return nthAddress(cidr, 1);
}

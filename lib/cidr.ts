// IP addresses and CIDR ranges, IPv4 and IPv6, as numbers one can count with.
// Knows nothing of pods or services; who owns which range is decided elsewhere.
import { isIPv4, isIPv6 } from "node:net";

/** One address; `value` is its bits as a number. */
export interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** A range; `address` keeps its host bits, as `10.0.0.5/24` does. */
export interface Cidr {
  readonly address: Address;
  readonly prefix: number;
}

/** Reads an address; undefined for anything else. IPv4-mapped IPv6 stays IPv6. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: BigInt(text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0)) };
  if (isIPv6(text) && !text.includes("%")) return { family: 6, value: parse6(text) };
  return undefined;
}

/** Canonical text: dotted quad, or RFC 5952 for IPv6. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  const run = longestZeroRun(groups);
  if (run.length < 2) return groups.join(":");
  return `${groups.slice(0, run.start).join(":")}::${groups.slice(run.start + run.length).join(":")}`;
}

/** Reads `address/prefix`; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const prefix = text.slice(slash + 1);
  if (!address || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits(address)) return undefined;
  return { address, prefix: Number(prefix) };
}

/** `address/prefix`, host bits kept. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.prefix}`;
}

/** The first address of a range: the one whose host bits are zero. */
export function networkAddress({ address, prefix }: Cidr): Address {
  const hostBits = BigInt(bits(address) - prefix);
  return { family: address.family, value: (address.value >> hostBits) << hostBits };
}

/** The last address of a range: for IPv4 its broadcast address. */
export function lastAddress(cidr: Cidr): Address {
  const size = 1n << BigInt(bits(cidr.address) - cidr.prefix);
  return { family: cidr.address.family, value: networkAddress(cidr).value + size - 1n };
}

/** The address `offset` after (or, when negative, before) this one. */
export function addressAfter(address: Address, offset: number | bigint = 1): Address {
  return { family: address.family, value: address.value + BigInt(offset) };
}

/** Whether a range holds an address; families never mix. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  return cidr.address.family === address.family && networkAddress(cidr).value <= address.value && address.value <= lastAddress(cidr).value;
}

/** Whether two ranges share an address. */
export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return cidrContains(a, networkAddress(b)) || cidrContains(b, networkAddress(a));
}

function bits(address: Address): number {
  return address.family === 4 ? 32 : 128;
}

function parse6(text: string): bigint {
  const [head = "", tail] = text.split("::");
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0n);
  return [...before, ...zeros, ...after].reduce((sum, group) => (sum << 16n) | group, 0n);
}

function groupsOf(text: string): bigint[] {
  return text.split(":").filter(Boolean).flatMap((group) => {
    const embedded = group.includes(".") ? parseAddress(group) : undefined;
    return embedded ? [embedded.value >> 16n, embedded.value & 0xffffn] : [BigInt(`0x${group}`)];
  });
}

function longestZeroRun(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

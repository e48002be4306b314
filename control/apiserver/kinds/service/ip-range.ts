// One range of cluster IPs: which addresses it offers, and in which order they are tried.
import { addressAfter, cidrContains, formatAddress, formatCidr, lastAddress, networkAddress, parseAddress, parseCidr, type Address, type Cidr } from "../../../../lib/cidr.ts";

export type Family = "IPv4" | "IPv6";

/** `IPv6` for addresses with a colon. */
export function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** A range and the addresses in it that services can have. */
export class IpRange {
  readonly family: Family;
  readonly text: string;
  readonly #first: Address;
  /** How many addresses there are, but for the network's own and IPv4's broadcast address. */
  readonly #size: bigint;
  /** The low end is left to those who ask by name, so that a random taker rarely stands in their way. */
  readonly #reserved: bigint;

  constructor(readonly cidr: Cidr) {
    this.family = cidr.address.family === 6 ? "IPv6" : "IPv4";
    this.text = formatCidr(cidr);
    this.#first = addressAfter(networkAddress(cidr));
    const offered = lastAddress(cidr).value - networkAddress(cidr).value - (this.family === "IPv4" ? 1n : 0n);
    this.#size = offered < 0n ? 0n : offered;
    this.#reserved = this.#size < 16n ? 0n : clamp(this.#size / 16n, 16n, 256n);
  }

  /** The range of a text; undefined for what is none. */
  static parse(text: string): IpRange | undefined {
    const cidr = parseCidr(text);
    return cidr && new IpRange(cidr);
  }

  /** How many addresses services can have. */
  get size(): number {
    return Number(this.#size);
  }

  contains(ip: string): boolean {
    const address = parseAddress(ip);
    return address !== undefined && cidrContains(this.cidr, address);
  }

  /** Whether a service can have this address. */
  offers(ip: string): boolean {
    const offset = (parseAddress(ip)?.value ?? -1n) - this.#first.value;
    return this.contains(ip) && offset >= 0n && offset < this.#size;
  }

  /** Every address once: the upper part from a random one on, then the lower part. */
  *candidates(): Generator<string> {
    yield* this.#from(this.#reserved, this.#size);
    yield* this.#from(0n, this.#reserved);
  }

  *#from(low: bigint, high: bigint): Generator<string> {
    const count = high - low;
    if (count <= 0n) return;
    const start = BigInt(Math.floor(Math.random() * Number(count)));
    for (let step = 0n; step < count; step++) yield formatAddress(addressAfter(this.#first, low + ((start + step) % count)));
  }
}

function clamp(value: bigint, least: bigint, most: bigint): bigint {
  if (value < least) return least;
  return value > most ? most : value;
}

// The cluster IPs of one address family: which ranges there are, which addresses services hold.
import { addressAfter, cidrContains, formatAddress, networkAddress, parseAddress, type Cidr } from "../../../../lib/cidr.ts";
import { Range, RangeError } from "./range.ts";

export type Family = "IPv4" | "IPv6";

/** Ranges beyond this many addresses are used only in their first part. */
const MAX_SIZE = 2 ** 20;

/** `IPv6` for addresses with a colon. */
export function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** Hands out the addresses of one range. */
export class ClusterIPs {
  readonly #range: Range;
  readonly #base: bigint;
  readonly family: Family;

  constructor(readonly cidr: Cidr) {
    this.family = cidr.address.family === 6 ? "IPv6" : "IPv4";
    this.#base = networkAddress(cidr).value;
    const hostBits = (this.family === "IPv6" ? 128 : 32) - cidr.prefix;
    const all = hostBits > 20 ? MAX_SIZE : 2 ** hostBits;
    // The network's own address is never a service's, nor is IPv4's broadcast address.
    const size = Math.max(0, all - (this.family === "IPv4" ? 2 : 1));
    this.#range = new Range({
      size, reserved: size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 16)), 256, size),
      outside: "the provided network does not match the current range", taken: "provided IP is already allocated",
    });
  }

  contains(ip: string): boolean {
    const address = parseAddress(ip);
    return address !== undefined && cidrContains(this.cidr, address);
  }

  /** Takes this address; throws RangeError. */
  take(ip: string): void {
    const offset = this.#offsetOf(ip);
    if (offset === undefined) throw new RangeError("the provided network does not match the current range");
    this.#range.take(offset);
  }

  /** Takes a free address; throws RangeFull. */
  takeAny(): string {
    return formatAddress(addressAfter(networkAddress(this.cidr), this.#range.takeAny() + 1));
  }

  has(ip: string): boolean {
    const offset = this.#offsetOf(ip);
    return offset !== undefined && this.#range.has(offset);
  }

  release(ip: string): void {
    const offset = this.#offsetOf(ip);
    if (offset !== undefined) this.#range.release(offset);
  }

  /** The first address of the range: the `kubernetes` service's. */
  get first(): string {
    return formatAddress(addressAfter(networkAddress(this.cidr)));
  }

  #offsetOf(ip: string): number | undefined {
    const address = parseAddress(ip);
    return address && cidrContains(this.cidr, address) ? Number(address.value - this.#base) - 1 : undefined;
  }
}

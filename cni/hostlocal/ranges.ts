// The addresses a range may hand out, and the order they are tried in.
// Pure: what is taken is the store's knowledge.
import { addressAfter, cidrContains, formatAddress, lastAddress, networkAddress, parseAddress, parseCidr, type Address, type Cidr } from "../../lib/cidr.ts";
import { CODE, CniError, type IpamConfig, type IpamRange } from "../types.ts";

/** A checked range: inclusive bounds within its subnet. */
export interface Range {
  readonly subnet: Cidr;
  readonly start: Address;
  readonly end: Address;
  readonly gateway: Address;
}

/** The range sets of a configuration; one address is handed out per set. Throws CniError for what makes no sense. */
export function rangeSets(ipam: IpamConfig): Range[][] {
  const { subnet, rangeStart, rangeEnd, gateway } = ipam;
  const short = subnet === undefined ? [] : [[{ subnet, ...(rangeStart && { rangeStart }), ...(rangeEnd && { rangeEnd }), ...(gateway && { gateway }) }]];
  const sets = [...short, ...(ipam.ranges ?? [])].map((set) => set.map(parseRange));
  if (sets.length === 0 || sets.some((set) => set.length === 0)) throw new CniError(CODE.invalidConfig, "no IP ranges specified");
  return sets;
}

/** The candidates of a set, each once, beginning after `last` and wrapping around; gateways are left out. */
export function* candidates(set: readonly Range[], last: Address | undefined): Generator<{ address: Address; range: Range }> {
  const at = last ? set.findIndex((range) => isWithin(range, last)) : -1;
  const first = set[Math.max(at, 0)] as Range;
  const begin = at < 0 || !last ? first.start : addressAfter(last);
  yield* span(first, begin, first.end);
  for (let step = 1; step < set.length; step++) {
    const range = set[(Math.max(at, 0) + step) % set.length] as Range;
    yield* span(range, range.start, range.end);
  }
  yield* span(first, first.start, addressAfter(begin, -1));
}

/** Whether a range may hand out an address. */
export function isWithin(range: Range, address: Address): boolean {
  return address.family === range.start.family && range.start.value <= address.value && address.value <= range.end.value;
}

function* span(range: Range, from: Address, to: Address): Generator<{ address: Address; range: Range }> {
  for (let address = from; address.value <= to.value; address = addressAfter(address)) {
    if (address.value !== range.gateway.value) yield { address, range };
  }
}

function parseRange(text: IpamRange): Range {
  const subnet = parseCidr(text.subnet ?? "");
  if (!subnet) throw new CniError(CODE.invalidConfig, `invalid subnet ${JSON.stringify(text.subnet)}`);
  const network = networkAddress(subnet);
  const size = lastAddress(subnet).value - network.value + 1n;
  if (size < 4n) throw new CniError(CODE.invalidConfig, `network ${text.subnet} too small to allocate from`);
  const bound = (value: string | undefined, fallback: Address): Address => {
    if (value === undefined) return fallback;
    const address = parseAddress(value);
    if (!address || !cidrContains(subnet, address)) throw new CniError(CODE.invalidConfig, `${value} not in network ${text.subnet}`);
    return address;
  };
  const gateway = bound(text.gateway, addressAfter(network));
  const start = bound(text.rangeStart, addressAfter(network));
  const end = bound(text.rangeEnd, addressAfter(lastAddress(subnet), subnet.address.family === 4 ? -1 : 0));
  if (start.value > end.value) throw new CniError(CODE.invalidConfig, `range start ${formatAddress(start)} is after its end ${formatAddress(end)}`);
  return { subnet: { address: network, prefix: subnet.prefix }, start, end, gateway };
}

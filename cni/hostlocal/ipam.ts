// host-local: hands out addresses of the node's own ranges and takes them back.
// Keeps no state but the store's files, so it survives any crash of its caller.
import { formatAddress, parseAddress, type Address } from "../../lib/cidr.ts";
import { CODE, CniError, type IpamConfig, type IpConfig, type Plugin, type PluginCall } from "../types.ts";
import { candidates, isWithin, rangeSets, type Range } from "./ranges.ts";
import { AddressStore, type Owner, type Reservation } from "./store.ts";

export const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

/** The host-local IPAM plugin. */
export const hostLocal: Plugin = {
  async add(call) {
    const ipam = ipamOf(call);
    const sets = rangeSets(ipam);
    const store = openStore(call, ipam);
    const ips = store.locked(() => allocate(store, sets, call));
    return { interfaces: [], ips, routes: ipam.routes ?? [], dns: {} };
  },
  async del(call) {
    const store = openStore(call, ipamOf(call));
    store.locked(() => store.list().filter((entry) => isOwner(entry, call)).forEach((entry) => store.release(entry.address)));
  },
  async check(call) {
    const store = openStore(call, ipamOf(call));
    const owned = store.locked(() => store.list().filter((entry) => isOwner(entry, call)));
    if (owned.length === 0) throw new CniError(CODE.unknownContainer, `host-local: failed to find address added by container ${call.containerId}`);
  },
  async gc(call) {
    const valid = new Set((call.config["cni.dev/valid-attachments"] ?? []).map((entry) => `${entry.containerID} ${entry.ifname}`));
    const store = openStore(call, ipamOf(call));
    releaseWhere(store, (entry) => !valid.has(`${entry.containerId} ${entry.ifName}`));
  },
  async status(call) {
    rangeSets(ipamOf(call));
  },
};

/** Which containers live, as of now; reservations younger than `graceMs` may be of one still being made. */
export interface Survivors {
  readonly dataDir?: string;
  readonly network: string;
  readonly liveContainerIds: ReadonlySet<string>;
  readonly graceMs?: number;
  readonly now: number;
}

/** Containers that hold an address though they are gone; what an agent asks once it has listed its sandboxes. */
export function leakedContainers({ dataDir = DEFAULT_DATA_DIR, network, liveContainerIds, graceMs = 60_000, now }: Survivors): string[] {
  const store = new AddressStore(dataDir, network);
  const leaked = store.locked(() => store.list().filter((entry) => !liveContainerIds.has(entry.containerId) && now - store.reservedAt(entry.address) >= graceMs));
  return [...new Set(leaked.map(({ containerId }) => containerId))];
}

/** One address from each set; when a later set is exhausted, what the earlier ones gave is taken back. */
function allocate(store: AddressStore, sets: readonly Range[][], call: PluginCall): IpConfig[] {
  const held = store.list().filter((entry) => isOwner(entry, call));
  const requested = (call.args["IP"] ?? "").split(",").filter(Boolean).map(parseAddress);
  const fresh: Address[] = [];
  try {
    return sets.map((set, index) => {
      const own = held.find((entry) => set.some((range) => isWithin(range, entry.address)));
      if (own) return describe(own.address, set);
      const wanted = requested.find((address) => address && set.some((range) => isWithin(range, address)));
      const address = wanted ? reserveExactly(store, wanted, call) : reserveNext(store, set, index, call);
      fresh.push(address);
      return describe(address, set);
    });
  } catch (error) {
    for (const address of fresh) store.release(address);
    throw error;
  }
}

function reserveNext(store: AddressStore, set: readonly Range[], index: number, owner: Owner): Address {
  for (const { address } of candidates(set, store.lastReserved(index))) {
    if (!store.reserve(address, owner)) continue;
    store.rememberLast(index, address);
    return address;
  }
  const ranges = set.map((range) => `${formatAddress(range.start)}-${formatAddress(range.end)}`).join(",");
  throw new CniError(CODE.tryAgainLater, `failed to allocate for range ${index}: no IP addresses available in range set: ${ranges}`);
}

function reserveExactly(store: AddressStore, address: Address, owner: Owner): Address {
  if (store.reserve(address, owner)) return address;
  throw new CniError(CODE.internal, `requested IP address ${formatAddress(address)} is not available`);
}

function describe(address: Address, set: readonly Range[]): IpConfig {
  const range = set.find((candidate) => isWithin(candidate, address)) as Range;
  return { address: `${formatAddress(address)}/${range.subnet.prefix}`, gateway: formatAddress(range.gateway) };
}

function releaseWhere(store: AddressStore, isLeaked: (entry: Reservation) => boolean): string[] {
  return store.locked(() => {
    const leaked = store.list().filter(isLeaked);
    for (const entry of leaked) store.release(entry.address);
    return leaked.map((entry) => formatAddress(entry.address));
  });
}

function isOwner(entry: Reservation, owner: Owner): boolean {
  return entry.containerId === owner.containerId && entry.ifName === owner.ifName;
}

function openStore({ config }: PluginCall, ipam: IpamConfig): AddressStore {
  return new AddressStore(ipam.dataDir ?? DEFAULT_DATA_DIR, config.name);
}

function ipamOf({ config }: PluginCall): IpamConfig {
  if (!config.ipam) throw new CniError(CODE.invalidConfig, "IPAM config missing 'ipam' key");
  return config.ipam;
}

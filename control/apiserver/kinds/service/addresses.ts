// Cluster IPs: which ranges there are, and who has which address. An address belongs to whoever's IPAddress object
// was stored first, so that any number of API servers can hand out the same ranges and none twice.
import type { Client } from "../../../../api/client/client.ts";
import { ApiError, field, internalError, invalid, isAlreadyExists, orAbsent } from "../../../../api/errors.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { IPAddress, Service, ServiceCIDR, Stored } from "../../../../api/types.ts";
import { IpRange, familyOf, type Family } from "./ip-range.ts";

export const IP_ADDRESS = builtinKind("networking.k8s.io", "v1", "IPAddress");
const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");
export const MANAGER = "ipallocator.k8s.io";
const MANAGER_LABEL = "ipaddress.kubernetes.io/managed-by";
const FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family";
/** Addresses tried blindly before all that are taken are looked at. */
const BLIND_TRIES = 4;

/** Who wants an address. */
export interface Wish {
  readonly service: Service;
  readonly family: Family;
  /** The address wanted; any will do when empty. */
  readonly wanted: string;
  readonly dryRun: boolean;
}

/** Hands out addresses of the configured ranges and of those added as ServiceCIDRs. */
export class ServiceAddresses {
  constructor(private readonly configured: readonly IpRange[]) {}

  /** The families of the cluster, the default one first. */
  get families(): readonly Family[] {
    return this.configured.map(({ family }) => family);
  }

  /** Takes an address, or throws the refusal the client gets. */
  async take(client: Client, wish: Wish): Promise<string> {
    const ranges = (await this.#ranges(client)).filter(({ family }) => family === wish.family);
    if (ranges.length === 0) throw refusal(wish, `failed to allocate IP: ${wish.family} is not configured on this cluster`);
    if (wish.wanted !== "") return this.#takeThis(client, wish, ranges);
    for (const range of ranges) {
      const ip = await takeAny(client, wish, range);
      if (ip !== undefined) return ip;
    }
    throw internalError(new Error(`failed to allocate a serviceIP for Service ${JSON.stringify(wish.service.metadata.name)}: range is full`));
  }

  /** Gives an address back, if this service has it. */
  async giveBack(client: Client, service: Service, ip: string): Promise<void> {
    const address = await orAbsent(client.get<IPAddress>(IP_ADDRESS, { name: ip }));
    if (!address || !belongsTo(address, service)) return;
    await orAbsent(client.delete(IP_ADDRESS, { name: ip }, { preconditions: { uid: address.metadata.uid } }));
  }

  /** The ranges services may get addresses from now. */
  async #ranges(client: Client): Promise<IpRange[]> {
    const { items } = await client.list<ServiceCIDR>(SERVICE_CIDR);
    const added = items.filter(isReady).flatMap(({ spec }) => spec?.cidrs ?? []);
    const going = new Set(items.filter(({ metadata }) => metadata.deletionTimestamp).flatMap(({ spec }) => spec?.cidrs ?? []).filter((text) => !added.includes(text)));
    const configured = this.configured.filter(({ text }) => !going.has(text));
    return [...configured, ...added.filter((text) => !configured.some((range) => range.text === text)).flatMap((text) => IpRange.parse(text) ?? [])];
  }

  async #takeThis(client: Client, wish: Wish, ranges: readonly IpRange[]): Promise<string> {
    const { wanted } = wish;
    const containing = ranges.filter((range) => range.contains(wanted));
    const refuse = (why: string): ApiError => refusal(wish, `failed to allocate IP ${wanted}: ${why}`);
    if (containing.length === 0) throw refuse("the provided network does not match the current range");
    if (!containing.some((range) => range.offers(wanted))) throw refuse(`the provided IP (${wanted}) is not in the valid range. The range of valid IPs is ${containing[0]?.text}`);
    if (!(await claim(client, wish, wanted))) throw refuse("provided IP is already allocated");
    return wanted;
  }
}

/** The object that says who has an address. */
export function addressObject({ metadata }: Service, ip: string): IPAddress {
  return {
    metadata: { name: ip, labels: { [FAMILY_LABEL]: familyOf(ip), [MANAGER_LABEL]: MANAGER } },
    spec: { parentRef: { group: "", resource: "services", namespace: metadata.namespace ?? "", name: metadata.name ?? "" } },
  };
}

/** Whether an address is this service's. */
export function belongsTo({ spec }: IPAddress, { metadata }: Service): boolean {
  const { group = "", resource, namespace, name } = spec?.parentRef ?? {};
  return group === "" && resource === "services" && namespace === metadata.namespace && name === metadata.name;
}

/** Whether an address was handed out here. */
export function isManaged({ metadata }: IPAddress): boolean {
  return metadata.labels?.[MANAGER_LABEL] === MANAGER;
}

function isReady({ metadata, status }: Stored<ServiceCIDR>): boolean {
  return !metadata.deletionTimestamp && (status?.conditions?.some(({ type, status: state }) => type === "Ready" && state === "True") ?? false);
}

async function takeAny(client: Client, wish: Wish, range: IpRange): Promise<string | undefined> {
  let taken: ReadonlySet<string> | undefined;
  let tries = 0;
  for (const ip of range.candidates()) {
    if (taken?.has(ip)) continue;
    if (await claim(client, wish, ip)) return ip;
    if (++tries === BLIND_TRIES) taken = new Set((await client.list(IP_ADDRESS)).items.map(({ metadata }) => metadata.name));
  }
  return undefined;
}

/** Whether the address was free; it is not any more then, but on a dry run. */
async function claim(client: Client, { service, dryRun }: Wish, ip: string): Promise<boolean> {
  try {
    await client.create(IP_ADDRESS, addressObject(service, ip), { dryRun });
    return true;
  } catch (error) {
    if (isAlreadyExists(error)) return false;
    throw error;
  }
}

function refusal({ service, wanted }: Wish, why: string): ApiError {
  return invalid({ group: "", kind: "Service" }, service.metadata.name ?? "", [field.invalid("spec.clusterIPs", service.spec?.clusterIPs ?? [wanted], why)]);
}

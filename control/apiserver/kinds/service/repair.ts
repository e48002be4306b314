// Makes IPAddress objects and services agree again where a crash, a deletion by hand or an older version left them apart.
import type { Client } from "../../../../api/client/client.ts";
import { isAlreadyExists, orAbsent } from "../../../../api/errors.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { EventRecorder } from "../../../../api/client/recorder.ts";
import type { IPAddress, Service, ServiceCIDR, Stored } from "../../../../api/types.ts";
import type { Clock } from "../../../../lib/clock.ts";
import { logger } from "../../../../lib/log.ts";
import { addressObject, belongsTo, IP_ADDRESS, isManaged } from "./addresses.ts";
import { addressFindings, portFindings } from "./findings.ts";
import { addressesOf } from "./held.ts";

const log = logger("apiserver");
const SERVICE = builtinKind("", "v1", "Service");
const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");
/** What services are given where nothing else is configured, which it cannot be. */
const NODE_PORTS = [30_000, 32_767] as const;
/** How long an address may be taken before its service is seen. */
const GRACE_MS = 60_000;
const PERIOD_MS = 180_000;

export interface RepairOptions {
  readonly client: Client;
  readonly now: number;
  /** Younger addresses are left alone: their services may still be on the way. */
  readonly graceMs: number;
}

/** What one pass found and did. */
export interface Repaired {
  readonly made: readonly string[];
  readonly removed: readonly string[];
}

/** One pass over all services and addresses. */
export async function repairAddresses({ client, now, graceMs }: RepairOptions): Promise<Repaired> {
  const addresses = (await client.list<IPAddress>(IP_ADDRESS)).items;
  const services = (await client.list<Service>(SERVICE)).items;
  const byIp = new Map(addresses.map((address) => [address.metadata.name, address]));
  const holders = new Map(services.flatMap((service) => addressesOf(service.spec ?? {}).map((ip) => [ip, service] as const)));
  const made: string[] = [];
  for (const [ip, service] of holders) {
    const address = byIp.get(ip);
    if (address && (belongsTo(address, service) || isHeldByAnother(address, services, ip))) continue;
    // Its parent is for life.
    if (address) await remove(client, address);
    if (await make(client, service, ip)) made.push(ip);
  }
  const leaked = addresses.filter((address) => isManaged(address) && !holders.has(address.metadata.name) && now - Date.parse(address.metadata.creationTimestamp) >= graceMs);
  for (const address of leaked) await remove(client, address);
  return { made, removed: leaked.map(({ metadata }) => metadata.name) };
}

export interface RepairLoopOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Nobody else hands out addresses, so that those without a service were left by a crash. */
  readonly isAlone: boolean;
  /** Tells people what is wrong, as this component. */
  readonly recorderFor: (component: string) => EventRecorder;
}

/** Repairs now, and then every few minutes until the signal aborts; resolves after the first pass. */
export async function startAddressRepair({ client, clock, signal, isAlone, recorderFor }: RepairLoopOptions): Promise<void> {
  const recorders = { addresses: recorderFor("ipallocator-repair-controller"), ports: recorderFor("portallocator-repair-controller") };
  await tell(client, recorders, isAlone ? clock.now() : clock.now() - GRACE_MS);
  await repairAddresses({ client, now: clock.now(), graceMs: isAlone ? 0 : GRACE_MS });
  void (async () => {
    for (await clock.sleep(PERIOD_MS, signal); !signal.aborted; await clock.sleep(PERIOD_MS, signal)) {
      try {
        await tell(client, recorders, clock.now() - GRACE_MS);
        const { made, removed } = await repairAddresses({ client, now: clock.now(), graceMs: GRACE_MS });
        if (made.length + removed.length > 0) log.info({ made, removed }, "addresses of services repaired");
      } catch (error) {
        log.warn({ err: error }, "addresses of services could not be repaired; tried again in three minutes");
      }
    }
  })();
}

/** Says what is wrong before it is repaired, and what only people can repair each time anew. */
async function tell(client: Client, recorders: { readonly addresses: EventRecorder; readonly ports: EventRecorder }, leakedBefore: number): Promise<void> {
  const [services, addresses, ranges] = await Promise.all([client.list<Service>(SERVICE), client.list<IPAddress>(IP_ADDRESS), client.list<ServiceCIDR>(SERVICE_CIDR)]);
  const holdings = { services: services.items, addresses: addresses.items, ranges: ranges.items, ports: NODE_PORTS, leakedBefore };
  // A cluster that has no ranges yet is being made.
  if (holdings.ranges.length > 0) for (const { about, reason, message } of addressFindings(holdings)) recorders.addresses.event(about, "Warning", reason, message);
  for (const { about, reason, message } of portFindings(holdings)) recorders.ports.event(about, "Warning", reason, message);
}

function isHeldByAnother(address: Stored<IPAddress>, services: readonly Stored<Service>[], ip: string): boolean {
  return services.some((service) => belongsTo(address, service) && addressesOf(service.spec ?? {}).includes(ip));
}

async function make(client: Client, service: Service, ip: string): Promise<boolean> {
  try {
    await client.create(IP_ADDRESS, addressObject(service, ip));
    return true;
  } catch (error) {
    if (isAlreadyExists(error)) return false;
    throw error;
  }
}

async function remove(client: Client, { metadata: { name, uid } }: Stored<IPAddress>): Promise<void> {
  await orAbsent(client.delete(IP_ADDRESS, { name }, { preconditions: { uid } }));
}

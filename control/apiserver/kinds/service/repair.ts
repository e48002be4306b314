// Makes IPAddress objects, node ports and services agree again where a crash, a deletion by hand or an older version left them apart.
// What is told of it is findings.ts.
import type { Client } from "../../../../api/client/client.ts";
import { isAlreadyExists, orAbsent } from "../../../../api/errors.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { EventRecorder } from "../../../../api/client/recorder.ts";
import type { IPAddress, Service, ServiceCIDR, Stored } from "../../../../api/types.ts";
import type { Clock } from "../../../../lib/clock.ts";
import { logger } from "../../../../lib/log.ts";
import { addressObject, belongsTo, IP_ADDRESS, isManaged } from "./addresses.ts";
import { addressFindings, portFindings, type Finding, type FindingType } from "./findings.ts";
import type { NodePorts } from "./node-ports.ts";
import type { RepairFigures } from "./repairfigures.ts";
import { addressesOf } from "./held.ts";

const log = logger("apiserver");
const SERVICE = builtinKind("", "v1", "Service");
const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");
/** How long an address may be taken before its service is seen. */
const GRACE_MS = 60_000;
const PERIOD_MS = 180_000;
/** Losses rarely come alone. */
const LOSS_PAUSE_MS = 500;

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
  readonly nodePorts: NodePorts;
  readonly figures: RepairFigures;
  /** Tells people what is wrong, as this component. */
  readonly recorderFor: (component: string) => EventRecorder;
  /** Calls back whenever a service has lost an address, until the signal aborts. */
  readonly onLoss?: (lost: () => void) => void;
}

/** Repairs now, and then every few minutes and after every loss until the signal aborts; resolves after the first pass. */
export async function startAddressRepair(options: RepairLoopOptions): Promise<void> {
  const { clock, signal, isAlone, figures, recorderFor, onLoss } = options;
  const recorders = { addresses: recorderFor("ipallocator-repair-controller"), ports: recorderFor("portallocator-repair-controller") };
  const pass = (graceMs: number, hasPorts: boolean): Promise<Repaired> => repairAll({ ...options, graceMs, hasPorts, recorders });
  let wake = new AbortController();
  onLoss?.(() => wake.abort());
  signal.addEventListener("abort", () => wake.abort(), { once: true });
  await pass(isAlone ? 0 : GRACE_MS, true);
  void (async () => {
    for (;;) {
      await clock.sleep(PERIOD_MS, wake.signal);
      const isLoss = wake.signal.aborted;
      if (isLoss) await clock.sleep(LOSS_PAUSE_MS, signal);
      if (signal.aborted) return;
      if (isLoss) wake = new AbortController();
      try {
        const { made, removed } = await pass(GRACE_MS, !isLoss);
        if (made.length + removed.length > 0) log.info({ made, removed }, "addresses of services repaired");
      } catch (error) {
        figures.failed++;
        log.warn({ err: error }, "addresses and ports of services could not be repaired; tried again in three minutes");
      }
    }
  })();
}

interface Pass extends Pick<RepairLoopOptions, "client" | "clock" | "nodePorts" | "figures"> {
  readonly graceMs: number;
  /** Ports are looked at on regular passes only, which are far enough apart to tell a leak from a taking. */
  readonly hasPorts: boolean;
  readonly recorders: { readonly addresses: EventRecorder; readonly ports: EventRecorder };
}

/** Says what is wrong before it is repaired, and what only people can repair each time anew. */
async function repairAll({ client, clock, nodePorts, figures, graceMs, hasPorts, recorders }: Pass): Promise<Repaired> {
  const [addresses, ranges] = await Promise.all([client.list<IPAddress>(IP_ADDRESS), client.list<ServiceCIDR>(SERVICE_CIDR)]);
  await nodePorts.load(client);
  // Asked last, and nothing awaited before the ports are looked at: what is held and what services hold are of one moment.
  const services = (await client.list<Service>(SERVICE)).items;
  if (hasPorts) {
    const { taken, freed } = nodePorts.repair(services);
    for (const port of freed) log.warn({ port }, "the node port appears to have leaked: cleaning up");
    figures.ports.leak = (figures.ports.leak ?? 0) + freed.length;
    tell(recorders.ports, figures.ports, portFindings({ services, ports: nodePorts.range, repaired: taken }));
  }
  // A cluster that has no ranges yet is being made.
  if (ranges.items.length > 0) tell(recorders.addresses, figures.addresses, addressFindings({ services, addresses: addresses.items, ranges: ranges.items, leakedBefore: clock.now() - graceMs }));
  return repairAddresses({ client, now: clock.now(), graceMs });
}

function tell(recorder: EventRecorder, counts: Partial<Record<FindingType, number>>, findings: readonly Finding[]): void {
  for (const { about, type, reason, message } of findings) {
    counts[type] = (counts[type] ?? 0) + 1;
    recorder.event(about, "Warning", reason, message);
  }
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

// What is wrong with the addresses and node ports services hold, in upstream's words: said as events, so that people repair what programs must not.
// Pure; reasons and messages: k8s.io/kubernetes/pkg/registry/core/service/{ipallocator,portallocator}/controller.
import type { IPAddress, Service, ServiceCIDR, Stored } from "../../../../api/types.ts";
import { cidrContains, parseAddress, parseCidr } from "../../../../lib/cidr.ts";
import { belongsTo, isManaged } from "./addresses.ts";
import { addressesOf, portsOf } from "./held.ts";
import { familyOf } from "./ip-range.ts";

export interface Finding {
  readonly about: Stored<Service> | Stored<IPAddress>;
  readonly reason: string;
  readonly message: string;
  /** What it is counted as. */
  readonly type: FindingType;
}

export type FindingType = "leak" | "repair" | "outOfRange" | "duplicate" | "invalid";

/** Everything services and their addresses are judged by. */
export interface Holdings {
  readonly services: readonly Stored<Service>[];
  readonly addresses: readonly Stored<IPAddress>[];
  readonly ranges: readonly Stored<ServiceCIDR>[];
  /** Addresses without a service are leaked once they are older than this: `creationTimestamp` up to here, in milliseconds since the epoch. */
  readonly leakedBefore: number;
}

/** What is wrong with cluster IPs. */
export function addressFindings({ services, addresses, ranges, leakedBefore }: Holdings): Finding[] {
  const byIp = new Map(addresses.map((address) => [address.metadata.name, address]));
  const cidrs = ranges.flatMap(({ spec }) => spec?.cidrs ?? []).flatMap((text) => parseCidr(text) ?? []);
  const held = new Set<string>();
  const ofServices = services.flatMap((service) => addressesOf(service.spec ?? {}).flatMap((ip): Finding[] => {
    held.add(ip);
    const found = addressFinding({ service, ip, address: byIp.get(ip), isWithin: isWithin(ip, cidrs), services });
    return found ? [{ about: service, ...found }] : [];
  }));
  const leaked = addresses.filter((address) => isManaged(address) && !held.has(address.metadata.name) && Date.parse(address.metadata.creationTimestamp) <= leakedBefore);
  return [...ofServices, ...leaked.map((about): Finding => ({ about, type: "leak", reason: "IPAddressNotAllocated", message: `IPAddress: ${about.metadata.name} for Service ${about.spec?.parentRef?.namespace ?? ""}/${about.spec?.parentRef?.name ?? ""} appears to have leaked: cleaning up` }))];
}

interface Held {
  readonly service: Stored<Service>;
  readonly ip: string;
  readonly address: Stored<IPAddress> | undefined;
  readonly isWithin: boolean | undefined;
  readonly services: readonly Stored<Service>[];
}

function addressFinding({ service, ip, address, isWithin: within, services }: Held): Omit<Finding, "about"> | undefined {
  if (within === undefined) return { type: "invalid", reason: "ClusterIPNotValid", message: `Cluster IP ${ip} is not a valid IP; please recreate Service` };
  const family = `[${familyOf(ip)}]`;
  if (!within) return { type: "outOfRange", reason: "ClusterIPOutOfRange", message: `Cluster IP ${family}: ${ip} is not within any configured Service CIDR; please recreate service` };
  if (!address) return { type: "repair", reason: "ClusterIPNotAllocated", message: `Cluster IP ${family}: ${ip} is not allocated; repairing` };
  if (belongsTo(address, service)) return undefined;
  const isAnothers = services.some((other) => belongsTo(address, other) && addressesOf(other.spec ?? {}).includes(ip));
  if (isAnothers) return { type: "duplicate", reason: "ClusterIPAlreadyAllocated", message: `Cluster IP ${family}:${ip} was assigned to multiple services; please recreate service` };
  const { namespace = "", name } = service.metadata;
  return { type: "repair", reason: "ClusterIPNotAllocated", message: `the ClusterIP ${family}: ${ip} for Service ${namespace}/${name} has a wrong reference; repairing` };
}

function isWithin(ip: string, cidrs: readonly NonNullable<ReturnType<typeof parseCidr>>[]): boolean | undefined {
  const address = parseAddress(ip);
  return address && cidrs.some((cidr) => cidrContains(cidr, address));
}

/** What services are looked through for. */
export interface PortHoldings extends Pick<Holdings, "services"> {
  /** First and last node port. */
  readonly ports: readonly [number, number];
  /** Held by services without anybody knowing, until a moment ago. */
  readonly repaired: readonly number[];
}

/** What is wrong with node ports; of several services with one port the oldest has it. */
export function portFindings({ services, ports: [first, last], repaired }: PortHoldings): Finding[] {
  const owners = new Map<number, Stored<Service>>();
  const findings: Finding[] = [];
  for (const about of services.toSorted((a, b) => Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp))) {
    for (const port of new Set(portsOf(about.spec ?? {}))) {
      if (port < first || port > last) findings.push({ about, type: "outOfRange", reason: "PortOutOfRange", message: `Port ${port} is not within the port range ${first}-${last}; please recreate service` });
      else if (owners.has(port)) findings.push({ about, type: "duplicate", reason: "PortAlreadyAllocated", message: `Port ${port} was assigned to multiple services; please recreate service` });
      else if (repaired.includes(port)) findings.push({ about, type: "repair", reason: "PortNotAllocated", message: `Port ${port} is not allocated; repairing` });
      owners.set(port, owners.get(port) ?? about);
    }
  }
  return findings;
}

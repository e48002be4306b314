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
}

/** Everything services and their addresses are judged by. */
export interface Holdings {
  readonly services: readonly Stored<Service>[];
  readonly addresses: readonly Stored<IPAddress>[];
  readonly ranges: readonly Stored<ServiceCIDR>[];
  readonly ports: readonly [number, number];
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
  return [...ofServices, ...leaked.map((about): Finding => ({ about, reason: "IPAddressNotAllocated", message: `IPAddress: ${about.metadata.name} for Service ${about.spec?.parentRef?.namespace ?? ""}/${about.spec?.parentRef?.name ?? ""} appears to have leaked: cleaning up` }))];
}

interface Held {
  readonly service: Stored<Service>;
  readonly ip: string;
  readonly address: Stored<IPAddress> | undefined;
  readonly isWithin: boolean | undefined;
  readonly services: readonly Stored<Service>[];
}

function addressFinding({ service, ip, address, isWithin: within, services }: Held): Pick<Finding, "reason" | "message"> | undefined {
  if (within === undefined) return { reason: "ClusterIPNotValid", message: `Cluster IP ${ip} is not a valid IP; please recreate Service` };
  const family = `[${familyOf(ip)}]`;
  if (!within) return { reason: "ClusterIPOutOfRange", message: `Cluster IP ${family}: ${ip} is not within any configured Service CIDR; please recreate service` };
  if (!address) return { reason: "ClusterIPNotAllocated", message: `Cluster IP ${family}: ${ip} is not allocated; repairing` };
  if (belongsTo(address, service)) return undefined;
  const isAnothers = services.some((other) => belongsTo(address, other) && addressesOf(other.spec ?? {}).includes(ip));
  if (isAnothers) return { reason: "ClusterIPAlreadyAllocated", message: `Cluster IP ${family}:${ip} was assigned to multiple services; please recreate service` };
  const { namespace = "", name } = service.metadata;
  return { reason: "ClusterIPNotAllocated", message: `the ClusterIP ${family}: ${ip} for Service ${namespace}/${name} has a wrong reference; repairing` };
}

function isWithin(ip: string, cidrs: readonly NonNullable<ReturnType<typeof parseCidr>>[]): boolean | undefined {
  const address = parseAddress(ip);
  return address && cidrs.some((cidr) => cidrContains(cidr, address));
}

/** What is wrong with node ports; of several services with one port the oldest has it. */
export function portFindings({ services, ports: [first, last] }: Holdings): Finding[] {
  const owners = new Map<number, Stored<Service>>();
  const findings: Finding[] = [];
  for (const service of services.toSorted((a, b) => Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp))) {
    for (const port of new Set(portsOf(service.spec ?? {}))) {
      if (port < first || port > last) findings.push({ about: service, reason: "PortOutOfRange", message: `Port ${port} is not within the port range ${first}-${last}; please recreate service` });
      else if (owners.has(port)) findings.push({ about: service, reason: "PortAlreadyAllocated", message: `Port ${port} was assigned to multiple services; please recreate service` });
      else owners.set(port, service);
    }
  }
  return findings;
}

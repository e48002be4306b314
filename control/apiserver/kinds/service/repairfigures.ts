// Numbers of the allocators of cluster IPs and node ports, and of what their repair found, under upstream's names.
import { cacheOf, type Engine } from "../../engine.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { ServiceCIDR } from "../../../../api/types.ts";
import { IP_ADDRESS } from "./addresses.ts";
import type { FindingType } from "./findings.ts";
import { IpRange } from "./ip-range.ts";
import type { NodePorts } from "./node-ports.ts";

const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");

/** What repairs found so far. */
export class RepairFigures {
  readonly ports: Partial<Record<FindingType, number>> = {};
  readonly addresses: Partial<Record<FindingType, number>> = {};
  /** Passes that could not be finished. */
  failed = 0;

  constructor(private readonly nodePorts: NodePorts, private readonly engine: () => Engine) {}

  text(): string {
    const [first, last] = this.nodePorts.range;
    const { taken, failed } = this.nodePorts.counts;
    return [
      ...errorLines("apiserver_nodeport_repair", "port", this.ports, this.failed), ...errorLines("apiserver_clusterip_repair", "ip", this.addresses, this.failed),
      ...lines("kube_apiserver_nodeport_allocator_allocated_ports", "gauge", "Gauge measuring the number of allocated NodePorts for Services", [["", this.nodePorts.held]]),
      ...lines("kube_apiserver_nodeport_allocator_available_ports", "gauge", "Gauge measuring the number of available NodePorts for Services", [["", last - first + 1 - this.nodePorts.held]]),
      ...lines("kube_apiserver_nodeport_allocator_allocation_total", "counter", "Number of NodePort allocations", labelled("scope", taken)),
      ...lines("kube_apiserver_nodeport_allocator_allocation_errors_total", "counter", "Number of errors trying to allocate NodePort", labelled("scope", failed)),
      ...this.#addressLines(),
    ].join("\n");
  }

  #addressLines(): string[] {
    const ranges = cacheOf(this.engine(), SERVICE_CIDR).entries().flatMap(({ object }) => (object as unknown as ServiceCIDR).spec?.cidrs ?? []).flatMap((text) => IpRange.parse(text) ?? []);
    const ips = cacheOf(this.engine(), IP_ADDRESS).entries().map(({ name }) => name);
    const held = ranges.map((range) => [range, ips.filter((ip) => range.contains(ip)).length] as const);
    return [
      ...lines("kube_apiserver_clusterip_allocator_allocated_ips", "gauge", "Gauge measuring the number of allocated IPs for Services", held.map(([{ text }, count]) => [`{cidr="${text}"}`, count])),
      ...lines("kube_apiserver_clusterip_allocator_available_ips", "gauge", "Gauge measuring the number of available IPs for Services", held.map(([{ text, size }, count]) => [`{cidr="${text}"}`, size - count])),
    ];
  }
}

function errorLines(prefix: string, what: "port" | "ip", counts: Partial<Record<FindingType, number>>, failed: number): string[] {
  const whats = what === "port" ? "ports" : "clusterips";
  const loop = what === "port" ? "nodeport" : "clusterip";
  return [
    ...lines(`${prefix}_${what}_errors_total`, "counter", `Number of errors detected on ${whats} by the repair loop broken down by type of error: leak, repair, full, outOfRange, duplicate, unknown`, labelled("type", counts)),
    ...lines(`${prefix}_reconcile_errors_total`, "counter", `Number of reconciliation failures on the ${loop} repair reconcile loop`, [["", failed]]),
  ];
}

function labelled(label: string, counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).filter(([, count]) => count > 0).map(([value, count]) => [`{${label}="${value}"}`, count]);
}

// The four make one metric: its name, kind, help, and values by labels.
// oxlint-disable-next-line max-params
function lines(name: string, type: "counter" | "gauge", help: string, values: readonly (readonly [string, number])[]): string[] {
  return values.length === 0 ? [] : [`# HELP ${name} [ALPHA] ${help}`, `# TYPE ${name} ${type}`, ...values.map(([labels, value]) => `${name}${labels} ${value}`)];
}

// Takes and gives back what services hold uniquely in the cluster: addresses and node ports.
// Kept in memory, rebuilt from the stored services at first use; everything between two awaits is one step.
// Where other API servers hand out too, what they stored is learnt again before every taking; only the blink between is open.
import { ApiError, field, internalError, invalid } from "../../../../api/errors.ts";
import type { Client } from "../../../../api/client/client.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { Service, ServiceSpec } from "../../../../api/types.ts";
import { ClusterIPs, familyOf, type Family } from "./cluster-ips.ts";
import { isHeadless, needsClusterIP, needsHealthCheck, needsNodePort } from "./defaults.ts";
import { Range, RangeError, RangeFull } from "./range.ts";
import { nodePortsOf } from "./update.ts";

const SERVICE = builtinKind("", "v1", "Service");

export interface AllocationOptions {
  /** The cluster's ranges, the default family first; at most one per family. */
  readonly clusterIPs: readonly ClusterIPs[];
  /** First and last node port. */
  readonly nodePorts: readonly [number, number];
  /** Other API servers take from the same ranges. */
  readonly isOneOfSeveral?: boolean | undefined;
}

type Undo = () => void;

/** The addresses and ports in use. */
export class ServiceAllocation {
  readonly #ips: readonly ClusterIPs[];
  readonly #ports: Range;
  readonly #firstPort: number;
  readonly #isOneOfSeveral: boolean;
  /** What the services held when they were last read, none of it given back since; addresses and ports. */
  #stored = new Set<string | number>();
  #loading: Promise<void> | undefined;

  constructor({ clusterIPs, nodePorts: [first, last], isOneOfSeveral = false }: AllocationOptions) {
    this.#ips = clusterIPs;
    this.#isOneOfSeveral = isOneOfSeveral;
    this.#firstPort = first;
    const size = last - first + 1;
    this.#ports = new Range({
      size, reserved: size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128),
      outside: `provided port is not in the valid range. The range of valid ports is ${first}-${last}`, taken: "provided port is already allocated",
    });
  }

  /** The families of the cluster, the default one first. */
  get families(): readonly Family[] {
    return this.#ips.map(({ family }) => family);
  }

  /** Learns what the stored services hold: once, or each time where others hand out too. */
  load(client: Client): Promise<void> {
    if (this.#loading && !this.#isOneOfSeveral) return this.#loading;
    const before = this.#loading?.catch(() => {}) ?? Promise.resolve();
    const loading = before.then(() => this.#load(client));
    this.#loading = loading;
    loading.catch(() => {
      if (this.#loading === loading) this.#loading = undefined;
    });
    return loading;
  }

  /** Takes what the new version needs beyond the old one's and writes it into it; returns how to undo that. */
  take(service: Service, old: Service | undefined): Undo {
    const taken: Undo[] = [];
    const undo = (): void => {
      for (const give of taken.splice(0).reverse()) give();
    };
    try {
      this.#takeAddresses(service, old?.spec, taken);
      this.#takePorts(service, old?.spec, taken);
    } catch (error) {
      undo();
      throw error;
    }
    return undo;
  }

  /** Gives back what a service held, but for what its next version still holds. */
  release({ spec }: Service, next?: Service): void {
    if (!spec) return;
    const keptIPs = new Set(next?.spec ? addressesOf(next.spec) : []);
    const keptPorts = new Set(next?.spec ? portsOf(next.spec) : []);
    for (const ip of addressesOf(spec)) if (!keptIPs.has(ip)) this.#giveBack(ip);
    for (const port of portsOf(spec)) if (!keptPorts.has(port)) this.#giveBack(port);
  }

  async #load(client: Client): Promise<void> {
    const { items } = await client.list<Service>(SERVICE);
    const stored = new Set<string | number>(items.flatMap(({ spec }) => (spec ? [...addressesOf(spec), ...portsOf(spec)] : [])));
    // What was stored and is no more was given back elsewhere; what is taken here and not stored yet was never among it.
    for (const value of this.#stored) if (!stored.has(value)) this.#giveBack(value);
    for (const value of stored) if (!this.#stored.has(value)) this.#quietly(() => (typeof value === "number" ? this.#ports.take(value - this.#firstPort) : this.#rangeOf(value)?.take(value)));
    this.#stored = stored;
  }

  #giveBack(value: string | number): void {
    if (typeof value === "number") this.#ports.release(value - this.#firstPort);
    else this.#rangeOf(value)?.release(value);
    this.#stored.delete(value);
  }

  /** Values outside today's ranges, or held twice, are a past configuration's and no reason to stop. */
  #quietly(take: () => void): void {
    try {
      take();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }

  #takeAddresses(service: Service, old: ServiceSpec | undefined, taken: Undo[]): void {
    const spec = service.spec as ServiceSpec;
    if (!needsClusterIP(spec) || isHeadless(spec)) return;
    const held = new Set(old ? addressesOf(old) : []);
    const ips = [...(spec.clusterIPs ?? [])];
    for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
      const wanted = ips[index] ?? "";
      if (wanted !== "" && held.has(wanted)) continue;
      const ip = this.#takeAddress(service, family as Family, wanted);
      ips[index] = ip;
      taken.push(() => this.#rangeOf(ip)?.release(ip));
    }
    if (ips.length === 0) return;
    spec.clusterIPs = ips;
    spec.clusterIP = ips[0] as string;
  }

  #takeAddress(service: Service, family: Family, wanted: string): string {
    const name = service.metadata.name ?? "";
    const refuse = (why: string): ApiError => invalid({ group: "", kind: "Service" }, name, [field.invalid("spec.clusterIPs", service.spec?.clusterIPs ?? [wanted], why)]);
    const range = this.#ips.find((candidate) => candidate.family === family);
    if (!range) throw refuse(`failed to allocate IP: ${family} is not configured on this cluster`);
    try {
      if (wanted === "") return range.takeAny();
      range.take(wanted);
      return wanted;
    } catch (error) {
      if (error instanceof RangeFull) throw internalError(new Error(`failed to allocate a serviceIP for Service "${name}": ${error.message}`));
      throw refuse(`failed to allocate IP ${wanted}: ${(error as Error).message}`);
    }
  }

  #takePorts(service: Service, old: ServiceSpec | undefined, taken: Undo[]): void {
    const spec = service.spec as ServiceSpec;
    const held = new Set(old ? portsOf(old) : []);
    if (needsNodePort(spec)) this.#takeNodePorts(service, held, taken);
    if (!needsHealthCheck(spec)) return;
    if (spec.healthCheckNodePort && held.has(spec.healthCheckNodePort)) return;
    try {
      spec.healthCheckNodePort = this.#takePort(spec.healthCheckNodePort ?? 0, taken);
    } catch (error) {
      throw internalError(new Error(`failed to allocate requested HealthCheck NodePort ${spec.healthCheckNodePort ?? 0}: ${(error as Error).message}`));
    }
  }

  /** Ports of the same number under two protocols share a node port unless the client says otherwise. */
  #takeNodePorts(service: Service, held: ReadonlySet<number>, taken: Undo[]): void {
    const { ports = [], type, allocateLoadBalancerNodePorts } = service.spec as ServiceSpec;
    const allocates = type === "NodePort" || allocateLoadBalancerNodePorts !== false;
    const byPort = new Map<number, number>();
    const mine = new Set(held);
    for (const [index, port] of ports.entries()) {
      if (!port.nodePort && !allocates) continue;
      const shared = byPort.get(port.port) ?? ports.find((other) => other.port === port.port && other.nodePort)?.nodePort;
      const wanted = port.nodePort || shared || 0;
      if (wanted === 0 || !mine.has(wanted)) port.nodePort = this.#takeNodePort(service, { index, wanted }, taken);
      else port.nodePort = wanted;
      mine.add(port.nodePort);
      byPort.set(port.port, byPort.get(port.port) ?? port.nodePort);
    }
  }

  #takeNodePort(service: Service, { index, wanted }: { index: number; wanted: number }, taken: Undo[]): number {
    try {
      return this.#takePort(wanted, taken);
    } catch (error) {
      if (error instanceof RangeFull) throw internalError(new Error(`failed to allocate a nodePort: ${error.message}`));
      throw invalid({ group: "", kind: "Service" }, service.metadata.name ?? "", [field.invalid(`spec.ports[${index}].nodePort`, wanted, (error as Error).message)]);
    }
  }

  #takePort(wanted: number, taken: Undo[]): number {
    const offset = wanted === 0 ? this.#ports.takeAny() : wanted - this.#firstPort;
    if (wanted !== 0) this.#ports.take(offset);
    taken.push(() => this.#ports.release(offset));
    return this.#firstPort + offset;
  }

  #rangeOf(ip: string): ClusterIPs | undefined {
    const family = familyOf(ip);
    return this.#ips.find((range) => range.family === family && range.contains(ip));
  }
}

function addressesOf(spec: ServiceSpec): string[] {
  if (!needsClusterIP(spec) || isHeadless(spec)) return [];
  return (spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""]).filter((ip) => ip !== "");
}

function portsOf(spec: ServiceSpec): number[] {
  const ports = needsNodePort(spec) ? nodePortsOf(spec) : [];
  return needsHealthCheck(spec) && spec.healthCheckNodePort ? [...ports, spec.healthCheckNodePort] : ports;
}

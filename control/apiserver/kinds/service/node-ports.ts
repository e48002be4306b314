// Takes and gives back the node ports of services.
// Kept in memory, rebuilt from the stored services at first use; everything between two awaits is one step.
// Where other API servers hand out too, what they stored is learnt again before every taking; only the blink between is open.
import type { Client } from "../../../../api/client/client.ts";
import { field, internalError, invalid } from "../../../../api/errors.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { Service, ServiceSpec } from "../../../../api/types.ts";
import { needsHealthCheck, needsNodePort } from "./defaults.ts";
import { portsOf } from "./held.ts";
import { Leaks } from "./leaks.ts";
import { Range, RangeError, RangeFull } from "./range.ts";

/** What services are given where nothing else is configured, which it cannot be. */
export const NODE_PORT_RANGE = [30_000, 32_767] as const;
const SERVICE = builtinKind("", "v1", "Service");

type Undo = () => void;

/** How often ports were taken and could not be, by how they were chosen. */
export interface PortCounts {
  readonly taken: Record<"static" | "dynamic", number>;
  readonly failed: Record<"static" | "dynamic", number>;
}

/** What a repair put right. */
export interface RepairedPorts {
  /** Held by services, and nobody knew. */
  readonly taken: readonly number[];
  /** Held by no service, three times in a row. */
  readonly freed: readonly number[];
}

/** The node ports in use. */
export class NodePorts {
  readonly #ports: Range;
  readonly #first: number;
  readonly #isOneOfSeveral: boolean;
  /** What the services held when they were last read, none of it given back since. */
  #stored = new Set<number>();
  #loading: Promise<void> | undefined;
  readonly #leaks = new Leaks();
  readonly counts: PortCounts = { taken: { static: 0, dynamic: 0 }, failed: { static: 0, dynamic: 0 } };

  constructor(readonly range: readonly [number, number], isOneOfSeveral: boolean) {
    const [first, last] = range;
    this.#isOneOfSeveral = isOneOfSeveral;
    this.#first = first;
    const size = last - first + 1;
    this.#ports = new Range({
      size, reserved: size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128),
      outside: `provided port is not in the valid range. The range of valid ports is ${first}-${last}`, taken: "provided port is already allocated",
    });
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

  get held(): number {
    return this.#ports.count;
  }

  /** Compares what is held with what these services, all there are now, hold; whoever calls has loaded it. */
  repair(services: readonly Service[]): RepairedPorts {
    const wanted = new Set(services.flatMap(({ spec }) => (spec ? portsOf(spec) : [])).filter((port) => port >= this.range[0] && port <= this.range[1]));
    const taken = [...wanted].filter((port) => !this.#ports.has(port - this.#first));
    for (const port of taken) this.#learn(port);
    const unknown = this.#ports.values().map((offset) => this.#first + offset).filter((port) => !wanted.has(port));
    const freed = this.#leaks.leaked([...unknown]);
    for (const port of freed) this.#giveBack(port);
    return { taken, freed };
  }

  /** Takes what the new version needs beyond the old one's and writes it into it; returns how to undo that. */
  take(service: Service, old: Service | undefined): Undo {
    const taken: Undo[] = [];
    const undo = (): void => {
      for (const give of taken.splice(0).reverse()) give();
    };
    try {
      this.#takeAll(service, old?.spec, taken);
    } catch (error) {
      undo();
      throw error;
    }
    return undo;
  }

  /** Gives back what a service held, but for what its next version still holds. */
  release({ spec }: Service, next?: Service): void {
    const kept = new Set(next?.spec ? portsOf(next.spec) : []);
    for (const port of spec ? portsOf(spec) : []) if (!kept.has(port)) this.#giveBack(port);
  }

  async #load(client: Client): Promise<void> {
    const { items } = await client.list<Service>(SERVICE);
    const stored = new Set(items.flatMap(({ spec }) => (spec ? portsOf(spec) : [])));
    // What was stored and is no more was given back elsewhere; what is taken here and not stored yet was never among it.
    for (const port of this.#stored) if (!stored.has(port)) this.#giveBack(port);
    for (const port of stored) if (!this.#stored.has(port)) this.#learn(port);
    this.#stored = stored;
  }

  #giveBack(port: number): void {
    this.#ports.release(port - this.#first);
    this.#stored.delete(port);
  }

  /** Ports outside today's range, or held twice, are a past configuration's and no reason to stop. */
  #learn(port: number): void {
    try {
      this.#ports.take(port - this.#first);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }

  #takeAll(service: Service, old: ServiceSpec | undefined, taken: Undo[]): void {
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
    const scope = wanted === 0 ? "dynamic" : "static";
    this.counts.failed[scope]++;
    const offset = wanted === 0 ? this.#ports.takeAny() : wanted - this.#first;
    if (wanted !== 0) this.#ports.take(offset);
    this.counts.failed[scope]--;
    this.counts.taken[scope]++;
    taken.push(() => this.#ports.release(offset));
    return this.#first + offset;
  }
}

// Nodes grouped by the value of a label: each value is a domain with a small number, looked up by node index.
// Built for a label when it is first asked for, then kept in step with node labels.
import type { NodeState } from "./nodestate.ts";

/** The domains of one topology key. */
export class Topology {
  /** Domain number by node index; -1 for a node without the label. */
  readonly domainOf: number[] = [];
  /** Nodes that have the label. */
  nodeCount = 0;
  readonly #sizes = new Map<number, number>();
  readonly #ids = new Map<string, number>();
  /** Changes whenever a node comes to another domain. */
  version = 0;

  constructor(readonly key: string) {}

  /** One more than the highest domain number given out so far. */
  get size(): number {
    return this.#ids.size;
  }

  /** The domains that have a node. */
  get domains(): Iterable<number> {
    return this.#sizes.keys();
  }

  place(node: NodeState): void {
    const value = node.node ? node.labels[this.key] : undefined;
    while (this.domainOf.length <= node.index) this.domainOf.push(-1);
    const domain = value === undefined ? -1 : this.#idOf(value);
    if (this.domainOf[node.index] === domain) return;
    this.#move(node.index, domain);
  }

  remove(node: NodeState): void {
    this.#move(node.index, -1);
  }

  #move(index: number, domain: number): void {
    this.#count(this.domainOf[index] ?? -1, -1);
    this.#count(domain, 1);
    this.domainOf[index] = domain;
    this.version++;
  }

  #count(domain: number, by: 1 | -1): void {
    if (domain < 0) return;
    this.nodeCount += by;
    const size = (this.#sizes.get(domain) ?? 0) + by;
    if (size === 0) this.#sizes.delete(domain);
    else this.#sizes.set(domain, size);
  }

  #idOf(value: string): number {
    let id = this.#ids.get(value);
    if (id === undefined) this.#ids.set(value, (id = this.#ids.size));
    return id;
  }
}

/** The topologies in use, by key. */
export class Topologies {
  readonly #byKey = new Map<string, Topology>();

  constructor(private readonly nodes: () => Iterable<NodeState>) {}

  get(key: string): Topology {
    let topology = this.#byKey.get(key);
    if (!topology) {
      topology = new Topology(key);
      for (const node of this.nodes()) topology.place(node);
      this.#byKey.set(key, topology);
    }
    return topology;
  }

  place(node: NodeState): void {
    for (const topology of this.#byKey.values()) topology.place(node);
  }

  remove(node: NodeState): void {
    for (const topology of this.#byKey.values()) topology.remove(node);
  }
}

// Gives every node its own range of pod addresses out of the cluster's, one per family.
// Ranges nodes already have are honoured; a range is free again when its node is deleted.
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { orAbsent } from "../../../api/errors.ts";
import type { Node, Stored } from "../../../api/types.ts";
import { addressAfter, cidrContains, formatCidr, networkAddress, parseCidr, type Cidr } from "../../../lib/cidr.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { NODE } from "../kinds.ts";

const NAME = "node-ipam-controller";
const MASK_IPV4 = 24;
const MASK_IPV6 = 64;

export function nodeIpamController(deps: ControllerDeps): Controller {
  const client = deps.clientFor("node-controller");
  const recorder = deps.recorderFor("cidrAllocator");
  const queue = new WorkQueue({ clock: deps.clock });
  const nodes = deps.informers.for<Node>(NODE);
  const { clusterCidrs, nodeCidrMaskSizeIPv4 = MASK_IPV4, nodeCidrMaskSizeIPv6 = MASK_IPV6 } = deps.settings;
  const pools = clusterCidrs.map((text) => new CidrPool(text, text.includes(":") ? nodeCidrMaskSizeIPv6 : nodeCidrMaskSizeIPv4));
  deps.figures.reads("node_ipam_controller_cirdset_max_cidrs", () => pools.map(({ range, size }) => [[range], size]));
  deps.figures.reads("node_ipam_controller_cidrset_usage_cidrs", () => pools.map(({ range, size, used }) => [[range], used / size]));
  const each = (node: Node, use: (pool: CidrPool, cidr: string) => void): void => podCidrsOf(node).forEach((cidr) => pools.forEach((pool) => use(pool, cidr)));
  /** What each node was offered: its own for as long as the node may have got it without a word. */
  const offered = new Map<string, readonly string[]>();
  const withdraw = (name: string, kept: readonly string[]): void => {
    offered.get(name)?.forEach((cidr, index) => void (kept.includes(cidr) || pools[index]?.release(cidr)));
    offered.delete(name);
  };
  const seen = (node: Stored<Node>): void => {
    const ranges = podCidrsOf(node);
    if (ranges.length === 0) return queue.add(node.metadata.name);
    withdraw(node.metadata.name, ranges);
    each(node, (pool, cidr) => (pool.occupy(cidr) ? deps.figures.count("node_ipam_controller_cidrset_cidrs_allocations_total", pool.range) : undefined));
  };
  nodes.addHandler({
    add: seen, update: seen,
    delete: (node) => {
      withdraw(node.metadata.name, []);
      each(node, (pool, cidr) => (pool.release(cidr) ? deps.figures.count("node_ipam_controller_cidrset_cidrs_releases_total", pool.range) : undefined));
      // Somebody may have been waiting for a range to become free.
      for (const other of nodes.lister.list()) if (podCidrsOf(other).length === 0) queue.add(other.metadata.name);
    },
  });

  async function reconcile(name: string): Promise<void> {
    const node = nodes.lister.get(name);
    if (!node || podCidrsOf(node).length > 0 || pools.length === 0) return;
    const podCIDRs = offered.get(name) ?? allocate(node);
    offered.set(name, podCIDRs);
    await orAbsent(client.patch<Node>(NODE, { name }, { metadata: { uid: node.metadata.uid, resourceVersion: node.metadata.resourceVersion }, spec: { podCIDR: podCIDRs[0], podCIDRs } }, { type: "merge" }));
  }

  /** One range from every pool, or none. */
  function allocate(node: Stored<Node>): string[] {
    const taken = pools.map((pool) => pool.allocate());
    if (taken.every((cidr) => cidr !== undefined)) {
      for (const { range } of pools) deps.figures.count("node_ipam_controller_cidrset_cidrs_allocations_total", range);
      return taken;
    }
    taken.forEach((cidr, index) => void (cidr !== undefined && pools[index]?.release(cidr)));
    recorder.event(reference(node), "Normal", "CIDRNotAvailable", `Node ${node.metadata.name} status is now: CIDRNotAvailable`);
    throw new Error("CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range");
  }
  // One worker: two nodes are never offered one range.
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 1, reconcile, subject: telling(deps, NAME, nodes) });
}

/** The ranges of one size within a cluster range, by number. */
export class CidrPool {
  readonly #range: Cidr;
  readonly #size: bigint;
  readonly #count: bigint;
  readonly #used = new Set<bigint>();
  #next = 0n;

  constructor(readonly range: string, private readonly prefix: number) {
    const parsed = parseCidr(range);
    if (!parsed || prefix < parsed.prefix) throw new Error(`cannot cut ranges of /${prefix} out of ${range}`);
    this.#range = parsed;
    this.#size = 1n << BigInt((parsed.address.family === 4 ? 32 : 128) - prefix);
    this.#count = 1n << BigInt(prefix - parsed.prefix);
  }

  get size(): number {
    return Number(this.#count);
  }

  get used(): number {
    return this.#used.size;
  }

  /** The next free range, going round; undefined when all are taken. */
  allocate(): string | undefined {
    if (BigInt(this.#used.size) >= this.#count) return undefined;
    while (this.#used.has(this.#next)) this.#next = (this.#next + 1n) % this.#count;
    const index = this.#next;
    this.#used.add(index);
    this.#next = (index + 1n) % this.#count;
    return formatCidr({ address: addressAfter(networkAddress(this.#range), index * this.#size), prefix: this.prefix });
  }

  /** Marks a range as taken; false when it was, or is outside this pool. */
  occupy(cidr: string): boolean {
    const index = this.#indexOf(cidr);
    if (index === undefined || this.#used.has(index)) return false;
    this.#used.add(index);
    return true;
  }

  /** False when it was not taken. */
  release(cidr: string): boolean {
    const index = this.#indexOf(cidr);
    return index !== undefined && this.#used.delete(index);
  }

  #indexOf(text: string): bigint | undefined {
    const cidr = parseCidr(text);
    if (!cidr || !cidrContains(this.#range, cidr.address)) return undefined;
    return (cidr.address.value - networkAddress(this.#range).value) / this.#size;
  }
}

function podCidrsOf({ spec }: Node): readonly string[] {
  return spec?.podCIDRs?.length ? spec.podCIDRs : spec?.podCIDR ? [spec.podCIDR] : [];
}

function reference(node: Stored<Node>): { kind: string; name: string; uid: string } {
  return { kind: "Node", name: node.metadata.name, uid: node.metadata.uid };
}

// Which devices a node can use: ResourceSlices grouped into pools, of the newest generation, complete and consistent.
// Rules: k8s.io/dynamic-resource-allocation/structured (pools).
import { compileNodeSelector, type NodePredicate, type SelectableNode } from "../nodeaffinity.ts";
import type { Device, NodeSelector, Slice } from "./types.ts";

/** The devices of one pool as seen from one node. */
export interface Pool {
  readonly driver: string;
  readonly name: string;
  /** Not all slices of the pool are there; no device of it may be taken. */
  readonly isIncomplete: boolean;
  /** Why its slices contradict each other; no device of it may be taken. */
  readonly invalid: string | undefined;
  readonly slices: readonly Slice[];
  /** Slices of other nodes, whose devices count against the same counters. */
  readonly elsewhere: readonly Slice[];
  /** What devices of the pool share, by name of the set and of the counter. */
  readonly counters: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/** Slices as they are looked for. */
export interface SliceIndex {
  /** Slices for just this node. */
  onNode(name: string): readonly Slice[];
  /** Slices for several nodes, and those that say what a pool shares. */
  readonly shared: readonly Slice[];
  /** All slices of a pool, whatever their node and generation. */
  ofPool(driver: string, pool: string): readonly Slice[];
}

const predicates = new WeakMap<NodeSelector, NodePredicate>();
const NO_COUNTERS: Pool["counters"] = new Map();

/** The pools a node can use devices of, ordered by name; pools whose devices must be made ready first come last. */
export function poolsOf(node: SelectableNode, index: SliceIndex): readonly Pool[] {
  const newest = new Map<string, Slice[]>();
  for (const slice of index.onNode(node.name)) addNewest(newest, slice);
  for (const slice of index.shared) if (isRelevant(slice, node)) addNewest(newest, slice);
  const pools = [...newest.values()].map((slices) => poolFrom(slices, index)).filter((pool): pool is Pool => pool !== undefined);
  const rank = (pool: Pool): number => (pool.slices.some(({ spec }) => spec?.devices?.some((device) => device.bindingConditions)) ? 1 : 0);
  return pools.sort((a, b) => rank(a) - rank(b) || compare(a.driver, b.driver) || compare(a.name, b.name));
}

/** Whether a place (of a slice or a device) is the node. */
export function isAt(node: SelectableNode, { nodeName, allNodes, nodeSelector }: Pick<Device, "nodeName" | "allNodes" | "nodeSelector">): boolean {
  if (nodeName) return node.name === nodeName;
  if (allNodes) return true;
  return nodeSelector ? selects(nodeSelector as NodeSelector, node) : false;
}

/** Whether a node selector, compiled once, selects the node. */
export function selects(selector: NodeSelector, node: SelectableNode): boolean {
  let predicate = predicates.get(selector);
  if (!predicate) predicates.set(selector, (predicate = compileNodeSelector(selector)));
  return predicate(node);
}

function isRelevant({ spec }: Slice, node: SelectableNode): boolean {
  if (!spec) return false;
  if (spec.sharedCounters?.length) return true;
  if (spec.nodeName || spec.allNodes || spec.nodeSelector) return isAt(node, spec);
  return spec.perDeviceNodeSelection === true && (spec.devices ?? []).some((device) => isAt(node, device));
}

function addNewest(pools: Map<string, Slice[]>, slice: Slice): void {
  if (!slice.spec) return;
  const { driver, pool } = slice.spec;
  const known = pools.get(`${driver}/${pool.name}`);
  const generation = known?.[0]?.spec?.pool.generation;
  if (!known || generation === undefined || pool.generation > generation) pools.set(`${driver}/${pool.name}`, [slice]);
  else if (pool.generation === generation) known.push(slice);
}

/** undefined: a newer generation is on its way and has nothing for the node so far. */
function poolFrom(slices: Slice[], index: SliceIndex): Pool | undefined {
  const spec = slices[0]?.spec;
  if (!spec) return undefined;
  const { driver, pool: { name, generation, resourceSliceCount } } = spec;
  let all: readonly Slice[] = slices;
  if (slices.length !== resourceSliceCount) {
    const ofPool = index.ofPool(driver, name);
    if (ofPool.some((slice) => (slice.spec?.pool.generation ?? 0) > generation)) return undefined;
    all = ofPool.filter((slice) => slice.spec?.pool.generation === generation);
  }
  const head = { driver, name, slices: [], elsewhere: [], counters: NO_COUNTERS };
  if (all.length !== resourceSliceCount) return { ...head, isIncomplete: true, invalid: undefined };
  const seen = new Set(slices);
  const elsewhere = all.filter((slice) => !seen.has(slice));
  const sorted = [...slices].sort((a, b) => compare(a.metadata.name, b.metadata.name));
  return validated(head, sorted, elsewhere);
}

function validated(head: Omit<Pool, "isIncomplete" | "invalid">, slices: readonly Slice[], elsewhere: readonly Slice[]): Pool {
  const withDevices = slices.filter(({ spec }) => !spec?.sharedCounters?.length);
  const counters = new Map<string, Readonly<Record<string, string>>>();
  for (const { spec } of slices) {
    for (const set of spec?.sharedCounters ?? []) {
      if (counters.has(set.name)) return { ...head, isIncomplete: false, invalid: `duplicate counter set name ${set.name}` };
      counters.set(set.name, Object.fromEntries(Object.entries(set.counters).map(([name, { value }]) => [name, value])));
    }
  }
  const invalid = duplicateDevice(withDevices) ?? unknownCounter([...slices, ...elsewhere], counters);
  if (invalid !== undefined) return { ...head, isIncomplete: false, invalid };
  return { ...head, isIncomplete: false, invalid: undefined, slices: withDevices, elsewhere, counters };
}

function duplicateDevice(slices: readonly Slice[]): string | undefined {
  const names = new Set<string>();
  for (const { spec } of slices) {
    for (const { name } of spec?.devices ?? []) {
      if (names.has(name)) return `duplicate device name ${name}`;
      names.add(name);
    }
  }
  return undefined;
}

function unknownCounter(slices: readonly Slice[], counters: Pool["counters"]): string | undefined {
  for (const { spec } of slices) {
    for (const { consumesCounters = [] } of spec?.devices ?? []) {
      for (const { counterSet, counters: consumed } of consumesCounters) {
        const known = counters.get(counterSet);
        if (!known) return `counter set ${counterSet} not found`;
        const unknown = Object.keys(consumed).find((name) => known[name] === undefined);
        if (unknown !== undefined) return `counter ${unknown} not found in counter set ${counterSet}`;
      }
    }
  }
  return undefined;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

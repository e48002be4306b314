// Topology-aware routing: endpoints are given to zones in proportion to the CPU of the nodes there, mostly to their own.
// Pure; rules: k8s.io/endpointslice/topologycache. Computed afresh each time, in one order, so that little moves.
import { milliValue, parseQuantity } from "../../../api/quantity.ts";
import type { Node, Service } from "../../../api/types.ts";

export const ZONE = "topology.kubernetes.io/zone";
const MODES = ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"];
const EXCLUDED = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
/** How many more requests than its share a zone's endpoints may have to serve. */
const OVERLOAD_THRESHOLD = 0.2;

/** The share of the cluster's CPU in each zone. */
export type ZoneShares = ReadonlyMap<string, number>;

/** An endpoint that takes requests. */
export interface Placed {
  readonly id: string;
  readonly zone: string | undefined;
}

/** Whether the service asks for it. */
export function wantsTopologyHints({ metadata }: Service): boolean {
  const mode = MODES.map((name) => metadata.annotations?.[name]).find((value) => value !== undefined);
  return mode === "Auto" || mode === "auto";
}

/** The shares of zones; undefined when a node says too little of itself, or there is one zone only. */
export function zoneShares(nodes: readonly Node[]): ZoneShares | undefined {
  const cpu = new Map<string, number>();
  let total = 0;
  for (const { metadata, status } of nodes) {
    const isReady = status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True");
    if (!isReady || EXCLUDED.some((label) => metadata.labels?.[label] !== undefined)) continue;
    const zone = metadata.labels?.[ZONE];
    const milli = milliValue(parseQuantity(status?.allocatable?.["cpu"] ?? "0"));
    if (!zone || milli === 0) return undefined;
    cpu.set(zone, (cpu.get(zone) ?? 0) + milli);
    total += milli;
  }
  return cpu.size < 2 ? undefined : new Map([...cpu].map(([zone, milli]) => [zone, milli / total]));
}

/** The zone each endpoint is for, by its id; a sentence when there can be no hints. */
export function topologyHints(endpoints: readonly Placed[], shares: ZoneShares | undefined): ReadonlyMap<string, string> | string {
  if (!shares) return "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
  const count = `(${endpoints.length} endpoints, ${shares.size} zones)`;
  if (shares.size > endpoints.length) return `Insufficient number of endpoints ${count}`;
  const wanted = desired(shares, endpoints.length);
  if (!wanted) return `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${count}`;
  if (endpoints.some(({ zone }) => !zone)) return "One or more endpoints do not have a zone specified";
  const sorted = [...endpoints].sort((a, b) => (a.id < b.id ? -1 : 1));
  const moves = movesBetween(wanted, Map.groupBy(sorted, ({ zone }) => zone as string));
  return new Map(sorted.map(({ id, zone = "" }) => [id, moves.get(zone)?.pop() ?? zone]));
}

/** How many endpoints each zone should have, the least it can do with included; undefined when there are too few for that. */
function desired(shares: ZoneShares, count: number): ReadonlyMap<string, number> | undefined {
  const wanted = new Map<string, number>();
  let least = 0;
  for (const [zone, share] of shares) {
    const minimum = Math.ceil((share * count) / (1 + OVERLOAD_THRESHOLD));
    least += minimum;
    wanted.set(zone, Math.max(share * count, minimum));
  }
  return least > count ? undefined : wanted;
}

/** For each zone that has more than it should, the zones its surplus goes to. */
function movesBetween(wanted: ReadonlyMap<string, number>, has: ReadonlyMap<string, readonly Placed[]>): Map<string, string[]> {
  const balance = new Map([...wanted].map(([zone, target]) => [zone, (has.get(zone)?.length ?? 0) - target]));
  const moves = new Map<string, string[]>();
  for (;;) {
    const [giver, spare] = extreme(balance, 1);
    const [taker, lack] = extreme(balance, -1);
    if (giver === "" || taker === "" || (spare < 1 && lack < 1) || spare < 0.5 || lack < 0.5) return moves;
    moves.set(giver, [...(moves.get(giver) ?? []), taker]);
    balance.set(giver, spare - 1);
    balance.set(taker, 1 - lack);
  }
}

/** The zone with most to spare (1) or to ask for (-1), and how much. */
function extreme(balance: ReadonlyMap<string, number>, sign: 1 | -1): readonly [string, number] {
  let found: readonly [string, number] = ["", 0];
  for (const [zone, value] of balance) if (value * sign > found[1]) found = [zone, value * sign];
  return found;
}

// How fast nodes may be emptied: zone by zone, slower when much of a zone is down, not at all when everything is.
// When every node seems gone it is the control plane that is cut off. Rules and rates: upstream's node lifecycle controller.
import type { Node } from "../../../api/types.ts";

export type ZoneState = "Normal" | "PartialDisruption" | "FullDisruption";

interface Zone {
  readonly healthy: Set<string>;
  readonly unhealthy: Set<string>;
  state: ZoneState;
  /** The one token of the zone's bucket, and when it was last counted. */
  tokens: number;
  countedAt: number;
}

const RATE_PER_SECOND = 0.1;
const REDUCED_RATE_PER_SECOND = 0.01;
const LARGE_CLUSTER = 50;
const UNHEALTHY_SHARE = 0.55;
const EXCLUDED = "node.kubernetes.io/exclude-disruption";

/** The health of every zone, kept up by node changes. */
export class Zones {
  readonly #zones = new Map<string, Zone>();
  readonly #zoneOf = new Map<string, string>();

  /** Counts a node as it is now; true when this changed the state of a zone or of the whole. */
  set(node: Node, isHealthy: boolean, now: number): boolean {
    const before = this.#summary();
    const name = node.metadata.name ?? "";
    this.#forget(name);
    const zone = this.#zone(zoneKey(node), now);
    this.#zoneOf.set(name, zoneKey(node));
    if (node.metadata.labels?.[EXCLUDED] === undefined) (isHealthy ? zone.healthy : zone.unhealthy).add(name);
    return this.#settle(now) !== before;
  }

  remove(name: string, now: number): boolean {
    const before = this.#summary();
    this.#forget(name);
    this.#zoneOf.delete(name);
    return this.#settle(now) !== before;
  }

  /** Of every zone that has nodes: how many, and how many of them are healthy. */
  sizes(): { readonly zone: string; readonly size: number; readonly healthy: number }[] {
    return [...this.#zones].map(([zone, { healthy, unhealthy }]) => ({ zone, size: healthy.size + unhealthy.size, healthy: healthy.size })).filter(({ size }) => size > 0);
  }

  /** True when not one zone has a healthy node left: then nobody is to be evicted. */
  get isAllDown(): boolean {
    const zones = [...this.#zones.values()].filter((zone) => zone.healthy.size + zone.unhealthy.size > 0);
    return zones.length > 0 && zones.every((zone) => zone.state === "FullDisruption");
  }

  /** Takes permission to empty a node of this zone: 0 when granted, else milliseconds to wait; undefined when waiting is no use. */
  tryEvict(node: Node, now: number): number | undefined {
    const zone = this.#zone(zoneKey(node), now);
    const rate = this.#rate(zone);
    this.#refill(zone, now);
    if (zone.tokens >= 1) {
      zone.tokens -= 1;
      return 0;
    }
    return rate === 0 ? undefined : Math.ceil(((1 - zone.tokens) / rate) * 1000);
  }

  #rate(zone: Zone): number {
    if (this.isAllDown) return 0;
    if (zone.state !== "PartialDisruption") return RATE_PER_SECOND;
    return zone.healthy.size + zone.unhealthy.size > LARGE_CLUSTER ? REDUCED_RATE_PER_SECOND : 0;
  }

  #refill(zone: Zone, now: number): void {
    zone.tokens = this.#rate(zone) === 0 ? 0 : Math.min(1, zone.tokens + ((now - zone.countedAt) / 1000) * this.#rate(zone));
    zone.countedAt = now;
  }

  #zone(key: string, now: number): Zone {
    const known = this.#zones.get(key);
    if (known) return known;
    const zone: Zone = { healthy: new Set(), unhealthy: new Set(), state: "Normal", tokens: 1, countedAt: now };
    this.#zones.set(key, zone);
    return zone;
  }

  #forget(name: string): void {
    const zone = this.#zones.get(this.#zoneOf.get(name) ?? "");
    zone?.healthy.delete(name);
    zone?.unhealthy.delete(name);
  }

  #settle(now: number): string {
    for (const zone of this.#zones.values()) {
      const state = stateOf(zone);
      if (state === zone.state) continue;
      this.#refill(zone, now);
      // A zone that recovers starts with permission for one node, as a new one does.
      if (zone.state === "PartialDisruption") zone.tokens = 1;
      zone.state = state;
    }
    return this.#summary();
  }

  #summary(): string {
    return [...this.#zones.values()].map(({ state }) => state).join() + this.isAllDown;
  }
}

function stateOf({ healthy, unhealthy }: Zone): ZoneState {
  if (healthy.size === 0 && unhealthy.size > 0) return "FullDisruption";
  if (unhealthy.size > 2 && unhealthy.size / (healthy.size + unhealthy.size) >= UNHEALTHY_SHARE) return "PartialDisruption";
  return "Normal";
}

/** `<region>:<zone>`, either empty where the node does not say. */
export function zoneKey({ metadata: { labels } }: Node): string {
  return `${labels?.["topology.kubernetes.io/region"] ?? ""}:${labels?.["topology.kubernetes.io/zone"] ?? ""}`;
}

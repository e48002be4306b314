// Everything services hold uniquely in the cluster, taken together and given back together.
import type { Service, ServiceSpec } from "../../../../api/types.ts";
import type { StrategyContext } from "../strategy.ts";
import { ServiceAddresses } from "./addresses.ts";
import { isHeadless, needsClusterIP } from "./defaults.ts";
import { addressesOf } from "./held.ts";
import type { Family, IpRange } from "./ip-range.ts";
import type { NodePorts } from "./node-ports.ts";

export interface AllocationOptions {
  /** The cluster's ranges, the default family first; at most one per family. */
  readonly clusterIPs: readonly IpRange[];
  readonly nodePorts: NodePorts;
}

/** The addresses and ports of services. */
export class ServiceAllocation {
  readonly #addresses: ServiceAddresses;
  readonly #ports: NodePorts;

  constructor({ clusterIPs, nodePorts }: AllocationOptions) {
    this.#addresses = new ServiceAddresses(clusterIPs);
    this.#ports = nodePorts;
  }

  /** The families of the cluster, the default one first. */
  get families(): readonly Family[] {
    return this.#addresses.families;
  }

  /** Takes what the new version needs beyond the old one's and writes it into it; returns how to undo that. */
  async take(service: Service, old: Service | undefined, context: StrategyContext): Promise<() => Promise<void>> {
    const ips = await this.#takeAddresses(service, old?.spec, context);
    const undoAddresses = async (): Promise<void> => {
      if (!context.dryRun) for (const ip of ips) await this.#addresses.giveBack(context.client, service, ip);
    };
    try {
      await this.#ports.load(context.client);
      const undoPorts = this.#ports.take(service, old);
      return async () => {
        undoPorts();
        await undoAddresses();
      };
    } catch (error) {
      await undoAddresses();
      throw error;
    }
  }

  /** Gives back what a service held, but for what its next version still holds. */
  async release(service: Service, { client }: StrategyContext, next?: Service): Promise<void> {
    await this.#ports.load(client);
    this.#ports.release(service, next);
    const kept = new Set(next?.spec ? addressesOf(next.spec) : []);
    for (const ip of addressesOf(service.spec ?? {})) if (!kept.has(ip)) await this.#addresses.giveBack(client, service, ip);
  }

  async #takeAddresses(service: Service, old: ServiceSpec | undefined, { client, dryRun }: StrategyContext): Promise<string[]> {
    const spec = service.spec as ServiceSpec;
    if (!needsClusterIP(spec) || isHeadless(spec)) return [];
    const held = new Set(old ? addressesOf(old) : []);
    const ips = [...(spec.clusterIPs ?? [])];
    const taken: string[] = [];
    try {
      for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
        const wanted = ips[index] ?? "";
        if (wanted !== "" && held.has(wanted)) continue;
        const ip = await this.#addresses.take(client, { service, family: family as Family, wanted, dryRun });
        ips[index] = ip;
        taken.push(ip);
      }
    } catch (error) {
      if (!dryRun) for (const ip of taken) await this.#addresses.giveBack(client, service, ip);
      throw error;
    }
    if (ips.length === 0) return taken;
    spec.clusterIPs = ips;
    spec.clusterIP = ips[0] as string;
    return taken;
  }
}


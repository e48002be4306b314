// The proxy's rules of one address family on one machine: remembers what was applied, applies only what differs.
// Knows nothing of informers; the component feeds it.
import type { EndpointSlice, Service } from "../../api/types.ts";
import { ExecError, type Exec } from "../../lib/exec.ts";
import { documentFor, NO_CHAINS, type Chains } from "../host/chains.ts";
import { forgetConnections } from "../host/conntrack.ts";
import type { Iptables } from "../host/iptables.ts";
import { ensureJumps } from "../host/jumps.ts";
import { compileService, type CompiledService, type HealthCheck, type UdpPort } from "./compile.ts";
import { chainsFor } from "./document.ts";
import { CANARY, hasCanaries, PROXY_JUMPS } from "./jumps.ts";
import { isServiceChain } from "./names.ts";
import type { NodeConfig } from "./service-rules.ts";
import { staleFlows } from "./stale.ts";

/** A Service with its slices, by `namespace/name`. */
export interface ServiceSource {
  keys(): Iterable<string>;
  get(key: string): { readonly service: Service; readonly slices: readonly EndpointSlice[] } | undefined;
}

export interface SyncerOptions {
  readonly iptables: Iptables;
  readonly exec: Exec;
  readonly family: 4 | 6;
}

/** Past this many endpoints, comments are most of the document. */
const LARGE_CLUSTER_ENDPOINTS = 1000;

/** Applies Services to one machine's packet filter. */
export class Syncer {
  readonly #options: SyncerOptions;
  #compiled = new Map<string, CompiledService>();
  #config: NodeConfig | undefined;
  /** undefined: unknown, as at start or after a failure; the next sync writes everything. */
  #applied: Chains | undefined;

  constructor(options: SyncerOptions) {
    this.#options = options;
  }

  /** Brings the machine to what `source` says; `changed` names the Services to look at again, or all when undefined. Throws ExecError, and then starts over next time. */
  async sync(source: ServiceSource, wanted: NodeConfig, changed?: ReadonlySet<string>): Promise<void> {
    const udp = this.#compile(source, { ...wanted, comments: this.#config?.comments ?? true }, changed);
    // Only now is it known how large the cluster is.
    const comments = this.#endpointCount() <= LARGE_CLUSTER_ENDPOINTS;
    if (comments !== this.#config?.comments) this.#compile(source, { ...wanted, comments });
    const desired = chainsFor([...this.#compiled.values()].flatMap((entry) => entry.rules), this.#options.family);
    await this.#apply(desired);
    if (udp.length > 0) await this.#forgetStale(udp);
  }

  /** Finds out cheaply whether somebody removed our chains or jumps; if so the next sync writes everything. */
  async check(): Promise<boolean> {
    if (this.#applied === undefined || !(await hasCanaries(this.#options.iptables))) this.#applied = undefined;
    else await ensureJumps(this.#options.iptables, PROXY_JUMPS);
    return this.#applied !== undefined;
  }

  /** Whether the machine is known to hold what was last asked for. */
  get isApplied(): boolean {
    return this.#applied !== undefined;
  }

  /** The health check ports to answer. */
  healthChecks(): HealthCheck[] {
    return [...this.#compiled.values()].flatMap((entry) => entry.health ?? []);
  }

  /** Looks at the changed Services again, or at all when the node itself changed; returns the UDP ports whose endpoints did. */
  #compile(source: ServiceSource, config: NodeConfig, changed?: ReadonlySet<string>): UdpPort[] {
    const isSameNode = this.#config !== undefined && signature(config) === signature(this.#config);
    this.#config = config;
    const keys = isSameNode && changed ? changed : new Set([...source.keys(), ...this.#compiled.keys()]);
    const udp: UdpPort[] = [];
    for (const key of keys) {
      const before = this.#compiled.get(key);
      const now = source.get(key);
      if (!now) this.#compiled.delete(key);
      else if (!isSameNode || !before || !isSame(before, now)) {
        const after = compileService(now.service, now.slices, config);
        this.#compiled.set(key, after);
        if (!hasSameEndpoints(before?.udp ?? [], after.udp)) udp.push(...after.udp);
      }
    }
    return udp;
  }

  async #apply(desired: Chains): Promise<void> {
    const { iptables } = this.#options;
    const applied = this.#applied;
    this.#applied = undefined;
    if (!applied) await ensureJumps(iptables, PROXY_JUMPS);
    const document = documentFor(desired, applied ?? NO_CHAINS, applied ? {} : { nat: await this.#leftovers() });
    if (document) await iptables.restore(document);
    if (!applied) for (const table of CANARY.tables) await iptables.ensureChain({ table, chain: CANARY.chain });
    this.#applied = desired;
  }

  /** Chains of Services that went away while nobody was looking. */
  async #leftovers(): Promise<string[]> {
    const saved = await this.#options.iptables.save("nat");
    return [...saved.matchAll(/^:(\S+) /gm)].map((match) => match[1] as string).filter(isServiceChain);
  }

  async #forgetStale(ports: readonly UdpPort[]): Promise<void> {
    const { exec, family } = this.#options;
    const command = ["conntrack", "-L", "-p", "udp", "-f", family === 6 ? "ipv6" : "ipv4"];
    const listed = await exec(command);
    if (listed.exitCode === 127) return;
    if (listed.exitCode !== 0) throw new ExecError(command, listed);
    for (const filter of staleFlows(listed.stdout, ports)) await forgetConnections(exec, filter);
  }

  #endpointCount(): number {
    return [...this.#compiled.values()].reduce((sum, entry) => sum + entry.endpointCount, 0);
  }
}

function signature(config: NodeConfig): string {
  return JSON.stringify({ ...config, localClusterIps: [...config.localClusterIps] });
}

function isSame(before: CompiledService, now: { service: Service; slices: readonly EndpointSlice[] }): boolean {
  return before.service === now.service && before.slices.length === now.slices.length && before.slices.every((slice, index) => slice === now.slices[index]);
}

function hasSameEndpoints(before: readonly UdpPort[], after: readonly UdpPort[]): boolean {
  return before.length === after.length && after.every((port, index) => {
    const old = before[index]?.serving;
    return old?.size === port.serving.size && [...port.serving].every((target) => old.has(target));
  });
}

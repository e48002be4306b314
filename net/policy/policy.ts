// NetworkPolicy as a component of the node: follows policies, pods and namespaces, keeps the chains in step.
// A cluster without policies pays for one watch: pods are followed only once there is one.
import { keyOf, type Handler, type Informer, type Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { KubeObject, Namespace, NetworkPolicy, Pod } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { documentFor, NO_CHAINS, type Chains } from "../host/chains.ts";
import { createIptables, type Iptables } from "../host/iptables.ts";
import { ensureJumps, removeJumps } from "../host/jumps.ts";
import { Loop } from "../loop.ts";
import { policyChains, POLICY_JUMP, POLICY_PREFIX } from "./rules.ts";
import { resolvePolicies } from "./select.ts";

export interface PolicyOptions {
  /** Started by whoever composes, before this component is. */
  readonly informers: Informers;
  readonly exec: Exec;
  readonly nodeName: string;
  /** The pods' range; two, separated by a comma, on dual-stack clusters. */
  readonly clusterCidr: string;
  readonly clock: Clock;
  readonly variant?: "legacy" | "nft" | undefined;
}

const log = logger("network-policy");

/** Enforces NetworkPolicies for this node's pods; stopping leaves the rules in force. */
export function createPolicy(options: PolicyOptions): Component {
  return new PolicyEnforcer(options);
}

/** Removes every chain of ours; absence is success. */
export async function cleanupPolicy(iptables: Iptables): Promise<void> {
  const own = await ownChains(iptables);
  if (own.length > 0) await iptables.restore(["*mangle", ...own.map((chain) => `:${chain} - [0:0]`), ...own.filter((chain) => chain !== POLICY_PREFIX).map((chain) => `-X ${chain}`), "COMMIT", ""].join("\n"));
  await removeJumps(iptables, [POLICY_JUMP]);
}

interface Family {
  readonly family: 4 | 6;
  readonly iptables: Iptables;
  /** undefined: unknown, write everything. */
  applied: Chains | undefined;
}

class PolicyEnforcer implements Component {
  readonly name = "network-policy";
  readonly #options: PolicyOptions;
  readonly #policies: Informer<NetworkPolicy>;
  readonly #families: readonly Family[];
  readonly #loop: Loop;
  #world: { readonly pods: Informer<Pod>; readonly namespaces: Informer<Namespace> } | undefined;

  constructor(options: PolicyOptions) {
    this.#options = options;
    this.#families = options.clusterCidr.split(",").map((cidr) => {
      const family = cidr.includes(":") ? 6 : 4;
      return { family, iptables: createIptables({ exec: options.exec, family, variant: options.variant }), applied: undefined };
    });
    this.#loop = new Loop({ body: (repair) => this.#sync(repair), clock: options.clock, log });
    this.#policies = options.informers.for<NetworkPolicy>(builtinKind("networking.k8s.io", "v1", "NetworkPolicy"));
    this.#policies.addHandler(this.#onChange<NetworkPolicy>(() => true));
  }

  async start(): Promise<void> {
    await this.#options.informers.waitForSync(this.#loop.signal);
    await this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async #sync(repair: boolean): Promise<void> {
    const policies = this.#policies.lister.list();
    if (policies.length > 0) await this.#follow();
    for (const family of this.#families) {
      if (repair && !(await isIntact(family))) family.applied = undefined;
      await this.#apply(family, policies);
    }
  }

  async #apply(family: Family, policies: readonly NetworkPolicy[]): Promise<void> {
    const { iptables, applied } = family;
    const wanted = policies.length === 0 ? NO_CHAINS : this.#chains(family.family, policies);
    family.applied = undefined;
    if (policies.length === 0 && (applied === undefined || applied.mangle)) await cleanupPolicy(iptables);
    else if (policies.length > 0) {
      const document = documentFor(wanted, applied ?? NO_CHAINS, applied ? {} : { mangle: await ownChains(iptables) });
      if (document) await iptables.restore(document);
      if (!applied?.mangle) await ensureJumps(iptables, [POLICY_JUMP]);
    }
    family.applied = wanted;
  }

  #chains(family: 4 | 6, policies: readonly NetworkPolicy[]): Chains {
    const { nodeName } = this.#options;
    return policyChains(resolvePolicies({ nodeName, family, policies, pods: this.#world?.pods.lister.list() ?? [], namespaces: this.#world?.namespaces.lister.list() ?? [] }));
  }

  /** From the first policy on, pods and namespaces decide who may talk to whom. */
  async #follow(): Promise<void> {
    if (this.#world) return;
    const { informers } = this.#options;
    const pods = informers.for<Pod>(builtinKind("", "v1", "Pod"));
    const namespaces = informers.for<Namespace>(builtinKind("", "v1", "Namespace"));
    await informers.waitForSync(this.#loop.signal);
    this.#world = { pods, namespaces };
    pods.addHandler(this.#onChange<Pod>((pod, old) => podSignature(pod) !== podSignature(old)));
    namespaces.addHandler(this.#onChange<Namespace>((namespace, old) => JSON.stringify(namespace.metadata.labels) !== JSON.stringify(old.metadata.labels)));
  }

  #onChange<T extends KubeObject>(matters: (object: T, old: T) => boolean): Handler<T> {
    const kick = (): void => this.#loop.kick();
    return { add: kick, delete: kick, update: (object, old) => { if (matters(object, old)) kick(); } };
  }
}

/** What of a pod decides about rules; its status changes far more often. */
function podSignature({ metadata, spec, status }: Pod): string {
  return JSON.stringify([keyOf({ metadata }), metadata.labels, spec?.nodeName, status?.podIPs ?? status?.podIP, status?.phase === "Succeeded" || status?.phase === "Failed"]);
}

async function isIntact({ iptables, applied }: Family): Promise<boolean> {
  if (!applied?.mangle) return applied !== undefined;
  const [jumps, chain] = await Promise.all([iptables.rules({ table: "mangle", chain: "FORWARD" }), iptables.rules({ table: "mangle", chain: POLICY_PREFIX })]);
  return (jumps ?? []).some((line) => line.endsWith(` -j ${POLICY_PREFIX}`)) && chain?.length === applied.mangle.get(POLICY_PREFIX)?.length;
}

async function ownChains(iptables: Iptables): Promise<string[]> {
  return [...(await iptables.save("mangle")).matchAll(/^:(\S+) /gm)].map((match) => match[1] as string).filter((chain) => chain.startsWith(POLICY_PREFIX));
}

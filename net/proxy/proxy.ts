// kube-proxy as a component of the node: hears of Services and EndpointSlices, keeps the packet filter in step.
// Decisions are in `rules.ts` and below; this file only connects them to informers and time.
import { keyOf, type Handler, type Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { EndpointSlice, KubeObject, Node, Service } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { createIptables, type Iptables } from "../host/iptables.ts";
import { allowPodTraffic } from "../host/podtraffic.ts";
import { setSysctls } from "../host/sysctl.ts";
import { Loop } from "../loop.ts";
import { ProxyHealth, ServiceHealth } from "./health.ts";
import { SERVICE_NAME_LABEL } from "./rules.ts";
import type { NodeConfig } from "./service-rules.ts";
import { Syncer, type ServiceSource } from "./syncer.ts";

export interface ProxyOptions {
  /** Started by whoever composes, before the proxy is. */
  readonly informers: Informers;
  readonly exec: Exec;
  readonly nodeName: string;
  readonly nodeIp: string;
  /** The pods' range; two, separated by a comma, on dual-stack clusters. */
  readonly clusterCidr: string;
  readonly clock: Clock;
  /** Cluster IPs this node answers itself while they have no endpoints: cluster DNS. */
  readonly localClusterIps?: readonly string[];
  /** Left out: 0.0.0.0:10256. */
  readonly healthAddress?: { readonly hostname: string; readonly port: number };
  readonly variant?: "legacy" | "nft" | undefined;
}

const log = logger("proxy");
const SLICES_BY_SERVICE = "proxy/service";
const ZONE_LABEL = "topology.kubernetes.io/zone";
const REMOVAL_TAINT = "ToBeDeletedByClusterAutoscaler";

/** The proxy; `start` resolves once the first complete set of rules is in place. */
export function createProxy(options: ProxyOptions): Component {
  return new KubeProxy(options);
}

class KubeProxy implements Component {
  readonly name = "proxy";
  readonly #options: ProxyOptions;
  readonly #source: ServiceSource;
  readonly #families: readonly { readonly cidr: string; readonly family: 4 | 6; readonly iptables: Iptables; readonly syncer: Syncer }[];
  readonly #health: ProxyHealth;
  readonly #serviceHealth: ServiceHealth;
  readonly #loop: Loop;
  #changed = new Set<string>();
  #node: Node | undefined;
  #server: Bun.Server<undefined> | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const { exec, clock, clusterCidr, variant } = options;
    this.#families = clusterCidr.split(",").map((cidr) => {
      const family = cidr.includes(":") ? 6 : 4;
      const iptables = createIptables({ exec, family, variant });
      return { cidr, family, iptables, syncer: new Syncer({ iptables, exec, family }) };
    });
    this.#health = new ProxyHealth({ clock, families: this.#families.map((entry) => entry.family), isNodeEligible: () => isEligible(this.#node) });
    this.#serviceHealth = new ServiceHealth(this.#health, (port, error) => log.error({ port, err: error }, "cannot listen on a Service's health check port"));
    this.#loop = new Loop({ body: (repair) => this.#sync(repair), clock, log });
    this.#source = this.#watch();
  }

  async start(): Promise<void> {
    const { informers, exec, healthAddress } = this.#options;
    await informers.waitForSync(this.#loop.signal);
    // Node ports answer on 127.0.0.1 too; KUBE-FIREWALL keeps neighbours from using that.
    await setSysctls(exec, { "net/ipv4/conf/all/route_localnet": "1" }).catch((error: unknown) => log.warn({ err: error }, "node ports will not answer on 127.0.0.1"));
    await this.#loop.start();
    this.#server = Bun.serve({ hostname: "0.0.0.0", port: 10256, ...healthAddress, fetch: (request) => this.#health.respond(new URL(request.url).pathname) });
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    this.#serviceHealth.stop();
    await this.#server?.stop(true);
  }

  async #sync(repair: boolean): Promise<void> {
    const keys = this.#changed;
    this.#changed = new Set();
    for (const { cidr, syncer, iptables } of this.#families) {
      const isIntact = repair && (await syncer.check());
      if (!syncer.isApplied) await allowPodTraffic(iptables, cidr);
      if (!isIntact) await syncer.sync(this.#source, this.#nodeConfig(cidr), repair ? undefined : keys);
    }
    this.#health.updated();
    this.#serviceHealth.sync(this.#families.flatMap(({ syncer }) => syncer.healthChecks()));
  }

  #nodeConfig(clusterCidr: string): NodeConfig {
    const { nodeName, nodeIp, localClusterIps = [] } = this.#options;
    return { nodeName, nodeIp, clusterCidr, zone: zoneOf(this.#node), localClusterIps: new Set(localClusterIps), comments: true };
  }

  #watch(): ServiceSource {
    const { informers, nodeName } = this.#options;
    const services = informers.for<Service>(builtinKind("", "v1", "Service"));
    const slices = informers.for<EndpointSlice>(builtinKind("discovery.k8s.io", "v1", "EndpointSlice"));
    const nodes = informers.for<Node>(builtinKind("", "v1", "Node"));
    slices.addIndex(SLICES_BY_SERVICE, (slice) => [serviceKeyOf(slice)]);
    services.addHandler(onAnyChange((service) => this.#touch(keyOf(service))));
    slices.addHandler(onAnyChange((slice) => this.#touch(serviceKeyOf(slice))));
    const onNode = (node: Node): void => {
      if (node.metadata.name !== nodeName) return;
      const moved = zoneOf(this.#node) !== zoneOf(node);
      this.#node = node;
      if (moved) this.#loop.kick();
    };
    nodes.addHandler({ add: onNode, update: onNode });
    return {
      keys: () => services.lister.list().map(keyOf),
      get(key) {
        const service = services.lister.get(key);
        return service && { service, slices: slices.lister.byIndex(SLICES_BY_SERVICE, key) };
      },
    };
  }

  #touch(key: string): void {
    this.#changed.add(key);
    this.#health.queued();
    this.#loop.kick();
  }
}

function onAnyChange<T extends KubeObject>(react: (object: T) => void): Handler<T> {
  return {
    add: react,
    delete: react,
    // A slice may be given to another Service: the one it leaves has changed too.
    update: (object, old) => [object, old].forEach(react),
  };
}

function zoneOf(node: Node | undefined): string {
  return node?.metadata.labels?.[ZONE_LABEL] ?? "";
}

function isEligible(node: Node | undefined): boolean {
  return !node || (!node.metadata.deletionTimestamp && !node.spec?.taints?.some((taint) => taint.key === REMOVAL_TAINT));
}

function serviceKeyOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace}/${slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? ""}`;
}

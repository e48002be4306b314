// Cluster DNS as a component of every node: holds the cluster's DNS address here and answers on it.
// A question never crosses nodes, and the loss of a node costs nobody else an answer.
import { readFile } from "node:fs/promises";
import { encode, RECURSION_DESIRED } from "dns-packet";
import type { Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { EndpointSlice, Namespace, Service } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { holdAddress } from "../host/localaddress.ts";
import { Loop } from "../loop.ts";
import { respond, type ResponderOptions } from "./answer.ts";
import { Forwarder } from "./forward.ts";
import { nameservers } from "./resolvconf.ts";
import { exchange } from "./upstream.ts";
import { serveDns, type DnsServer } from "./server.ts";
import type { ClusterView } from "./zone.ts";

export interface DnsOptions {
  /** Started by whoever composes, before this component is. */
  readonly informers: Informers;
  readonly clusterDomain: string;
  /** Cluster IPs of kube-system/kube-dns. */
  readonly dnsIp: string;
  readonly exec: Exec;
  readonly clock: Clock;
  /** The node's own, for names outside the cluster. */
  readonly resolvConf?: string;
  readonly port?: number;
  /** Where resolvers listen. */
  readonly upstreamPort?: number;
}

/** The link that holds the DNS address. */
export const DNS_LINK = "minik8s-dns";

const log = logger("dns");
const PROBE_TIMEOUT_MS = 2000;
const SLICES_BY_SERVICE = "dns/service";
const SLICES_BY_ADDRESS = "dns/address";
const SERVICES_BY_IP = "dns/cluster-ip";
const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** Cluster DNS; `start` resolves once it answers on UDP and TCP. */
export function createDns(options: DnsOptions): Component & { readonly port: number } {
  return new ClusterDns(options);
}

class ClusterDns implements Component {
  readonly name = "dns";
  readonly #options: DnsOptions;
  readonly #responder: ResponderOptions;
  readonly #upkeep: Loop;
  readonly #loopName = `${crypto.randomUUID()}.minik8s-loop`;
  #resolvers: readonly { address: string; port: number }[] = [];
  #server: DnsServer | undefined;
  /** The resolvers, joined, that were found to lead back here. */
  #looping: string | undefined;

  constructor(options: DnsOptions) {
    this.#options = options;
    const { informers, clusterDomain, dnsIp, clock } = options;
    this.#responder = {
      clusterDomain, dnsIp,
      view: clusterView(informers),
      outside: new Forwarder({ resolvers: () => this.#resolvers, clock }),
      serial: () => Math.floor(clock.now() / 1000),
      onLoop: (name) => this.#isLoop(name),
    };
    this.#upkeep = new Loop({ body: () => this.#maintain(), clock, log });
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  async start(): Promise<void> {
    const { informers, dnsIp, port = 53 } = this.#options;
    // Before the first full list every Service would seem absent, and clients would keep that.
    await informers.waitForSync(this.#upkeep.signal);
    await this.#upkeep.start();
    try {
      this.#server = await serveDns({ hostname: dnsIp, port, answer: (message) => respond(message, this.#responder) });
    } catch (error) {
      await this.#upkeep.stop();
      throw new Error(`cannot answer cluster DNS on ${dnsIp}:${port}: ${(error as Error).message}; is another DNS server listening on all addresses?`, { cause: error });
    }
    this.#probe();
  }

  async stop(): Promise<void> {
    await this.#upkeep.stop();
    await this.#server?.stop();
  }

  /** Keeps the address held and the resolvers current. */
  async #maintain(): Promise<void> {
    const { exec, dnsIp, resolvConf = "/etc/resolv.conf", upstreamPort = 53 } = this.#options;
    if (!dnsIp.startsWith("127.")) await holdAddress(exec, DNS_LINK, dnsIp);
    const text = await readFile(resolvConf, "utf8").catch(() => "");
    const found = nameservers(text, upstreamPort === 53 ? [dnsIp] : []);
    const addresses = found.join() === this.#looping ? [] : found;
    const isNew = addresses.join() !== this.#resolvers.map((resolver) => resolver.address).join();
    this.#resolvers = addresses.map((address) => ({ address, port: upstreamPort }));
    if (!isNew) return;
    log.info({ resolvers: addresses }, "forwarding other names to the node's resolvers");
    if (this.#server) this.#probe();
  }

  /** Asks each resolver a name nobody knows: should it come back, that resolver sends its questions to us. */
  #probe(): void {
    const query = encode({ type: "query", flags: RECURSION_DESIRED, questions: [{ name: this.#loopName, type: "HINFO", class: "IN" }] });
    for (const resolver of this.#resolvers) void exchange(query, resolver, PROBE_TIMEOUT_MS).catch(() => undefined);
  }

  #isLoop(name: string): boolean {
    if (name.toLowerCase() !== this.#loopName) return false;
    const resolvers = this.#resolvers.map((resolver) => resolver.address);
    log.error({ resolvers }, "a resolver of this node sends its questions to cluster DNS: not forwarding until the node's resolv.conf changes");
    this.#looping = resolvers.join();
    this.#resolvers = [];
    return true;
  }
}

function clusterView(informers: Informers): ClusterView {
  const services = informers.for<Service>(builtinKind("", "v1", "Service"));
  const slices = informers.for<EndpointSlice>(builtinKind("discovery.k8s.io", "v1", "EndpointSlice"));
  const namespaces = informers.for<Namespace>(builtinKind("", "v1", "Namespace"));
  services.addIndex(SERVICES_BY_IP, (service) => (service.spec?.clusterIPs ?? []).filter((ip) => ip !== "None"));
  slices.addIndex(SLICES_BY_SERVICE, (slice) => [`${slice.metadata.namespace}/${slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? ""}`]);
  slices.addIndex(SLICES_BY_ADDRESS, (slice) => (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses));
  return {
    service: (namespace, name) => services.lister.get(`${namespace}/${name}`),
    slices: (namespace, service) => slices.lister.byIndex(SLICES_BY_SERVICE, `${namespace}/${service}`),
    hasNamespace: (name) => namespaces.lister.get(name) !== undefined,
    servicesAt: (ip) => services.lister.byIndex(SERVICES_BY_IP, ip),
    slicesAt: (ip) => slices.lister.byIndex(SLICES_BY_ADDRESS, ip),
  };
}

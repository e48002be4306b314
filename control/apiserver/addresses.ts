// Where pods find the API: the Endpoints and the EndpointSlice of `default/kubernetes`.
// Alone, an API server publishes itself; several publish everyone whose lease in kube-system is being renewed.
import { createHash, randomUUID } from "node:crypto";
import type { Client } from "../../api/client/client.ts";
import { createOrUpdate } from "../../api/client/create-or-update.ts";
import { isNotFound } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Endpoints, EndpointSlice, Lease, Stored } from "../../api/types.ts";
import { microTimestamp, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";

const ENDPOINTS = builtinKind("", "v1", "Endpoints");
const ENDPOINT_SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");
const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const NAMESPACE = "kube-system";
/** What upstream marks the leases of API servers with. */
const IDENTITY_LABEL = { "apiserver.kubernetes.io/identity": "kube-apiserver" };
const SELECTOR = "apiserver.kubernetes.io/identity=kube-apiserver";
const ADDRESS = "minik8s.io/advertise-address";
const RENEW_EVERY_MS = 10_000;
/** An API server that has not renewed for this long gets no more traffic. */
const SILENT_AFTER_MS = 25_000;
/** Upstream's, after which the lease itself is taken away. */
const LEASE_SECONDS = 3600;
const log = logger("addresses");

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** A server that only its own machine can reach has no address for pods. */
export function isReachable({ address }: Place): boolean {
  return !address.startsWith("127.") && address !== "::1";
}

/** Makes `default/kubernetes` lead to exactly these addresses, which share a port. */
export async function publishAddresses(client: Client, addresses: readonly string[], port: number): Promise<void> {
  if (addresses.length === 0) return;
  const sorted = [...new Set(addresses)].toSorted();
  await Promise.all([createOrUpdate(client, ENDPOINTS, endpoints(sorted, port)), createOrUpdate(client, ENDPOINT_SLICE, endpointSlice(sorted, port))]);
}

/** One API server among several: keeps its own lease and publishes those who keep theirs. */
export class ServedAddresses {
  readonly #identity: string;
  readonly #holder: string;
  /** Each lease's last version and when it was first seen here: clocks of other machines are not trusted. */
  readonly #seen = new Map<string, { version: string; atMs: number }>();

  constructor(private readonly client: Client, private readonly place: Place, private readonly clock: Clock) {
    // One lease for each place, whichever process serves there.
    this.#identity = `apiserver-${createHash("sha256").update(`${place.address}:${place.port}`).digest("hex").slice(0, 26)}`;
    this.#holder = `${this.#identity}_${randomUUID()}`;
  }

  /** Goes on until the signal aborts; then gives the lease back and takes the own address away. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#once().catch((error: unknown) => log.warn({ err: error }, "the addresses of the API could not be published; tried again soon"));
      await this.clock.sleep(RENEW_EVERY_MS, signal);
    }
  }

  /** Takes this server out of `default/kubernetes`, as long as another remains. */
  async leave(): Promise<void> {
    await this.client.delete(LEASE, { namespace: NAMESPACE, name: this.#identity });
    await this.#publish();
  }

  async #once(): Promise<void> {
    await this.#renew();
    await this.#publish();
  }

  async #renew(): Promise<void> {
    const now = microTimestamp(this.clock.now());
    await createOrUpdate<Lease>(this.client, LEASE, {
      metadata: { name: this.#identity, namespace: NAMESPACE, labels: IDENTITY_LABEL, annotations: { [ADDRESS]: JSON.stringify(this.place) } },
      spec: { holderIdentity: this.#holder, leaseDurationSeconds: LEASE_SECONDS, renewTime: now },
    });
  }

  async #publish(): Promise<void> {
    const { items } = await this.client.list<Lease>(LEASE, { namespace: NAMESPACE, labelSelector: SELECTOR });
    const living = items.filter((lease) => this.#isLiving(lease));
    await publishAddresses(this.client, living.map(placeOf).filter((place) => place !== undefined && isReachable(place)).map((place) => (place as Place).address), this.place.port);
    for (const lease of items) if (this.#isForgotten(lease)) await this.#remove(lease);
  }

  #isLiving(lease: Stored<Lease>): boolean {
    return this.#silentMs(lease) < SILENT_AFTER_MS;
  }

  #isForgotten(lease: Stored<Lease>): boolean {
    return this.#silentMs(lease) > LEASE_SECONDS * 1000;
  }

  #silentMs({ metadata }: Stored<Lease>): number {
    const now = this.clock.now();
    const seen = this.#seen.get(metadata.name);
    if (seen?.version === metadata.resourceVersion) return now - seen.atMs;
    this.#seen.set(metadata.name, { version: metadata.resourceVersion, atMs: now });
    return 0;
  }

  async #remove({ metadata }: Stored<Lease>): Promise<void> {
    this.#seen.delete(metadata.name);
    await this.client.delete(LEASE, { namespace: NAMESPACE, name: metadata.name }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
}

function placeOf({ metadata }: Stored<Lease>): Place | undefined {
  const text = metadata.annotations?.[ADDRESS];
  return text === undefined ? undefined : (JSON.parse(text) as Place);
}

function endpoints(addresses: readonly string[], port: number): Endpoints {
  return {
    metadata: { name: "kubernetes", namespace: "default", labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports: [{ name: "https", port, protocol: "TCP" }] }],
  };
}

function endpointSlice(addresses: readonly string[], port: number): EndpointSlice {
  return {
    metadata: { name: "kubernetes", namespace: "default", labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: addresses[0]?.includes(":") ? "IPv6" : "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: "https", port, protocol: "TCP" }],
  };
}

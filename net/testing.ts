// Informers whose contents a test sets by hand, and builders for the objects the network works on.
// For tests only.
import type { Client } from "../api/client/client.ts";
import { keyOf, type Handler, type IndexFunction, type Informer, type Informers, type Key } from "../api/client/informer.ts";
import type { KindInfo } from "../api/kinds.ts";
import { configureLogging } from "../lib/log.ts";
import type { EndpointSlice, KubeObject, Node, Pod, Service, Stored } from "../api/types.ts";

configureLogging({ level: "silent", human: false });

/** One kind's objects; `put` and `remove` call handlers as a watch would. */
export class FakeInformer implements Informer<KubeObject> {
  readonly synced = true;
  readonly firstSync = Promise.resolve();
  readonly #objects = new Map<Key, Stored<KubeObject>>();
  readonly #handlers: Handler<KubeObject>[] = [];
  readonly #indexes = new Map<string, IndexFunction<KubeObject>>();

  constructor(readonly kind: KindInfo) {}

  readonly lister = {
    revision: 0,
    get: (key: Key) => this.#objects.get(key),
    list: () => [...this.#objects.values()],
    inNamespace: (namespace: string) => [...this.#objects.values()].filter((object) => object.metadata.namespace === namespace),
    byIndex: (index: string, value: string) => [...this.#objects.values()].filter((object) => this.#indexes.get(index)?.(object).includes(value)),
  };

  addIndex(name: string, index: IndexFunction<KubeObject>): void {
    this.#indexes.set(name, index);
  }

  addHandler(handler: Handler<KubeObject>): void {
    this.#handlers.push(handler);
    for (const object of this.#objects.values()) handler.add?.(object);
  }

  put(object: KubeObject): void {
    const stored = object as Stored<KubeObject>;
    const old = this.#objects.get(keyOf(object));
    this.#objects.set(keyOf(object), stored);
    for (const handler of this.#handlers) if (old) handler.update?.(stored, old); else handler.add?.(stored);
  }

  remove(key: Key): void {
    const old = this.#objects.get(key);
    this.#objects.delete(key);
    if (old) for (const handler of this.#handlers) handler.delete?.(old);
  }
}

/** Informers over nothing but what tests put in. */
export class FakeInformers implements Informers {
  readonly #byKind = new Map<string, FakeInformer>();

  constructor(readonly client: Client = {} as Client) {}

  for<T extends KubeObject>(kind: KindInfo): Informer<T> {
    return this.of(kind) as unknown as Informer<T>;
  }

  of(kind: KindInfo): FakeInformer {
    const key = `${kind.group}/${kind.kind}`;
    const informer = this.#byKind.get(key) ?? new FakeInformer(kind);
    this.#byKind.set(key, informer);
    return informer;
  }

  put(kind: KindInfo, ...objects: readonly KubeObject[]): void {
    for (const object of objects) this.of(kind).put(object);
  }

  start(): void {}

  async waitForSync(): Promise<void> {}
}

/** A Service named `ns/web` on 10.96.0.80, port 80 named `http`, unless told otherwise. */
export function aService(spec: Partial<NonNullable<Service["spec"]>> = {}, metadata: Partial<Service["metadata"]> = {}): Service {
  return {
    metadata: { namespace: "ns", name: "web", uid: "u", ...metadata },
    spec: { type: "ClusterIP", clusterIP: "10.96.0.80", clusterIPs: [spec.clusterIP ?? "10.96.0.80"], ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }], ...spec },
    status: {},
  };
}

export type EndpointText = { readonly ip: string } & Partial<NonNullable<EndpointSlice["endpoints"]>[number]>;

/** A slice of `ns/web` with endpoints on port 8080 named `http`, unless told otherwise. */
export function aSlice(endpoints: readonly (string | EndpointText)[], more: Partial<EndpointSlice> = {}): EndpointSlice {
  return {
    metadata: { namespace: "ns", name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: endpoints.map((entry) => {
      const { ip, ...rest } = typeof entry === "string" ? { ip: entry } : entry;
      return { addresses: [ip], conditions: { ready: true }, ...rest };
    }),
    ...more,
  };
}

/** A node with an InternalIP and a pod range. */
export function aNode(name: string, internalIp: string, podCidr: string, more: Partial<Node["metadata"]> = {}): Node {
  return { metadata: { name, ...more }, spec: { podCIDR: podCidr, podCIDRs: [podCidr] }, status: { addresses: [{ type: "InternalIP", address: internalIp }] } };
}

/** A running pod with an address. */
export function aPod(namespace: string, name: string, { ip, nodeName = "node-1", labels = {} }: { ip: string; nodeName?: string; labels?: Record<string, string> }): Pod {
  return { metadata: { namespace, name, labels }, spec: { nodeName, containers: [] }, status: { phase: "Running", podIP: ip, podIPs: [{ ip }] } };
}

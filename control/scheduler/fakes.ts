// A cluster of plain objects for tests: a client and informers over one map, and builders for nodes and pods.
// Never part of the product.
import type { Client } from "../../api/client/client.ts";
import { keyOf, type Handler, type Informer, type InformerScope, type Informers } from "../../api/client/informer.ts";
import { modifiedConflict, notFound } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { builtinKind } from "../../api/registry.ts";
import type { AnyObject, KubeObject, Node, Pod, PodSpec, Stored } from "../../api/types.ts";

export const POD = builtinKind("", "v1", "Pod");
export const NODE = builtinKind("", "v1", "Node");

/** Objects by kind, told to handlers as they change. Bindings and status patches act as the API server's do. */
export class FakeApi implements Informers {
  readonly client = this.#client();
  readonly deleted: string[] = [];
  /** Thrown by the next binding. */
  bindError: Error | undefined;
  readonly #kinds = new Map<string, FakeInformer>();
  #revision = 0;

  for<T extends KubeObject>(kind: KindInfo, _scope?: InformerScope): Informer<T> {
    return this.#informer(kind) as unknown as Informer<T>;
  }

  start(): void {
    // Everything is there already.
  }

  async waitForSync(): Promise<void> {
    // Everything is there already.
  }

  /** Creates or replaces an object. */
  put<T extends KubeObject>(kind: KindInfo, object: T): Stored<T> {
    const revision = String(++this.#revision);
    const { metadata } = object;
    const stored = { ...object, metadata: { uid: `uid-${metadata.namespace ?? ""}-${metadata.name}`, creationTimestamp: "2026-01-01T00:00:00Z", ...metadata, resourceVersion: revision } } as unknown as Stored<T>;
    this.#informer(kind).put(stored as unknown as Stored<AnyObject>);
    return stored;
  }

  remove(kind: KindInfo, key: string): void {
    this.#informer(kind).remove(key);
  }

  pod(key: string): Stored<Pod> {
    return this.#informer(POD).objects.get(key) as unknown as Stored<Pod>;
  }

  #informer(kind: KindInfo): FakeInformer {
    let informer = this.#kinds.get(`${kind.group}/${kind.plural}`);
    if (!informer) this.#kinds.set(`${kind.group}/${kind.plural}`, (informer = new FakeInformer(kind)));
    return informer;
  }

  #client(): Client {
    const find = (kind: KindInfo, { name, namespace }: { name: string; namespace?: string | undefined }): Stored<AnyObject> => {
      const object = this.#informer(kind).objects.get(namespace ? `${namespace}/${name}` : name);
      if (!object) throw notFound(kind, name);
      return object;
    };
    const client = {
      get: async (kind: KindInfo, name: { name: string }) => find(kind, name),
      post: async (kind: KindInfo, name: { name: string }, _subresource: string, body: AnyObject) => {
        const error = this.bindError;
        this.bindError = undefined;
        if (error) throw error;
        const pod = find(kind, name);
        this.put(kind, { ...pod, spec: { ...pod.spec, nodeName: body.target.name } });
      },
      patch: async (kind: KindInfo, name: { name: string }, { status, spec, metadata }: AnyObject) => {
        const object = find(kind, name);
        return this.put(kind, {
          ...object, ...(spec && { spec: { ...object.spec, ...spec } }), metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, ...metadata?.annotations } },
          ...(status && { status: { ...object.status, ...status, conditions: mergeConditions(object.status?.conditions, status.conditions) } }),
        });
      },
      create: async (kind: KindInfo, object: KubeObject) => {
        const name = object.metadata.name ?? `${object.metadata.generateName}${++this.#revision}`;
        return this.put(kind, { ...object, metadata: { ...object.metadata, name } });
      },
      update: async (kind: KindInfo, object: KubeObject) => {
        const { name, namespace, resourceVersion } = object.metadata;
        const known = find(kind, { name: name ?? "", namespace });
        if (known.metadata.resourceVersion !== resourceVersion) throw modifiedConflict(kind, name ?? "");
        return this.put(kind, object);
      },
      delete: async (kind: KindInfo, name: { name: string; namespace?: string }) => {
        find(kind, name);
        this.deleted.push(`${name.namespace}/${name.name}`);
        this.remove(kind, name.namespace ? `${name.namespace}/${name.name}` : name.name);
      },
    };
    return client as unknown as Client;
  }
}

class FakeInformer {
  readonly objects = new Map<string, Stored<AnyObject>>();
  readonly handlers: Handler<AnyObject>[] = [];
  readonly synced = true;
  readonly firstSync = Promise.resolve();

  constructor(readonly kind: KindInfo) {}

  get lister() {
    const all = () => [...this.objects.values()];
    return {
      revision: 0, get: (key: string) => this.objects.get(key), list: all, byIndex: () => [],
      inNamespace: (namespace: string) => all().filter((o) => o.metadata.namespace === namespace),
    };
  }

  addIndex(): void {
    // Nothing here is looked up by index.
  }

  addHandler(handler: Handler<AnyObject>): void {
    this.handlers.push(handler);
    for (const object of this.objects.values()) handler.add?.(object);
  }

  put(object: Stored<AnyObject>): void {
    const old = this.objects.get(keyOf(object));
    this.objects.set(keyOf(object), object);
    for (const handler of this.handlers) {
      if (old) handler.update?.(object, old);
      else handler.add?.(object);
    }
  }

  remove(key: string): void {
    const object = this.objects.get(key);
    if (!object) return;
    this.objects.delete(key);
    for (const handler of this.handlers) handler.delete?.(object);
  }
}

function mergeConditions(old: AnyObject[] = [], changed: AnyObject[] = []): AnyObject[] {
  return [...old.filter((o) => !changed.some((c) => c.type === o.type)), ...changed];
}

/** A ready node: 4 CPUs, 8Gi, 110 pods, unless said otherwise. */
export function aNode(name: string, options: { labels?: Record<string, string>; cpu?: string; memory?: string; pods?: string; extra?: Record<string, string>; taints?: NonNullable<Node["spec"]>["taints"]; unschedulable?: boolean; images?: { names: string[]; sizeBytes: number }[] } = {}): Node {
  const { labels = {}, cpu = "4", memory = "8Gi", pods = "110", extra = {} } = options;
  return {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    spec: { taints: options.taints, ...(options.unschedulable && { unschedulable: true }) },
    status: { allocatable: { cpu, memory, pods, "ephemeral-storage": "100Gi", ...extra }, images: options.images },
  };
}

/** A pod of one container, in namespace default unless said otherwise. */
export function aPod(name: string, options: { namespace?: string; labels?: Record<string, string>; cpu?: string; memory?: string; extra?: Record<string, string>; ports?: number[]; spec?: Partial<PodSpec>; metadata?: Partial<Pod["metadata"]>; status?: Pod["status"] } = {}): Pod {
  const { cpu, memory, extra, ports = [] } = options;
  return {
    metadata: { name, namespace: options.namespace ?? "default", labels: options.labels ?? {}, generation: 1, ...options.metadata },
    spec: {
      schedulerName: "default-scheduler",
      containers: [{
        name: "main", image: "app:1", resources: { requests: { ...(cpu && { cpu }), ...(memory && { memory }), ...extra } },
        ports: ports.map((hostPort) => ({ containerPort: hostPort, hostPort })),
      }],
      ...options.spec,
    },
    status: options.status ?? { phase: "Pending" },
  };
}

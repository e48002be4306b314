// Empties a namespace that is being deleted, pods first, then lets it go; tells in conditions what keeps it.
// Conditions and order: k8s.io/kubernetes/pkg/controller/namespace/deletion.
import type { Client } from "../../api/client/client.ts";
import { keyOf, type Informer } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { ApiError, isConflict, isNotFound } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import type { KubeObject, Namespace, Pod, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { NAMESPACE, POD } from "./kinds.ts";
import { namespaceConditions, type Remains } from "./namespacestatus.ts";
import { isFinished } from "./pods.ts";

const NAME = "namespace-controller";
const FINALIZER = "kubernetes";
/** How long finalizers of content are given before the next look, unless an event comes first. */
const FINALIZER_SECONDS = 15;

export function namespaceController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock, backoff: { baseMs: 100, maxMs: 60_000 } });
  const namespaces = deps.informers.for<Namespace>(NAMESPACE);
  const enqueue = (namespace: Stored<Namespace>): void => {
    if (namespace.metadata.deletionTimestamp) queue.add(keyOf(namespace));
  };
  namespaces.addHandler({ add: enqueue, update: enqueue });
  wakeWhenPodsAreGone(deps, namespaces, queue);
  const deleter = new NamespaceDeleter({ client, clock: deps.clock, kindsOf: () => contentKinds(deps.kinds.all()) });
  const reconcile = async (name: string): Promise<void> => {
    if (!namespaces.lister.get(name)) return;
    const seconds = await deleter.delete(name);
    if (seconds !== undefined) queue.addAfter(name, (seconds / 2 + 1) * 1000);
  };
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 10, reconcile, subject: telling(deps, NAME, namespaces) });
}

/** The last pod gone is what nearly every namespace waits for. */
function wakeWhenPodsAreGone(deps: ControllerDeps, namespaces: Informer<Namespace>, queue: WorkQueue): void {
  const pods = deps.informers.for<Pod>(POD);
  pods.addHandler({
    delete: ({ metadata: { namespace = "" } }) => {
      if (namespaces.lister.get(namespace)?.metadata.deletionTimestamp && pods.lister.inNamespace(namespace).length === 0) queue.add(namespace);
    },
  });
}

interface DeleterOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly kindsOf: () => readonly KindInfo[];
}

/** What one round of deletion left, for one kind. */
interface KindRemains {
  readonly kind: KindInfo;
  readonly count: number;
  readonly finalizers: ReadonlyMap<string, number>;
  readonly waitSeconds: number;
}

class NamespaceDeleter {
  constructor(private readonly options: DeleterOptions) {}

  /** Deletes what it can; returns the seconds to wait for what remains, undefined when nothing does. */
  async delete(name: string): Promise<number | undefined> {
    const namespace = await this.#read(name);
    if (!namespace?.metadata.deletionTimestamp || !namespace.spec?.finalizers?.length) return undefined;
    const { remains, failures } = await this.#deleteContent(namespace);
    await this.#writeConditions(namespace, { remains: sumUp(remains), failures: failures.map((error) => (error as Error).message) });
    if (failures.length > 0) throw new AggregateError(failures, `content of namespace ${name} was not deleted: ${(failures[0] as Error).message}`);
    if (remains.length > 0) return Math.max(...remains.map(({ waitSeconds }) => waitSeconds));
    await this.#finalize(name);
    return undefined;
  }

  async #deleteContent(namespace: Stored<Namespace>): Promise<{ remains: KindRemains[]; failures: unknown[] }> {
    const pods = await this.#deleteKinds(namespace, [POD]);
    // Everything else stays while pods may still be using it.
    if (pods.remains.length > 0 || pods.failures.length > 0) return pods;
    return this.#deleteKinds(namespace, this.options.kindsOf().filter((kind) => kind.kind !== "Pod" || kind.group !== ""));
  }

  async #deleteKinds(namespace: Stored<Namespace>, kinds: readonly KindInfo[]): Promise<{ remains: KindRemains[]; failures: unknown[] }> {
    const results = await Promise.allSettled(kinds.map((kind) => this.#deleteKind(namespace, kind)));
    const remains = results.flatMap((result) => (result.status === "fulfilled" && result.value.count > 0 ? [result.value] : []));
    return { remains, failures: results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : [])) };
  }

  async #deleteKind(namespace: Stored<Namespace>, kind: KindInfo): Promise<KindRemains> {
    const { name } = namespace.metadata;
    const before = await this.#list(kind, name);
    if (before.length === 0) return { kind, count: 0, finalizers: new Map(), waitSeconds: 0 };
    const waitSeconds = kind === POD ? graceSeconds(namespace, before, this.options.clock.now()) : 0;
    await this.#deleteAll(kind, name, before);
    const after = await this.#list(kind, name);
    const finalizers = countFinalizers(after);
    if (after.length > 0 && waitSeconds === 0 && finalizers.size === 0) throw new Error(`unexpected items still remain in namespace: ${name} for gvr: ${kind.group}/${kind.version}, Resource=${kind.plural}`);
    return { kind, count: after.length, finalizers, waitSeconds: waitSeconds || FINALIZER_SECONDS };
  }

  async #deleteAll(kind: KindInfo, namespace: string, objects: readonly Stored<KubeObject>[]): Promise<void> {
    const { client } = this.options;
    const options = { propagationPolicy: "Background" } as const;
    if (kind.verbs.includes("deletecollection")) return client.deleteCollection(kind, { namespace }, options);
    for (const { metadata: { name } } of objects) await ignoring(isNotFound, client.delete(kind, { namespace, name }, options));
  }

  async #list(kind: KindInfo, namespace: string): Promise<readonly Stored<KubeObject>[]> {
    try {
      return (await this.options.client.list(kind, { namespace })).items;
    } catch (error) {
      // A custom kind may have been unregistered just now; its objects are gone with it.
      if (error instanceof ApiError && (error.code === 404 || error.code === 405)) return [];
      throw error;
    }
  }

  async #writeConditions(namespace: Stored<Namespace>, outcome: { remains: Remains; failures: readonly string[] }): Promise<void> {
    const { client, clock } = this.options;
    const conditions = namespaceConditions(namespace.status?.conditions ?? [], outcome, clock.now());
    if (!conditions) return;
    const status = { ...namespace.status, phase: "Terminating", conditions };
    await ignoring((error) => isConflict(error) || isNotFound(error), client.update<Namespace>(NAMESPACE, { ...namespace, status }, { subresource: "status" }));
  }

  async #finalize(name: string): Promise<void> {
    for (;;) {
      const namespace = await this.#read(name);
      if (!namespace?.spec?.finalizers?.includes(FINALIZER)) return;
      const finalizers = namespace.spec.finalizers.filter((finalizer) => finalizer !== FINALIZER);
      try {
        await this.options.client.update<Namespace>(NAMESPACE, { ...namespace, spec: { ...namespace.spec, finalizers } }, { subresource: "finalize" });
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isConflict(error)) throw error;
      }
    }
  }

  async #read(name: string): Promise<Stored<Namespace> | undefined> {
    try {
      return await this.options.client.get<Namespace>(NAMESPACE, { name });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

/** The kinds whose objects live in namespaces and can be listed and deleted; each stored object once. */
function contentKinds(kinds: readonly KindInfo[]): KindInfo[] {
  return kinds.filter((kind) => kind.namespaced && !kind.storedAs && kind.verbs.includes("list") && kind.verbs.includes("delete"));
}

/** How long the slowest pod may still take; 0 once that time has passed since the namespace was deleted. */
function graceSeconds(namespace: Stored<Namespace>, pods: readonly Pod[], now: number): number {
  const longest = Math.max(0, ...pods.filter((pod) => !isFinished(pod)).map((pod) => pod.spec?.terminationGracePeriodSeconds ?? 30));
  const passed = (now - Date.parse(namespace.metadata.deletionTimestamp ?? "")) / 1000;
  return passed >= longest ? FINALIZER_SECONDS : longest;
}

function countFinalizers(objects: readonly KubeObject[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { metadata } of objects) for (const finalizer of metadata.finalizers ?? []) counts.set(finalizer, (counts.get(finalizer) ?? 0) + 1);
  return counts;
}

function sumUp(remains: readonly KindRemains[]): Remains {
  const finalizers = new Map<string, number>();
  for (const { finalizers: counts } of remains) for (const [finalizer, count] of counts) finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + count);
  return { resources: new Map(remains.map(({ kind, count }) => [`${kind.plural}.${kind.group}`, count])), finalizers };
}

async function ignoring(isFine: (error: unknown) => boolean, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isFine(error)) throw error;
  }
}

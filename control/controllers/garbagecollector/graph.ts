// Who depends on whom, over every kind being served: caches with one index, kept in step with the kinds.
// What to do about it is the collector's business.
import type { Client } from "../../../api/client/client.ts";
import { keyOf, type Informer, type Informers, type Key } from "../../../api/client/informer.ts";
import { createInformers } from "../../../api/client/informers.ts";
import { KINDS, parseApiVersion, type KindInfo } from "../../../api/kinds.ts";
import type { KindRegistry } from "../../../api/registry.ts";
import type { KubeObject, OwnerReference, Stored } from "../../../api/types.ts";
import type { Clock } from "../../../lib/clock.ts";
import { metadataScope } from "../kinds.ts";

export const FOREGROUND = "foregroundDeletion";
export const ORPHAN = "orphan";

/** One object and its kind. */
export interface Item {
  readonly kind: KindInfo;
  readonly object: Stored<KubeObject>;
}

export interface GraphOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly kinds: KindRegistry;
  readonly clock: Clock;
  /** Called for every change that matters; `old` only for updates. */
  readonly onChange: (type: "add" | "update" | "delete", item: Item, old: Stored<KubeObject> | undefined) => void;
  readonly onKindsChanged: () => void;
}

interface Monitor {
  readonly kind: KindInfo;
  readonly informer: Informer<KubeObject>;
  /** Ends a cache that is not shared: that of a kind which may go away. */
  readonly stop: AbortController | undefined;
}

const OWNER_INDEX = "owner";
/** Never owned in a way that matters, and too many to watch twice. */
const IGNORED = new Set(["/events", "events.k8s.io/events"]);

/** The dependency graph. Built-in kinds share everyone's caches; others are watched here while they are served. */
export class Graph {
  readonly #options: GraphOptions;
  readonly #monitors = new Map<string, Monitor>();
  #signal: AbortSignal | undefined;

  constructor(options: GraphOptions) {
    this.#options = options;
    for (const kind of options.kinds.all()) if (isCollected(kind)) this.#monitor(kind);
  }

  /** Follows kinds that come and go until the signal aborts. */
  follow(signal: AbortSignal): void {
    this.#signal = signal;
    const stop = this.#options.kinds.onChange(() => this.#syncKinds());
    signal.addEventListener("abort", () => {
      stop();
      for (const monitor of this.#monitors.values()) monitor.stop?.abort();
    }, { once: true });
    this.#syncKinds();
  }

  get(id: string): Item | undefined {
    const bar = id.indexOf("|");
    const monitor = this.#monitors.get(id.slice(0, bar));
    const object = monitor?.informer.lister.get(id.slice(bar + 1));
    return monitor && object && { kind: monitor.kind, object };
  }

  /** Everything that names this UID as an owner. */
  dependentsOf(uid: string): Item[] {
    const found: Item[] = [];
    for (const { kind, informer } of this.#monitors.values()) {
      for (const object of informer.lister.byIndex(OWNER_INDEX, uid)) found.push({ kind, object });
    }
    return found;
  }

  /** Dependents of an owner in caches that may be behind it, as the server has them. */
  async unheardDependentsOf({ object: { metadata: { uid, namespace, resourceVersion } } }: Item): Promise<Item[]> {
    const behind = [...this.#monitors.values()].filter(({ kind, informer }) => informer.lister.revision < Number(resourceVersion) && (kind.namespaced || namespace === undefined));
    const found = await Promise.all(behind.map(async ({ kind }) => {
      const { items } = await this.#options.client.list(kind, { namespace });
      return items.filter(({ metadata }) => metadata.ownerReferences?.some((reference) => reference.uid === uid)).map((object) => ({ kind, object }));
    }));
    return found.flat();
  }

  /** The owner as cached; undefined when it is not there under that name and UID. */
  ownerOf(item: Item, reference: OwnerReference): Item | undefined {
    const kind = this.kindOf(reference);
    const monitor = kind && this.#monitors.get(idOf(kind));
    const owner = monitor?.informer.lister.get(ownerKey(monitor.kind, item, reference));
    return monitor && owner?.metadata.uid === reference.uid ? { kind: monitor.kind, object: owner } : undefined;
  }

  /** The served kind a reference means, in whatever version it is served. */
  kindOf(reference: OwnerReference): KindInfo | undefined {
    const { group, version } = parseApiVersion(reference.apiVersion);
    const { kinds } = this.#options;
    return kinds.kind(group, version, reference.kind) ?? kinds.all().find((kind) => kind.group === group && kind.kind === reference.kind);
  }

  #syncKinds(): void {
    const served = new Map(this.#options.kinds.all().filter((kind) => isCollected(kind)).map((kind) => [idOf(kind), kind]));
    for (const [id, monitor] of this.#monitors) {
      if (served.has(id) || !monitor.stop) continue;
      monitor.stop.abort();
      this.#monitors.delete(id);
    }
    for (const [id, kind] of served) if (!this.#monitors.has(id)) this.#monitor(kind);
    this.#options.onKindsChanged();
  }

  #monitor(kind: KindInfo): void {
    const { informers, client, clock } = this.#options;
    const stop = BUILTIN.has(idOf(kind)) ? undefined : new AbortController();
    const source = stop ? createInformers(client, clock) : informers;
    const informer = source.for<KubeObject>(kind, metadataScope(kind));
    const { onChange } = this.#options;
    informer.addIndex(OWNER_INDEX, (object) => object.metadata.ownerReferences?.map(({ uid }) => uid) ?? []);
    informer.addHandler({
      add: (object) => onChange("add", { kind, object }, undefined),
      update: (object, old) => onChange("update", { kind, object }, old),
      delete: (object) => onChange("delete", { kind, object }, undefined),
    });
    this.#monitors.set(idOf(kind), { kind, informer, stop });
    if (stop && this.#signal) source.start(AbortSignal.any([stop.signal, this.#signal]));
  }
}

/** What the queue holds: the resource and the key in it. */
export function idOfItem({ kind, object }: Item): string {
  return `${idOf(kind)}|${keyOf(object)}`;
}

/** Where the owner would be: beside the dependent, or outside namespaces. */
function ownerKey(kind: KindInfo, { object }: Item, reference: OwnerReference): Key {
  return kind.namespaced ? `${object.metadata.namespace ?? ""}/${reference.name}` : reference.name;
}

function idOf(kind: KindInfo): string {
  return `${kind.group}/${kind.plural}`;
}

const BUILTIN: ReadonlySet<string> = new Set(KINDS.map(idOf));

function isCollected(kind: KindInfo): boolean {
  return !kind.storedAs && !IGNORED.has(idOf(kind)) && ["list", "watch", "delete"].every((verb) => (kind.verbs as readonly string[]).includes(verb));
}

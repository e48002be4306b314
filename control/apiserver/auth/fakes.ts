// Live objects for tests of who may what: informers over a map, filled by hand.
// Never part of the product.
import { keyOf, type Handler, type Informer, type Informers } from "../../../api/client/informer.ts";
import type { Client } from "../../../api/client/client.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, KubeObject, Stored } from "../../../api/types.ts";

/** Informers that hear of `put` and `remove` at once. */
export class FakeInformers implements Informers {
  readonly #kinds = new Map<string, { objects: Map<string, Stored<AnyObject>>; handlers: Handler<AnyObject>[] }>();
  #revision = 0;

  get client(): Client {
    throw new Error("nothing here calls the API");
  }

  for<T extends KubeObject>(kind: KindInfo): Informer<T> {
    const state = this.#state(kind);
    const list = (): Stored<AnyObject>[] => [...state.objects.values()];
    const informer = {
      kind, synced: true,
      lister: { get: (key: string) => state.objects.get(key), list, inNamespace: (namespace: string) => list().filter((o) => o.metadata.namespace === namespace), byIndex: () => [] },
      addIndex: () => {},
      addHandler: (handler: Handler<AnyObject>) => {
        state.handlers.push(handler);
        for (const object of list()) handler.add?.(object);
      },
    };
    return informer as unknown as Informer<T>;
  }

  start(): void {
    // Everything is there already.
  }

  async waitForSync(): Promise<void> {
    // Everything is there already.
  }

  /** Creates or replaces; `kind` such as `Secret` or `rbac.authorization.k8s.io/v1/Role`. */
  put(kind: string, object: { metadata: { name: string; namespace?: string; [field: string]: unknown }; [field: string]: unknown }): Stored<AnyObject> {
    const state = this.#state(kindNamed(kind));
    const { metadata } = object;
    const stored = { ...object, metadata: { uid: `${metadata.name}-uid`, creationTimestamp: "2026-01-01T00:00:00Z", ...metadata, resourceVersion: String(++this.#revision) } } as unknown as Stored<AnyObject>;
    const old = state.objects.get(keyOf(stored));
    state.objects.set(keyOf(stored), stored);
    for (const handler of state.handlers) {
      if (old) handler.update?.(stored, old);
      else handler.add?.(stored);
    }
    return stored;
  }

  remove(kind: string, key: string): void {
    const state = this.#state(kindNamed(kind));
    const object = state.objects.get(key);
    if (!object) return;
    state.objects.delete(key);
    for (const handler of state.handlers) handler.delete?.(object);
  }

  #state(kind: KindInfo): { objects: Map<string, Stored<AnyObject>>; handlers: Handler<AnyObject>[] } {
    const key = `${kind.group}/${kind.plural}`;
    let state = this.#kinds.get(key);
    if (!state) this.#kinds.set(key, (state = { objects: new Map(), handlers: [] }));
    return state;
  }
}

function kindNamed(text: string): KindInfo {
  const [kind = "", version = "v1", group = ""] = text.split("/").reverse();
  return builtinKind(group, version, kind);
}

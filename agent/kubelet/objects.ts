// Config maps and secrets the pods of this node refer to: read once, then watched, for as long as anybody uses them.
// One watch per object, because a node may read only the objects its pods name.
import { isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap, KubeObject, Pod, Secret, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { ObjectSource } from "./env.ts";

const log = logger("node-objects");
const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const SECRET = builtinKind("", "v1", "Secret");
const RETRY_MS = 2_000;

/** A named config map or secret. */
interface Reference {
  readonly kind: KindInfo;
  readonly namespace: string;
  readonly name: string;
}

interface Entry {
  readonly users: Set<string>;
  readonly stop: AbortController;
  readonly reference: Reference;
  /** undefined until first read; null when it does not exist. */
  value: Stored<KubeObject> | null | undefined;
  first: Promise<void>;
}

export class ObjectStore implements ObjectSource {
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(podUids: readonly string[]) => void>();

  constructor(readonly client: Client, readonly clock: Clock, readonly signal: AbortSignal) {}

  /** Calls back with the uids of the pods that refer to an object that changed. */
  onChange(listener: (podUids: readonly string[]) => void): void {
    this.#listeners.add(listener);
  }

  /** Watches exactly what the pod refers to, until told otherwise. */
  use(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    const wanted = new Set(referencesOf(pod).map((reference) => this.#entry(reference, uid)));
    for (const entry of this.#entries.values()) if (entry.users.has(uid) && !wanted.has(entry)) this.#leave(entry, uid);
  }

  release(uid: string): void {
    for (const entry of this.#entries.values()) this.#leave(entry, uid);
  }

  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.#get({ kind: CONFIG_MAP, namespace, name }) as Promise<ConfigMap | undefined>;
  }

  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#get({ kind: SECRET, namespace, name }) as Promise<Secret | undefined>;
  }

  async #get(reference: Reference): Promise<KubeObject | undefined> {
    const entry = this.#entries.get(keyOf(reference));
    if (!entry) return this.#read(reference);
    await entry.first;
    // Not there a moment ago may be there now, and whoever asks is about to fail.
    if (!entry.value) return this.#read(reference);
    return entry.value;
  }

  async #read({ kind, namespace, name }: Reference): Promise<Stored<KubeObject> | undefined> {
    try {
      return await this.client.get(kind, { namespace, name });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #entry(reference: Reference, uid: string): Entry {
    const key = keyOf(reference);
    const known = this.#entries.get(key);
    if (known) {
      known.users.add(uid);
      return known;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const entry: Entry = { users: new Set([uid]), stop: new AbortController(), reference, value: undefined, first: promise };
    this.#entries.set(key, entry);
    void this.#follow(entry, resolve);
    return entry;
  }

  #leave(entry: Entry, uid: string): void {
    entry.users.delete(uid);
    if (entry.users.size > 0) return;
    entry.stop.abort();
    this.#entries.delete(keyOf(entry.reference));
  }

  async #follow(entry: Entry, onRead: () => void): Promise<void> {
    const signal = AbortSignal.any([entry.stop.signal, this.signal]);
    while (!signal.aborted) {
      try {
        const { kind, namespace, name } = entry.reference;
        const selector = { namespace, fieldSelector: `metadata.name=${name}` };
        const list = await this.client.list(kind, selector);
        this.#set(entry, list.items[0] ?? null);
        onRead();
        if (isImmutable(entry.value)) return;
        for await (const event of this.client.watch(kind, { ...selector, resourceVersion: list.metadata.resourceVersion, signal })) {
          if (event.type !== "BOOKMARK") this.#set(entry, event.type === "DELETED" ? null : event.object);
        }
      } catch (error) {
        if (!signal.aborted) log.debug({ err: error, ...entry.reference, kind: entry.reference.kind.kind }, "watching an object failed");
        onRead();
      }
      await this.clock.sleep(RETRY_MS, signal);
    }
    onRead();
  }

  #set(entry: Entry, value: Stored<KubeObject> | null): void {
    const isNews = entry.value !== undefined && entry.value?.metadata.resourceVersion !== value?.metadata.resourceVersion;
    entry.value = value;
    if (isNews) for (const listener of this.#listeners) listener([...entry.users]);
  }
}

const keyOf = ({ kind, namespace, name }: Reference): string => `${kind.kind}/${namespace}/${name}`;
const isImmutable = (object: KubeObject | null | undefined): boolean => (object as { immutable?: boolean } | null | undefined)?.immutable === true;

/** Every config map and secret a pod's spec names, once each. */
function referencesOf(pod: Pod): Reference[] {
  const namespace = pod.metadata.namespace ?? "";
  const found = new Map<string, Reference>();
  const add = (kind: KindInfo, name: string | undefined): void => {
    if (name) found.set(`${kind.kind}/${name}`, { kind, namespace, name });
  };
  for (const container of [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? []), ...(pod.spec?.ephemeralContainers ?? [])]) {
    for (const source of container.envFrom ?? []) {
      add(CONFIG_MAP, source.configMapRef?.name);
      add(SECRET, source.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add(CONFIG_MAP, valueFrom?.configMapKeyRef?.name);
      add(SECRET, valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of pod.spec?.volumes ?? []) {
    add(CONFIG_MAP, volume.configMap?.name);
    add(SECRET, volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add(CONFIG_MAP, source.configMap?.name);
      add(SECRET, source.secret?.name);
    }
  }
  for (const { name } of pod.spec?.imagePullSecrets ?? []) add(SECRET, name);
  return [...found.values()];
}

// Shows static pods in the API: one mirror pod each, made anew when it is deleted or out of date.
// A mirror is never run; it only carries the static pod's status.
import { isAlreadyExists, isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, Pod, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { HASH, MIRROR } from "./staticpods.ts";

const log = logger("mirror-pods");
const POD = builtinKind("", "v1", "Pod");
const RETRY_MS = 5_000;

export interface MirrorsOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly node: () => Stored<Node> | undefined;
  /** Called with a static pod's uid when it has a (new) mirror. */
  readonly onChange: (uid: string) => void;
}

export class Mirrors {
  /** Static pods by namespace and name. */
  readonly #wanted = new Map<string, Pod>();
  readonly #mirrors = new Map<string, Stored<Pod>>();
  readonly #busy = new Set<string>();

  constructor(readonly options: MirrorsOptions, readonly signal: AbortSignal) {}

  /** The mirror a static pod's status goes to. */
  of(pod: Pod): Stored<Pod> | undefined {
    const mirror = this.#mirrors.get(keyOf(pod));
    return mirror?.metadata.annotations?.[MIRROR] === pod.metadata.uid ? mirror : undefined;
  }

  /** A static pod is there, or has changed. */
  put(pod: Pod): void {
    this.#wanted.set(keyOf(pod), pod);
    void this.#reconcile(keyOf(pod));
  }

  /** A static pod is gone. */
  remove(pod: Pod): void {
    const key = keyOf(pod);
    if (this.#wanted.get(key)?.metadata.uid === pod.metadata.uid) this.#wanted.delete(key);
    void this.#reconcile(key);
  }

  /** The API has this mirror. */
  seen(mirror: Stored<Pod>): void {
    const key = keyOf(mirror);
    this.#mirrors.set(key, mirror);
    void this.#reconcile(key);
    const pod = this.#wanted.get(key);
    if (pod && this.of(pod)) this.options.onChange(pod.metadata.uid ?? "");
  }

  /** The API no longer has this mirror. */
  gone(mirror: Stored<Pod>): void {
    const key = keyOf(mirror);
    if (this.#mirrors.get(key)?.metadata.uid === mirror.metadata.uid) this.#mirrors.delete(key);
    void this.#reconcile(key);
  }

  async #reconcile(key: string): Promise<void> {
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    try {
      while (!this.signal.aborted && (await this.#step(key)) === "again");
    } finally {
      this.#busy.delete(key);
    }
  }

  async #step(key: string): Promise<"done" | "again"> {
    const { client, clock } = this.options;
    const pod = this.#wanted.get(key);
    const mirror = this.#mirrors.get(key);
    try {
      if (mirror && (!pod || !this.of(pod) || mirror.metadata.deletionTimestamp)) {
        await client.delete(POD, { namespace: mirror.metadata.namespace, name: mirror.metadata.name }, { gracePeriodSeconds: 0, preconditions: { uid: mirror.metadata.uid } });
        this.#mirrors.delete(key);
        return "again";
      }
      if (!pod || mirror) return "done";
      const created = await client.create<Pod>(POD, this.#mirrorOf(pod));
      this.#mirrors.set(key, created);
      this.options.onChange(pod.metadata.uid ?? "");
      return "done";
    } catch (error) {
      // Its watch event is on its way.
      if (isAlreadyExists(error)) return "done";
      if (!isNotFound(error)) log.warn({ err: error, pod: key }, "mirroring a static pod failed");
      else this.#mirrors.delete(key);
      await clock.sleep(RETRY_MS, this.signal);
      return "again";
    }
  }

  #mirrorOf(pod: Pod): Pod {
    const { nodeName, node } = this.options;
    const owner = node();
    const { name, namespace, labels, annotations } = pod.metadata;
    return {
      apiVersion: "v1", kind: "Pod",
      metadata: {
        name, namespace, labels,
        annotations: { ...annotations, [MIRROR]: pod.metadata.annotations?.[HASH] ?? "" },
        ...(owner && { ownerReferences: [{ apiVersion: "v1", kind: "Node", name: nodeName, uid: owner.metadata.uid, controller: true }] }),
      },
      spec: pod.spec,
    };
  }
}

const keyOf = (pod: Pod): string => `${pod.metadata.namespace}/${pod.metadata.name}`;

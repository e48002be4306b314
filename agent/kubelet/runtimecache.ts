// What the runtime holds of every pod, kept in memory: filled by one list, kept right by events and our own calls.
// Readers get immutable values; a slow relist repairs what a lost event left behind.
import { logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ContainerRecord, PodRuntime, RuntimeEvent, Sandbox } from "../runtime/runtime.ts";
import { POD_UID } from "./labels.ts";
import { observedPod, type ObservedPod } from "./observed.ts";

const log = logger("runtime-cache");
const RETRY_MS = 1_000;

/** Adds to an exited container what only the node's files tell: its last words. */
export type Enrich = (record: ContainerRecord) => Promise<ContainerRecord>;

export class RuntimeCache {
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, ContainerRecord>();
  /** By pod uid; dropped when anything of the pod changes. */
  readonly #views = new Map<string, ObservedPod>();
  readonly #byPod = new Map<string, Set<string>>();
  readonly #listeners = new Set<(uid: string) => void>();
  /** Reads under way, by id. */
  readonly #reading = new Map<string, Promise<unknown>>();
  #relistedAt = 0;

  constructor(readonly runtime: PodRuntime, readonly enrich: Enrich = (record) => Promise.resolve(record)) {}

  /** Calls back with the uid of each pod something changed of. */
  onChange(listener: (uid: string) => void): void {
    this.#listeners.add(listener);
  }

  /** The pod as last seen; undefined when the runtime holds nothing of it. */
  get(uid: string): ObservedPod | undefined {
    const known = this.#views.get(uid);
    if (known) return known;
    const ids = this.#byPod.get(uid);
    if (!ids || ids.size === 0) return undefined;
    const sandboxes = [...ids].flatMap((id) => this.#sandboxes.get(id) ?? []);
    const containers = [...ids].flatMap((id) => this.#containers.get(id) ?? []);
    const identity = sandboxes[0] ?? { uid, name: containers[0]?.labels["io.kubernetes.pod.name"] ?? "", namespace: containers[0]?.labels["io.kubernetes.pod.namespace"] ?? "" };
    const view = observedPod({ uid, name: identity.name, namespace: identity.namespace }, sandboxes, containers);
    this.#views.set(uid, view);
    return view;
  }

  /** Uids of all pods the runtime holds anything of. */
  uids(): string[] {
    return [...this.#byPod.keys()];
  }

  container(id: string): ContainerRecord | undefined {
    return this.#containers.get(id);
  }

  /** When the last whole list was taken, in ms since the epoch; 0 before the first. */
  get relistedAt(): number {
    return this.#relistedAt;
  }

  /** Reads everything anew and looks closer at whatever differs. */
  async relist(now: number): Promise<void> {
    // Only what was known before the list may be missed in it: newer things are simply too new.
    const before = new Set([...this.#sandboxes.keys(), ...this.#containers.keys()]);
    const [sandboxes, containers] = await Promise.all([this.runtime.listSandboxes(), this.runtime.listContainers()]);
    for (const sandbox of sandboxes) {
      before.delete(sandbox.id);
      if (this.#sandboxes.get(sandbox.id)?.state !== sandbox.state) await this.refreshSandbox(sandbox.id);
    }
    for (const container of containers) {
      before.delete(container.id);
      if (this.#containers.get(container.id)?.state !== container.state) await this.refreshContainer(container.id);
    }
    for (const id of before) this.forget(id);
    this.#relistedAt = now;
  }

  /** Reads one sandbox anew. */
  refreshSandbox(id: string): Promise<Sandbox | undefined> {
    return this.#under(id, () => this.#readSandbox(id));
  }

  /** Reads one container anew. */
  refreshContainer(id: string): Promise<ContainerRecord | undefined> {
    return this.#under(id, () => this.#readContainer(id));
  }

  async #under<T>(id: string, read: () => Promise<T>): Promise<T> {
    const reading = read();
    this.#reading.set(id, reading);
    try {
      return await reading;
    } finally {
      if (this.#reading.get(id) === reading) this.#reading.delete(id);
    }
  }

  async #readSandbox(id: string): Promise<Sandbox | undefined> {
    const sandbox = await this.runtime.sandboxStatus(id);
    if (!sandbox) {
      this.forget(id);
      return undefined;
    }
    this.#sandboxes.set(id, sandbox);
    this.#changed(sandbox.uid, id);
    return sandbox;
  }

  async #readContainer(id: string): Promise<ContainerRecord | undefined> {
    const status = await this.runtime.containerStatus(id);
    if (!status) {
      this.forget(id);
      return undefined;
    }
    const known = this.#containers.get(id);
    // An exit is final: its last words are read once, and an answer that was overtaken says nothing.
    const record = known?.state === "exited" ? known : status.state === "exited" ? await this.enrich(status) : status;
    this.#containers.set(id, record);
    this.#changed(record.labels[POD_UID] ?? "", id);
    return record;
  }

  /** Drops a sandbox or container that is gone. */
  forget(id: string): void {
    const uid = this.#sandboxes.get(id)?.uid ?? this.#containers.get(id)?.labels[POD_UID];
    this.#sandboxes.delete(id);
    this.#containers.delete(id);
    if (uid === undefined) return;
    const ids = this.#byPod.get(uid);
    ids?.delete(id);
    if (ids?.size === 0) this.#byPod.delete(uid);
    this.#views.delete(uid);
    this.#notify(uid);
  }

  /** Follows the runtime's events until the signal aborts; after a broken stream everything is listed anew. */
  async follow(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const event of this.runtime.events(signal)) await this.#heard(event);
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, "runtime events broke off");
      }
      await clock.sleep(RETRY_MS, signal);
      if (!signal.aborted) await this.relist(clock.now()).catch((error: unknown) => log.warn({ err: error }, "relist failed"));
    }
  }

  async #heard(event: RuntimeEvent): Promise<void> {
    if (event.type === "deleted") return this.forget(event.id);
    if (event.type !== "stopped") await this.#reading.get(event.id)?.catch(() => undefined);
    if (this.#isOldNews(event)) return;
    try {
      if (event.id === event.sandboxId) await this.refreshSandbox(event.id);
      else await this.refreshContainer(event.id);
    } catch (error) {
      log.warn({ err: error, id: event.id }, "looking after an event failed");
    }
  }

  /** Most events only repeat what our own call has already seen. */
  #isOldNews({ type, id }: RuntimeEvent): boolean {
    const container = this.#containers.get(id)?.state;
    const sandbox = this.#sandboxes.get(id)?.state;
    if (type === "stopped") return container === "exited" || sandbox === "notready";
    return container !== undefined && container !== "unknown" ? type === "created" || container !== "created" : sandbox === "ready";
  }

  #changed(uid: string, id: string): void {
    const ids = this.#byPod.get(uid) ?? new Set();
    ids.add(id);
    this.#byPod.set(uid, ids);
    this.#views.delete(uid);
    this.#notify(uid);
  }

  #notify(uid: string): void {
    for (const listener of this.#listeners) listener(uid);
  }
}

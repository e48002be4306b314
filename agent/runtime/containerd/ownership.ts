// Which sandbox a container belongs to and which pod a sandbox is of: CRI's statuses and events do not say.
// Filled from lists and creations, forgotten when a list no longer has them.
import type { CriClient } from "./cri.ts";
import type { WireContainer, WireSandbox } from "./messages.ts";

/** A cache in front of CRI's lists. */
export class Ownership {
  readonly #cri: CriClient;
  readonly #sandboxOf = new Map<string, string>();
  readonly #podUidOf = new Map<string, string>();
  /** How far this process itself has brought what it made. */
  readonly #own = new Map<string, "created" | "started">();
  /** Calls under way, with the id they are about; none while it is not known yet. */
  readonly #calls = new Map<Promise<unknown>, string | undefined>();

  constructor(cri: CriClient) {
    this.#cri = cri;
  }

  /** Makes a sandbox and notes it down. */
  makeSandbox(make: () => Promise<string>, podUid: string): Promise<string> {
    return this.#under(undefined, async () => {
      const id = await make();
      this.addSandbox(id, podUid);
      this.#own.set(id, "started");
      return id;
    });
  }

  /** Makes a container and notes it down. */
  makeContainer(make: () => Promise<string>, sandboxId: string): Promise<string> {
    return this.#under(undefined, async () => {
      const id = await make();
      this.addContainer(id, sandboxId);
      this.#own.set(id, "created");
      return id;
    });
  }

  async start(id: string, start: () => Promise<unknown>): Promise<void> {
    await this.#under(id, async () => {
      await start();
      if (this.#own.has(id)) this.#own.set(id, "started");
    });
  }

  /** Whether this process's own call has answered the same: whoever called looks for himself. */
  isOwn(id: string, type: "created" | "started"): boolean {
    const own = this.#own.get(id);
    return own === type || own === "started";
  }

  /** Resolves once every call has ended that may turn out to be about this id. */
  async answered(id: string): Promise<void> {
    const isNew = this.known(id) === undefined;
    await Promise.allSettled([...this.#calls].flatMap(([call, about]) => (about === id || (isNew && about === undefined) ? [call] : [])));
  }

  addSandbox(id: string, podUid: string): void {
    this.#podUidOf.set(id, podUid);
  }

  addContainer(id: string, sandboxId: string): void {
    this.#sandboxOf.set(id, sandboxId);
  }

  async listSandboxes(): Promise<readonly WireSandbox[]> {
    const before = [...this.#podUidOf.keys()];
    const { items } = await this.#cri.call<{ items: WireSandbox[] }>("listPodSandbox");
    this.#replace(this.#podUidOf, before, items.map(({ id, metadata }) => [id, metadata?.uid ?? ""]));
    return items;
  }

  async listContainers(): Promise<readonly WireContainer[]> {
    const before = [...this.#sandboxOf.keys()];
    const { containers } = await this.#cri.call<{ containers: WireContainer[] }>("listContainers");
    this.#replace(this.#sandboxOf, before, containers.map(({ id, podSandboxId }) => [id, podSandboxId]));
    return containers;
  }

  /** Empty when the container is gone. */
  async sandboxOf(containerId: string): Promise<string> {
    if (!this.#sandboxOf.has(containerId)) await this.listContainers();
    return this.#sandboxOf.get(containerId) ?? "";
  }

  /** Empty when the sandbox is gone. */
  async podUidOf(sandboxId: string): Promise<string> {
    if (!this.#podUidOf.has(sandboxId)) await this.listSandboxes();
    return this.#podUidOf.get(sandboxId) ?? "";
  }

  /** What is known without asking: for ids that may already be gone. */
  known(id: string): { kind: "sandbox" | "container"; sandboxId: string; podUid: string } | undefined {
    if (this.#podUidOf.has(id)) return { kind: "sandbox", sandboxId: id, podUid: this.#podUidOf.get(id) ?? "" };
    const sandboxId = this.#sandboxOf.get(id);
    return sandboxId === undefined ? undefined : { kind: "container", sandboxId, podUid: this.#podUidOf.get(sandboxId) ?? "" };
  }

  /** As `known`, after a look at the lists where that does not say. */
  async find(id: string): Promise<ReturnType<Ownership["known"]>> {
    const known = this.known(id);
    if (known?.podUid) return known;
    await Promise.all([this.listSandboxes(), this.listContainers()]);
    return this.known(id);
  }

  async #under<T>(id: string | undefined, work: () => Promise<T>): Promise<T> {
    const call = work();
    this.#calls.set(call, id);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** What a list lacks is forgotten only if it was known before the list was asked for: newer things are too new for it. */
  #replace(map: Map<string, string>, before: readonly string[], entries: readonly (readonly [string, string])[]): void {
    const listed = new Map(entries);
    for (const id of before) {
      if (listed.has(id)) continue;
      map.delete(id);
      this.#own.delete(id);
    }
    for (const [id, owner] of listed) map.set(id, owner);
  }
}

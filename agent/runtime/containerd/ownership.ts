// Which sandbox a container belongs to and which pod a sandbox is of: CRI's statuses and events do not say.
// Filled from lists and creations, forgotten when a list no longer has them.
import type { CriClient } from "./cri.ts";
import type { WireContainer, WireSandbox } from "./messages.ts";

/** A cache in front of CRI's lists. */
export class Ownership {
  readonly #cri: CriClient;
  readonly #sandboxOf = new Map<string, string>();
  readonly #podUidOf = new Map<string, string>();

  constructor(cri: CriClient) {
    this.#cri = cri;
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
    replace(this.#podUidOf, before, items.map(({ id, metadata }) => [id, metadata?.uid ?? ""]));
    return items;
  }

  async listContainers(): Promise<readonly WireContainer[]> {
    const before = [...this.#sandboxOf.keys()];
    const { containers } = await this.#cri.call<{ containers: WireContainer[] }>("listContainers");
    replace(this.#sandboxOf, before, containers.map(({ id, podSandboxId }) => [id, podSandboxId]));
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
}

/** What a list lacks is forgotten only if it was known before the list was asked for: newer things are too new for it. */
function replace(map: Map<string, string>, before: readonly string[], entries: readonly (readonly [string, string])[]): void {
  const listed = new Map(entries);
  for (const id of before) if (!listed.has(id)) map.delete(id);
  for (const [id, owner] of listed) map.set(id, owner);
}

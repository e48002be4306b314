// Which sandbox a container belongs to and which pod a sandbox is of: CRI's statuses and events do not say.
// Filled from lists and creations, forgotten when a list no longer has them.
import type { CriClient } from "./cri.ts";
import type { WireContainer, WireSandbox } from "./messages.ts";

/** A cache in front of CRI's lists. */
export class Ownership {
  readonly #cri: CriClient;
  #sandboxOf = new Map<string, string>();
  #podUidOf = new Map<string, string>();

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
    const { items } = await this.#cri.call<{ items: WireSandbox[] }>("listPodSandbox");
    this.#podUidOf = new Map(items.map(({ id, metadata }) => [id, metadata?.uid ?? ""]));
    return items;
  }

  async listContainers(): Promise<readonly WireContainer[]> {
    const { containers } = await this.#cri.call<{ containers: WireContainer[] }>("listContainers");
    this.#sandboxOf = new Map(containers.map(({ id, podSandboxId }) => [id, podSandboxId]));
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

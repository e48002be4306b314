// The network of Docker sandboxes: attached by whoever is given in, its addresses kept on disk so that a new agent knows them.
// Docker itself gives sandboxes no network at all.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PortMapping } from "../runtime.ts";

/** What a network needs to know of a sandbox. */
export interface SandboxAttachment {
  readonly containerId: string;
  /** `/proc/<pid>/ns/net`; empty once the process is gone. */
  readonly netnsPath: string;
  readonly portMappings: readonly PortMapping[];
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
}

/** Gives sandboxes addresses and takes them away; detaching succeeds on absence. */
export interface SandboxNetwork {
  attach(attachment: SandboxAttachment): Promise<{ readonly ips: readonly string[] }>;
  detach(attachment: SandboxAttachment): Promise<void>;
  /** Whether sandboxes can be attached now; taken as yes where absent. */
  isReady?(): boolean;
}

interface Kept {
  readonly attachment: SandboxAttachment;
  readonly ips: readonly string[];
}

/** Attached sandboxes of one engine. */
export class DockerNetworks {
  readonly #directory: string;
  readonly #network: SandboxNetwork;

  constructor(directory: string, network: SandboxNetwork) {
    this.#directory = directory;
    this.#network = network;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  async attach(attachment: SandboxAttachment): Promise<void> {
    // Kept before attaching, so that an agent that ends in between still detaches.
    this.#keep({ attachment, ips: [] });
    const { ips } = await this.#network.attach(attachment);
    this.#keep({ attachment, ips });
  }

  /** Succeeds when nothing is attached. */
  async detach(id: string): Promise<void> {
    const kept = this.#read(id);
    if (!kept) return;
    await this.#network.detach({ ...kept.attachment, netnsPath: "" });
    rmSync(this.#path(id), { force: true });
  }

  ips(id: string): readonly string[] {
    return this.#read(id)?.ips ?? [];
  }

  /** Detaches sandboxes that went while nobody looked. */
  async retain(ids: ReadonlySet<string>): Promise<void> {
    for (const file of readdirSync(this.#directory)) {
      const id = file.replace(/\.json(\.new)?$/, "");
      if (!ids.has(id)) await this.detach(id);
    }
  }

  #keep(kept: Kept): void {
    const path = this.#path(kept.attachment.containerId);
    writeFileSync(`${path}.new`, JSON.stringify(kept));
    renameSync(`${path}.new`, path);
  }

  #read(id: string): Kept | undefined {
    try {
      return JSON.parse(readFileSync(this.#path(id), "utf8")) as Kept;
    } catch {
      return undefined;
    }
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}

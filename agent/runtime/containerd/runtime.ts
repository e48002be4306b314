// A CRI endpoint as the kubelet's Runtime: containerd of our own, somebody's containerd, or CRI-O.
// Choosing and starting one is `../create.ts`.
import { type Clock, systemClock } from "../../../lib/clock.ts";
import { type Exec, hostExec } from "../../../lib/exec.ts";
import { type Runtime, RuntimeError } from "../runtime.ts";
import { CriClient } from "./cri.ts";
import { CriEvents } from "./events.ts";
import { CriImages } from "./images.ts";
import type { WireStatus, WireVersion } from "./messages.ts";
import { Ownership } from "./ownership.ts";
import { CriPods } from "./pods.ts";
import { CriStreaming } from "./streaming.ts";

export interface CriRuntimeOptions {
  readonly socketPath: string;
  readonly snapshotter?: string;
  readonly exec?: Exec;
  readonly clock?: Clock;
}

/** Runtime on one CRI socket. `connect` makes it. */
export class CriRuntime implements Runtime {
  readonly name: "containerd" | "cri-o";
  readonly pods: CriPods;
  readonly images: CriImages;
  readonly streaming: CriStreaming;
  readonly #cri: CriClient;
  readonly #stop = new AbortController();

  /** Rejects with RuntimeError when nothing answers CRI on the socket. */
  static async connect(options: CriRuntimeOptions): Promise<CriRuntime> {
    const cri = new CriClient(options.socketPath);
    try {
      return new CriRuntime(cri, await cri.call<WireVersion>("version", {}, { timeoutMs: 10_000 }), options);
    } catch (error) {
      cri.close();
      throw new RuntimeError("Unavailable", `nothing answers CRI on ${options.socketPath} (${(error as Error).message.split("\n")[0]}); is its CRI plugin enabled, and the runtime running?`, { cause: error });
    }
  }

  private constructor(cri: CriClient, version: WireVersion, options: CriRuntimeOptions) {
    const clock = options.clock ?? systemClock;
    const ownership = new Ownership(cri);
    this.#cri = cri;
    this.name = version.runtimeName === "containerd" ? "containerd" : "cri-o";
    const events = new CriEvents({ cri, ownership, clock, isContainerd: this.name === "containerd" });
    this.pods = new CriPods({ cri, ownership, events: (signal) => events.subscribe(signal) });
    this.images = new CriImages({ cri, exec: options.exec ?? hostExec, snapshotter: options.snapshotter ?? "overlayfs", isContainerd: this.name === "containerd" });
    this.streaming = new CriStreaming(cri);
    void events.run(this.#stop.signal);
  }

  async status(): ReturnType<Runtime["status"]> {
    const [version, wire] = await Promise.all([this.#cri.call<WireVersion>("version"), this.#cri.call<WireStatus>("status", { verbose: true })]);
    const conditions = wire.status?.conditions ?? [];
    const isTrue = (type: string): boolean => conditions.some((condition) => condition.type === type && condition.status);
    const message = conditions.filter(({ status }) => !status).map(({ type, reason, message }) => `${type === "NetworkReady" ? "container runtime network" : "container runtime"} not ready: ${type}=false reason:${reason} message:${message}`).join("; ");
    const handlers = wire.runtimeHandlers.map(({ name, features }) => ({ name, recursiveReadOnlyMounts: features?.recursiveReadOnlyMounts ?? false, userNamespaces: features?.userNamespaces ?? false }));
    return {
      version: `${version.runtimeName}://${version.runtimeVersion.replace(/^v/, "")}`,
      runtimeReady: isTrue("RuntimeReady"), networkReady: isTrue("NetworkReady"), message,
      cgroupDriver: await this.#cgroupDriver(wire),
      cni: cniDirectories(wire),
      supplementalGroupsPolicy: wire.features?.supplementalGroupsPolicy ?? false,
      handlers: handlers.length > 0 ? handlers : namedHandlers(wire),
    };
  }

  close(): Promise<void> {
    this.#stop.abort();
    this.#cri.close();
    return Promise.resolve();
  }

  async #cgroupDriver(wire: WireStatus): Promise<"cgroupfs" | "systemd"> {
    try {
      const { linux } = await this.#cri.call<{ linux: { cgroupDriver: string } | null }>("runtimeConfig");
      if (linux) return linux.cgroupDriver === "SYSTEMD" ? "systemd" : "cgroupfs";
    } catch {
      // Runtimes before 1.28's CRI do not know the call, but show their configuration.
    }
    return /"SystemdCgroup":\s*true/.test(wire.info["config"] ?? "") ? "systemd" : "cgroupfs";
  }
}

/** As its configuration says; CRI-O does not show its own, which are the usual ones. */
export function cniDirectories({ info }: Pick<WireStatus, "info">): { binDir: string; confDir: string } {
  const usual = { binDir: "/opt/cni/bin", confDir: "/etc/cni/net.d" };
  try {
    const { cni } = JSON.parse(info["config"] ?? "{}") as { cni?: { binDir?: string; binDirs?: string[]; confDir?: string } };
    return { binDir: cni?.binDirs?.[0] || cni?.binDir || usual.binDir, confDir: cni?.confDir || usual.confDir };
  } catch {
    return usual;
  }
}

/** Runtimes that do not list handlers show them in their configuration. */
function namedHandlers(wire: WireStatus): { name: string; recursiveReadOnlyMounts: boolean; userNamespaces: boolean }[] {
  const unnamed = { name: "", recursiveReadOnlyMounts: false, userNamespaces: false };
  try {
    const config = JSON.parse(wire.info["config"] ?? "{}") as { containerd?: { runtimes?: Record<string, unknown> } };
    return [unnamed, ...Object.keys(config.containerd?.runtimes ?? {}).map((name) => ({ ...unnamed, name }))];
  } catch {
    return [unnamed];
  }
}

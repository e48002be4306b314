// A containerd of our own from the installed binary: it outlives the agent, is adopted again, and is restarted when it dies.
// What is asked of it over CRI is elsewhere; taking it away for good is `removePrivateContainerd`.
import { spawn } from "node:child_process";
import { closeSync, copyFileSync, mkdirSync, openSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readOrEmpty } from "../../../lib/files.ts";
import type { Clock } from "../../../lib/clock.ts";
import type { Component } from "../../../lib/component.ts";
import type { Exec } from "../../../lib/exec.ts";
import { logger } from "../../../lib/log.ts";
import { pauseImageName } from "../pause/image.ts";
import { RuntimeError } from "../runtime.ts";
import { containerdConfig } from "./config.ts";
import { CriClient } from "./cri.ts";
import { canLowerOomScore, chooseSnapshotter, containerdMajorVersion, findDaemons, hasApparmor, isAlive } from "./machine.ts";
import { findRemnants, removeRemnants, unneeded, type Remnants } from "./remnants.ts";

export interface PrivateContainerdOptions {
  readonly dataDir: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly cgroupDriver: "cgroupfs" | "systemd";
  readonly registryConfigDir: string;
  /** False for a command beside the agent, which uses a running one as it is. */
  readonly adopt?: boolean;
  readonly exec: Exec;
  readonly clock: Clock;
}

/** The files of the private containerd of a data directory. */
export interface ContainerdPaths {
  readonly directory: string;
  readonly config: string;
  readonly socket: string;
  readonly root: string;
  readonly state: string;
  readonly log: string;
}

/** The kernel's limit on a unix socket's path, its end included. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_LOG_BYTES = 8 << 20;
/** Several shims that do not answer hold it up one after the other. */
const START_TIMEOUT_MS = 120_000;
const WATCH_MS = 1_000;
const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 10_000;
/** A run this long counts as healthy, and the next back-off starts small again. */
const HEALTHY_MS = 60_000;
/** What the agent before this one had asked for is in the lists by then, or given up. */
const SETTLE_MS = 20_000;

/** Paths below `dataDir`; the socket moves below /run when its path would be too long for the kernel. */
export function containerdPaths(dataDir: string): ContainerdPaths {
  const directory = join(dataDir, "containerd");
  const near = join(directory, "containerd.sock");
  // containerd appends ".ttrpc" for a second socket beside the first.
  const fits = Buffer.byteLength(`${near}.ttrpc`) < MAX_SOCKET_PATH_BYTES;
  const socket = fits ? near : `/run/minik8s/${new Bun.CryptoHasher("sha256").update(dataDir).digest("hex").slice(0, 12)}/containerd.sock`;
  return { directory, socket, config: join(directory, "config.toml"), root: join(directory, "root"), state: join(directory, "state"), log: join(directory, "containerd.log") };
}

/** Runs and watches the private containerd. `stop` leaves it running. */
export class PrivateContainerd implements Component {
  readonly name = "containerd";
  readonly paths: ContainerdPaths;
  /** Known after `start`. */
  snapshotter: "overlayfs" | "native" = "overlayfs";
  readonly #options: PrivateContainerdOptions;
  readonly #log = logger("containerd");
  readonly #stop = new AbortController();
  #pid = 0;

  constructor(options: PrivateContainerdOptions) {
    this.#options = options;
    this.paths = containerdPaths(options.dataDir);
  }

  get socketPath(): string {
    return this.paths.socket;
  }

  /** Adopts the running one when its configuration is the wanted one, starts it otherwise; resolves once CRI answers. */
  async start(): Promise<void> {
    const config = await this.#wantedConfig();
    const running = findDaemons(["--config", this.paths.config]);
    const unchanged = readOrEmpty(this.paths.config) === config;
    const isAdopted = running.length === 1 && (unchanged || this.#options.adopt === false);
    if (isAdopted && running[0] !== undefined) {
      this.#pid = running[0];
      this.#log.info({ pid: this.#pid }, "adopted the running containerd");
    } else {
      for (const pid of running) await this.#terminate(pid);
      writeFileSync(this.paths.config, config, { mode: 0o600 });
      await this.#begin();
    }
    await this.#ready();
    // The agent that started it may have ended before it had tidied up. The socket is as old as containerd.
    if (isAdopted && this.#options.adopt !== false) void this.#tidy(findRemnants(this.paths, statSync(this.paths.socket).ctimeMs));
    void this.#watch();
  }

  stop(): Promise<void> {
    this.#stop.abort();
    return Promise.resolve();
  }

  async #wantedConfig(): Promise<string> {
    const { exec, cniBinDir, cniConfDir, cgroupDriver, registryConfigDir } = this.#options;
    const { root, state, directory, socket } = this.paths;
    const majorVersion = await containerdMajorVersion(exec);
    if (majorVersion === undefined) throw new RuntimeError("Unavailable", "containerd is not installed; install it with: apt-get install -y containerd runc");
    for (const path of [directory, root, state, join(socket, "..")]) mkdirSync(path, { recursive: true, mode: 0o711 });
    this.snapshotter = await chooseSnapshotter(directory, exec);
    return containerdConfig({
      majorVersion, cniBinDir, cniConfDir, cgroupDriver,
      socketPath: socket, rootDir: root, stateDir: state,
      registryConfigDir,
      sandboxImage: pauseImageName(),
      snapshotter: this.snapshotter,
      restrictOomScoreAdj: !canLowerOomScore(),
      hasApparmor: hasApparmor(),
    });
  }

  /** Starts it; resolves once it answers. What an earlier one left behind is removed meanwhile and later. */
  async #begin(): Promise<void> {
    const remnants = findRemnants(this.paths, this.#options.clock.now());
    this.#spawn();
    await this.#ready();
    void this.#tidy(remnants);
  }

  /** Only what is unneeded twice is removed: a call may be under way, and a containerd that comes back late finds its shims yet. */
  async #tidy(remnants: Remnants): Promise<void> {
    const cri = new CriClient(this.paths.socket);
    const { clock, exec } = this.#options;
    try {
      const suspects = await unneeded(remnants, cri);
      await clock.sleep(SETTLE_MS, this.#stop.signal);
      if (!this.#stop.signal.aborted) await removeRemnants(this.paths, await unneeded(suspects, cri), { exec, kill: killProcess });
    } catch (error) {
      this.#log.warn({ err: error }, "could not look for what the former containerd left behind");
    } finally {
      cri.close();
    }
  }

  #spawn(): void {
    rmSync(this.paths.socket, { force: true });
    const log = openSync(this.paths.log, "a", 0o600);
    // A session of its own: neither a terminal's hang-up nor the agent's end reaches it.
    const child = spawn("containerd", ["--config", this.paths.config], { detached: true, stdio: ["ignore", log, log], env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin` } });
    closeSync(log);
    child.on("error", (error) => this.#log.error({ err: error }, "could not start containerd"));
    child.unref();
    this.#pid = child.pid ?? 0;
  }

  async #ready(): Promise<void> {
    const cri = new CriClient(this.paths.socket);
    const deadline = this.#options.clock.monotonic() + START_TIMEOUT_MS;
    try {
      for (let delayMs = 10; ; delayMs = Math.min(delayMs * 1.5, 200)) {
        const answered = await cri.call("version", {}, { timeoutMs: 2_000 }).then(() => true, () => false);
        if (answered) return;
        if (!isAlive(this.#pid) || this.#options.clock.monotonic() > deadline) throw new RuntimeError("Unavailable", `containerd did not start; the end of ${this.paths.log}: ${lastLines(readOrEmpty(this.paths.log))}`);
        await this.#options.clock.sleep(delayMs, this.#stop.signal);
      }
    } finally {
      cri.close();
    }
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options;
    let backoffMs = FIRST_BACKOFF_MS;
    let startedAt = clock.monotonic();
    for (;;) {
      await clock.sleep(WATCH_MS, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      boundLog(this.paths.log);
      if (isAlive(this.#pid)) continue;
      const other = findDaemons(["--config", this.paths.config])[0];
      if (other !== undefined) {
        // Somebody else was quicker: two of them on the same files would undo each other's work.
        this.#pid = other;
        continue;
      }
      if (clock.monotonic() - startedAt > HEALTHY_MS) backoffMs = FIRST_BACKOFF_MS;
      this.#log.warn({ pid: this.#pid, backoffMs }, "containerd ended; starting it again");
      await clock.sleep(backoffMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      startedAt = clock.monotonic();
      await this.#begin().catch((error: unknown) => this.#log.error({ err: error }, "containerd did not come back"));
    }
  }

  async #terminate(pid: number): Promise<void> {
    await endProcess(pid, this.#options.clock);
  }
}

/** Ends a process that need not be a child: SIGTERM, then SIGKILL after ten seconds. Succeeds when it is gone already. */
export async function endProcess(pid: number, clock: Clock): Promise<void> {
  signal(pid, "SIGTERM");
  for (let waitedMs = 0; isAlive(pid); waitedMs += 20) {
    if (waitedMs === 10_000) signal(pid, "SIGKILL");
    await clock.sleep(20);
  }
}

/** Ends a process without asking it; succeeds when it is gone already. */
export function killProcess(pid: number): void {
  signal(pid, "SIGKILL");
}

function signal(pid: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Keeps one old log; the writer appends, so truncating under it is safe. */
function boundLog(path: string): void {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) <= MAX_LOG_BYTES) return;
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
}

function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-3).join(" | ");
}

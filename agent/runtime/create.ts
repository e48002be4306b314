// Choosing a container runtime, starting it where it is ours, and getting the sandbox image in.
// Each runtime's own matters are in its folder.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { type Exec, hostExec } from "../../lib/exec.ts";
import { containerdMajorVersion } from "./containerd/machine.ts";
import { PrivateContainerd } from "./containerd/private.ts";
import { CriRuntime } from "./containerd/runtime.ts";
import type { SandboxNetwork } from "./docker/networks.ts";
import type { DockerRuntime } from "./docker/runtime.ts";
import { pauseImage, pauseImageName } from "./pause/image.ts";
import { type Runtime, RuntimeError } from "./runtime.ts";

export interface CreateRuntimeOptions {
  readonly kind: "auto" | "containerd" | "docker";
  /** An existing runtime's socket, with or without `unix://`: CRI, or Docker's when `kind` is docker. */
  readonly endpoint?: string;
  readonly dataDir: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly cgroupDriver?: "cgroupfs" | "systemd";
  /** Registries' hosts.toml files, for an own containerd. */
  readonly registryConfigDir?: string;
  /** How Docker's sandboxes get their network; needed for Docker only, since CRI runtimes start CNI plugins themselves. */
  readonly network?: SandboxNetwork;
  /** False for a command beside the agent, which only wants images. */
  readonly adopt?: boolean;
  readonly exec?: Exec;
  readonly clock?: Clock;
}

/** containerd's own place for them. */
const DEFAULT_REGISTRIES = "/etc/containerd/certs.d";
const DOCKER_SOCKET = "/var/run/docker.sock";

/** A runtime that answers and has its sandbox image. Rejects with RuntimeError that says in one line what is missing and how to get it. */
export async function createRuntime(options: CreateRuntimeOptions): Promise<Runtime> {
  const exec = options.exec ?? hostExec;
  const clock = options.clock ?? systemClock;
  const endpoint = options.endpoint?.replace(/^unix:\/\//, "");
  if (endpoint !== undefined && !existsSync(endpoint)) throw new RuntimeError("Unavailable", `--runtime-endpoint ${endpoint} does not exist; start the runtime that serves it, or leave the flag out`);
  const kind = options.kind === "auto" && endpoint === undefined ? await installedRuntime(exec) : options.kind;
  if (kind === "docker") return connectDocker({ socketPath: endpoint ?? DOCKER_SOCKET, dataDir: options.dataDir, network: options.network ?? NO_NETWORK, adopt: options.adopt ?? true, exec, clock });
  if (endpoint !== undefined) return CriRuntime.connect({ socketPath: endpoint, exec, clock });
  return startPrivate({ ...options, exec, clock });
}

async function installedRuntime(exec: Exec): Promise<"containerd" | "docker"> {
  const hasContainerd = (await containerdMajorVersion(exec)) !== undefined && (await exec(["runc", "--version"])).exitCode === 0;
  if (hasContainerd) return "containerd";
  if (existsSync(DOCKER_SOCKET)) return "docker";
  throw new RuntimeError("Unavailable", "no container runtime is installed; install one with: apt-get install -y containerd runc");
}

const NO_NETWORK: SandboxNetwork = {
  attach: () => Promise.reject(new RuntimeError("CreatePodSandboxError", "no pod network was given to the Docker runtime")),
  detach: () => Promise.resolve(),
};

async function connectDocker(options: Parameters<typeof DockerRuntime.connect>[0]): Promise<Runtime> {
  if (!existsSync(options.socketPath)) throw new RuntimeError("Unavailable", `Docker is not running (no ${options.socketPath}); install and start it with: apt-get install -y docker.io && systemctl start docker`);
  // Its client library is large, and most nodes never need it.
  const docker = await import("./docker/runtime.ts");
  return docker.DockerRuntime.connect(options);
}

async function startPrivate(options: CreateRuntimeOptions & { readonly exec: Exec; readonly clock: Clock }): Promise<Runtime> {
  const { exec, clock, dataDir, cniBinDir, cniConfDir } = options;
  const daemon = new PrivateContainerd({ dataDir, cniBinDir, cniConfDir, exec, clock, cgroupDriver: options.cgroupDriver ?? "cgroupfs", registryConfigDir: options.registryConfigDir ?? DEFAULT_REGISTRIES, adopt: options.adopt ?? true });
  await daemon.start();
  const runtime = await CriRuntime.connect({ socketPath: daemon.socketPath, snapshotter: daemon.snapshotter, exec, clock });
  await loadPauseImage(runtime);
  const close = runtime.close.bind(runtime);
  return Object.assign(runtime, {
    close: async () => {
      await daemon.stop();
      await close();
    },
  });
}

const IMAGE_WAIT_MS = 10_000;

/** Does nothing when the image is there. */
async function loadPauseImage(runtime: CriRuntime): Promise<void> {
  const name = pauseImageName();
  if (await runtime.images.status(name)) return;
  const directory = mkdtempSync(join(tmpdir(), "minik8s-pause-"));
  try {
    const path = join(directory, "pause.tar");
    writeFileSync(path, pauseImage());
    await runtime.images.load(path);
    await runtime.images.pin(name);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  // CRI learns of an import from an event.
  for (const deadline = Date.now() + IMAGE_WAIT_MS; !(await runtime.images.status(name)); await systemClock.sleep(10)) {
    if (Date.now() > deadline) throw new RuntimeError("Unavailable", `the sandbox image ${name} was imported but the runtime does not show it`);
  }
}

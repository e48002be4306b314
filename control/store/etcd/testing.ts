// An etcd of a test's own: a temporary directory, free ports, and ways to be cruel to it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether the program is installed here (Debian: etcd-server). */
export const hasEtcd = Bun.which("etcd") !== null;

/** One member, alone in its cluster. */
export class TestEtcd {
  readonly #directory = mkdtempSync(join(tmpdir(), "minik8s-etcd-"));
  readonly #ports = [freePort(), freePort()] as const;
  #process: Bun.Subprocess | undefined;

  /** `host:port` for clients. */
  get endpoint(): string {
    return `127.0.0.1:${this.#ports[0]}`;
  }

  start(): void {
    const [clients, peers] = this.#ports.map((port) => `http://127.0.0.1:${port}`) as [string, string];
    this.#process = Bun.spawn([
      "etcd", "--name", "t", "--data-dir", this.#directory, "--listen-client-urls", clients, "--advertise-client-urls", clients,
      "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", `t=${peers}`, "--log-level", "error",
    ], { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch } });
  }

  /** As a power cut does. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

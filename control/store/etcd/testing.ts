// An etcd of a test's own: a temporary directory, free ports, and ways to be cruel to it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether the program is installed here (Debian: etcd-server). */
export const hasEtcd = Bun.which("etcd") !== null;

/** PEM texts of what the member shows, and of the authority it trusts. */
export interface ServerTls {
  readonly certPem: string;
  readonly keyPem: string;
  readonly clientCaPem: string;
}

/** One member, alone in its cluster; with `tls` it speaks to nobody without a certificate. */
export class TestEtcd {
  /** Made at the first start, so that a test that is left out leaves nothing behind. */
  #directory: string | undefined;
  readonly #ports = [freePort(), freePort()] as const;
  #process: Bun.Subprocess | undefined;

  constructor(private readonly tls?: ServerTls) {}

  /** `host:port` for clients. */
  get endpoint(): string {
    return `127.0.0.1:${this.#ports[0]}`;
  }

  start(): void {
    this.#directory ??= mkdtempSync(join(tmpdir(), "minik8s-etcd-"));
    const clients = `${this.tls ? "https" : "http"}://127.0.0.1:${this.#ports[0]}`;
    const peers = `http://127.0.0.1:${this.#ports[1]}`;
    this.#process = Bun.spawn([
      "etcd", "--name", "t", "--data-dir", join(this.#directory, "data"), "--listen-client-urls", clients, "--advertise-client-urls", clients,
      "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", `t=${peers}`, "--log-level", "error", ...this.#tlsFlags(this.#directory),
    ], { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch } });
  }

  #tlsFlags(directory: string): string[] {
    if (!this.tls) return [];
    const save = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const { certPem, keyPem, clientCaPem } = this.tls;
    return ["--cert-file", save("t.crt", certPem), "--key-file", save("t.key", keyPem), "--trusted-ca-file", save("ca.crt", clientCaPem), "--client-cert-auth"];
  }

  /** As a power cut does. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  async remove(): Promise<void> {
    await this.kill();
    if (this.#directory) rmSync(this.#directory, { recursive: true, force: true });
  }
}

export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

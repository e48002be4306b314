// An etcd of a test's own: a temporary directory, free ports, and ways to be cruel to it.
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether the program is installed here (Debian: etcd-server). */
export const hasEtcd = Bun.which("etcd") !== null;

const MEMORY = "/dev/shm";
const ROOM_BYTES = 1 << 30;

/** PEM texts of what the member shows, and of the authority it trusts. */
export interface ServerTls {
  readonly certPem: string;
  readonly keyPem: string;
  readonly clientCaPem: string;
}

/** Who else is in the cluster: peer addresses by name, its own included. */
export interface Membership {
  readonly name: string;
  readonly peers: Readonly<Record<string, string>>;
}

/** Three members, of which one may be lost. */
export class TestQuorum {
  readonly members: readonly TestEtcd[];

  constructor() {
    const ports = [freePort(), freePort(), freePort()];
    const peers = Object.fromEntries(ports.map((port, index) => [`m${index}`, `http://127.0.0.1:${port}`]));
    this.members = ports.map((_, index) => new TestEtcd(undefined, { name: `m${index}`, peers }));
  }

  /** `host:port` of every member, for clients. */
  get endpoints(): string {
    return this.members.map(({ endpoint }) => endpoint).join(",");
  }

  start(): void {
    for (const member of this.members) member.start();
  }

  /** The member that leads now; undefined while none does. */
  async leader(): Promise<TestEtcd | undefined> {
    for (const member of this.members) if (await member.leads()) return member;
    return undefined;
  }

  async remove(): Promise<void> {
    await Promise.all(this.members.map((member) => member.remove()));
  }
}

/** One member, alone in its cluster unless it is told of others; with `tls` it speaks to nobody without a certificate. */
export class TestEtcd {
  /** Made at the first start, so that a test that is left out leaves nothing behind. */
  #directory: string | undefined;
  readonly #ports = [freePort(), freePort()] as const;
  #process: Bun.Subprocess | undefined;

  constructor(private readonly tls?: ServerTls, private readonly membership?: Membership) {}

  /** `host:port` for clients. */
  get endpoint(): string {
    return `127.0.0.1:${this.#ports[0]}`;
  }

  start(): void {
    this.#directory ??= mkdtempSync(join(roomiest(), "minik8s-etcd-"));
    const clients = `${this.tls ? "https" : "http"}://127.0.0.1:${this.#ports[0]}`;
    const { name, peers } = this.membership ?? { name: "t", peers: { t: `http://127.0.0.1:${this.#ports[1]}` } };
    const own = peers[name] as string;
    this.#process = Bun.spawn([
      "etcd", "--name", name, "--data-dir", join(this.#directory, "data"), "--listen-client-urls", clients, "--advertise-client-urls", clients,
      "--listen-peer-urls", own, "--initial-advertise-peer-urls", own, "--initial-cluster", Object.entries(peers).map(([peer, url]) => `${peer}=${url}`).join(","),
      "--log-level", "error", ...this.#tlsFlags(this.#directory),
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

  /** Whether it leads its cluster; false when it does not answer. */
  async leads(): Promise<boolean> {
    try {
      const reply = await fetch(`http://${this.endpoint}/v3/maintenance/status`, { method: "POST", body: "{}", signal: AbortSignal.timeout(1_000) });
      const { header, leader } = (await reply.json()) as { header: { member_id: string }; leader?: string };
      return leader === header.member_id;
    } catch {
      return false;
    }
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

/** Memory where there is room for its preallocated files: on a disk that others keep busy etcd gives up on writes, and here only processes die. */
function roomiest(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize > ROOM_BYTES ? MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}

export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

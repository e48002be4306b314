// Control plane processes for tests.
// Never part of the product.
import { join } from "node:path";
import { HttpClient } from "../api/client/http.ts";
import { loadKubeconfig } from "../api/client/kubeconfig.ts";
import { builtinKind } from "../api/registry.ts";
import type { Deployment, Lease } from "../api/types.ts";
import { eventually } from "../lib/testing.ts";
import { freePort } from "../control/store/etcd/testing.ts";

const LEASES = builtinKind("coordination.k8s.io", "v1", "Lease");
const MAIN = join(import.meta.dir, "main.ts");

/** One control plane process with a data directory and a port of its own. */
export class Plane {
  readonly port = freePort();
  #child: Bun.Subprocess | undefined;

  constructor(readonly directory: string, private readonly datastore: string) {}

  start(flags: readonly string[]): void {
    const own = ["--data-dir", this.directory, "--bind-address", "127.0.0.1", "--port", `${this.port}`, "--datastore", this.datastore];
    this.#child = Bun.spawn([process.execPath, MAIN, "control", ...flags, ...own], { stdin: "ignore", stdout: "ignore", stderr: process.env["SHOW_LOGS"] ? "inherit" : "ignore" });
  }

  async ready(): Promise<void> {
    await eventually("readiness", () => fetch(`https://127.0.0.1:${this.port}/readyz`, { tls: { rejectUnauthorized: false } }).then((reply) => reply.ok, () => false));
  }

  async connect(): Promise<HttpClient> {
    return new HttpClient(await loadKubeconfig(join(this.directory, "admin.conf")));
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  async stop(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
  }
}

/** Who runs the controllers. */
export async function holderOf(client: HttpClient): Promise<string | undefined> {
  return (await client.get<Lease>(LEASES, { namespace: "kube-system", name: "kube-controller-manager" })).spec?.holderIdentity;
}

/** A Deployment that needs a controller but no node. */
export function aDeployment(name: string): Deployment {
  const labels = { app: name };
  return { metadata: { name, namespace: "default" }, spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "none" }] } } } };
}

/** What a command prints; throws when it fails. */
export async function command(args: readonly string[]): Promise<string> {
  const child = Bun.spawn([process.execPath, MAIN, ...args], { stdout: "pipe", stderr: "inherit" });
  const output = await new Response(child.stdout).text();
  const code = await child.exited;
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}`);
  return output;
}

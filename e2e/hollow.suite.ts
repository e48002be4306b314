// A built control plane with hollow nodes, for what controllers and scheduler do: nothing of the machine is touched.
// Driven with kubectl, and by plain requests for what older kubectls cannot say.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, eventually, Kubectl } from "./support.ts";

/** Objects as the wire has them: tests look at whatever they need. */
// oxlint-disable-next-line no-explicit-any
export type Wire = any;

export class HollowCluster {
  readonly directory = mkdtempSync(join(tmpdir(), "minik8s-e2e-hollow-"));
  readonly kubeconfig = join(this.directory, "data", "admin.conf");
  readonly kubectl = new Kubectl(this.kubeconfig);
  readonly #agents = new Map<string, Bun.Subprocess>();
  #control: Bun.Subprocess | undefined;
  #proxy: Bun.Subprocess | undefined;
  #url = "";

  /** Returns once the control plane serves and its first controllers have worked. */
  async start(...flags: string[]): Promise<void> {
    const port = String(freePort());
    this.#control = Bun.spawn([BINARY, "control", "--init", "--data-dir", join(this.directory, "data"), "--datastore", "memory", "--bind-address", "127.0.0.1", "--port", port, ...flags], { stdout: "ignore", stderr: "ignore" });
    await eventually("the control plane is ready", () => this.kubectl.run("get", "serviceaccount", "default"));
    const proxyPort = freePort();
    this.#proxy = Bun.spawn([...this.kubectl.command, "proxy", `--port=${proxyPort}`], { stdout: "ignore", stderr: "ignore" });
    this.#url = `http://127.0.0.1:${proxyPort}`;
    await eventually("the proxy answers", () => this.get("/version"));
  }

  /** Registers nodes `<prefix>-0` and on, and waits until all are Ready. */
  async addNodes(prefix: string, count: number, ...flags: string[]): Promise<void> {
    this.#agents.set(prefix, Bun.spawn([BINARY, "agent", "--hollow", String(count), "--node-name", prefix, "--kubeconfig", this.kubeconfig, ...flags], { stdout: "ignore", stderr: "ignore" }));
    await eventually(`${count} nodes are there`, async () => (await this.kubectl.run("get", "nodes", "-o", "name")).split("\n").filter((name) => name.startsWith(`node/${prefix}-`)).length === count);
  }

  /** The nodes of a prefix fall silent, all in one instant. */
  async silence(prefix: string): Promise<void> {
    await end(this.#agents.get(prefix));
    this.#agents.delete(prefix);
  }

  async stop(): Promise<void> {
    for (const agent of this.#agents.values()) await end(agent);
    await end(this.#proxy);
    await end(this.#control);
    rmSync(this.directory, { recursive: true, force: true });
  }

  get(path: string): Promise<Wire> {
    return this.request("GET", path);
  }

  /** One request; throws the server's sentence when it is refused. */
  async request(method: string, path: string, body?: object, contentType = "application/json"): Promise<Wire> {
    const response = await fetch(this.#url + path, { method, ...(body && { body: JSON.stringify(body), headers: { "content-type": contentType } }) });
    const text = await response.text();
    if (!response.ok) throw new Error(text.startsWith("{") ? (JSON.parse(text) as Wire).message : `${response.status} ${text}`);
    return text.startsWith("{") ? JSON.parse(text) : text;
  }

  /** Changes what an object's status says, as its controller or node would. */
  setStatus(path: string, status: object): Promise<Wire> {
    return this.request("PATCH", `${path}/status`, { status }, "application/merge-patch+json");
  }

  /** `Reason: message` of the events about objects of this name. */
  async events(name: string, namespace = "default"): Promise<string[]> {
    const { items } = await this.get(`/api/v1/namespaces/${namespace}/events?fieldSelector=involvedObject.name%3D${name}`);
    return items.map(({ reason, message }: Wire) => `${reason}: ${message}`);
  }
}

async function end(process: Bun.Subprocess | undefined): Promise<void> {
  process?.kill("SIGKILL");
  await process?.exited;
}

export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

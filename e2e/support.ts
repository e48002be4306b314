// What the end-to-end tests share: the built executable, real kubectls, and waiting for what a user would wait for.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { hostExec, type ExecResult } from "../lib/exec.ts";
import { PATIENCE_MS, TEST_TIMEOUT_MS } from "../lib/testing.ts";

const ROOT = join(import.meta.dir, "..");
export const BINARY = process.env["MINIK8S_BIN"] ?? join(ROOT, "dist", "minik8s");
export const SAMPLE_IMAGE = join(ROOT, "dist", "hello.tar");

/** Runs a program and returns its output; throws with everything it said when it fails. */
export async function must(command: readonly string[], options: { timeoutMs?: number; stdin?: string; env?: Record<string, string> } = {}): Promise<string> {
  const result = await hostExec(command, { timeoutMs: TEST_TIMEOUT_MS, ...options });
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")} exited ${result.exitCode}:\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

const pem = (data: string | undefined): string => Buffer.from(data ?? "", "base64").toString();

/** kubectl gives a connection ten seconds, and a machine that is busy enough takes longer: what has not been sent is tried again. */
async function reached(call: () => Promise<string>): Promise<string> {
  for (let left = 3; ; left--) {
    try {
      return await call();
    } catch (error) {
      if (left === 0 || !/Unable to connect to the server: (net\/http: TLS handshake timeout|context deadline exceeded)\n/.test((error as Error).message)) throw error;
    }
  }
}

/** kubectl against one cluster. */
export class Kubectl {
  constructor(private readonly kubeconfig: string, private readonly program = "kubectl") {}

  /** What to run, up to where the arguments begin. */
  get command(): readonly string[] {
    return [this.program, "--kubeconfig", this.kubeconfig];
  }

  /** Output of a call that must succeed. */
  run(...args: string[]): Promise<string> {
    return reached(() => must([...this.command, ...args]));
  }

  /** Applies a manifest given as text. */
  apply(manifest: string, ...args: string[]): Promise<string> {
    return reached(() => must([...this.command, "apply", ...args, "-f", "-"], { stdin: manifest }));
  }

  /** The reply to an object posted to a path of the API. */
  post(path: string, body: object): Promise<string> {
    return must([...this.command, "create", "--raw", path, "-f", "-"], { stdin: JSON.stringify(body) });
  }

  /** A patch that old kubectls have no command for, as of subresources; throws what the server said when it refuses. */
  async patch(path: string, body: object, type: "merge" | "strategic-merge" = "strategic-merge"): Promise<void> {
    const config = JSON.parse(await this.run("config", "view", "--raw", "--minify", "-o", "json")) as { clusters: [{ cluster: Record<string, string> }]; users: [{ user: Record<string, string> }] };
    const [{ cluster }, { user }] = [config.clusters[0], config.users[0]];
    const tls = { ca: pem(cluster["certificate-authority-data"]), cert: pem(user["client-certificate-data"]), key: pem(user["client-key-data"]) };
    const response = await fetch(`${cluster["server"]}${path}`, { method: "PATCH", body: JSON.stringify(body), headers: { "content-type": `application/${type}-patch+json` }, tls });
    if (!response.ok) throw new Error(`PATCH ${path}: ${response.status} ${await response.text()}`);
  }

  /** The outcome of a call that may fail. */
  attempt(...args: string[]): Promise<ExecResult> {
    return hostExec([this.program, "--kubeconfig", this.kubeconfig, ...args], { timeoutMs: TEST_TIMEOUT_MS });
  }

  /** One value by JSON path. */
  value(path: string, ...args: string[]): Promise<string> {
    return this.run("get", ...args, "-o", `jsonpath=${path}`);
  }
}

/** The kubectls to test with: the one in PATH, and Debian's old one where the test script has unpacked it. */
export function kubectls(): { name: string; program: string }[] {
  const debian = join(ROOT, "dist", "kubectl-debian", "usr", "bin", "kubectl");
  return [{ name: "kubectl", program: "kubectl" }, ...(existsSync(debian) ? [{ name: "Debian's kubectl", program: debian }] : [])];
}

/** Makes the sample's image archive once. */
export async function sampleImage(): Promise<string> {
  if (!existsSync(SAMPLE_IMAGE)) await must([process.execPath, join(ROOT, "scripts", "sample-image.ts"), SAMPLE_IMAGE]);
  return SAMPLE_IMAGE;
}

/** Waits until `probe` returns something truthy; throws what it last saw after `timeoutMs`. */
export async function eventually<T>(what: string, probe: () => Promise<T>, timeoutMs = PATIENCE_MS): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value as NonNullable<T>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s; last: ${last instanceof Error ? last.message : String(last)}`);
    await Bun.sleep(200);
  }
}

/** The sample application under a name of its own. */
export function application(name: string, replicas: number, extra = ""): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name} }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 1
${extra}
      containers:
        - name: web
          image: minik8s/hello:1
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /, port: http }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec:
  selector: { app: ${name} }
  ports: [{ port: 80, targetPort: http }]
`;
}

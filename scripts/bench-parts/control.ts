// The control plane under measurement: started, watched through /proc, and spoken to as an admin.
import { existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { HttpClient } from "../../api/client/http.ts";
import { loadKubeconfig } from "../../api/client/kubeconfig.ts";
import { cpuMicros, cpuPercent, memoryMB } from "./process.ts";
import { builtinKind } from "../../api/registry.ts";
import type { ClusterRoleBinding, Namespace, ServiceAccount, TokenRequest } from "../../api/types.ts";

/** `MINIK8S_BENCH_PORT` lets two benchmarks run side by side. */
const PORT = Number(process.env["MINIK8S_BENCH_PORT"] ?? 16443);
/** Room for a range of its own for every one of 10,000 nodes. */
const CLUSTER_CIDR = "10.128.0.0/10";
const SERVICE_ACCOUNTS = builtinKind("", "v1", "ServiceAccount");

export interface Control {
  readonly url: string;
  readonly client: HttpClient;
  /** A cluster admin's bearer token, for load generators that take headers only. */
  readonly token: string;
  readonly readyMs: number;
  /** Another client with a connection of its own; the caller closes it. */
  connect(): HttpClient;
  serviceAccountMs(): Promise<number>;
  idle(forMs: number): Promise<{ memoryMB: number; cpuPercent: number }>;
  memoryMB(): number;
  /** CPU time it has taken so far, in microseconds. */
  cpuMicros(): number;
  stop(): Promise<void>;
}

/** Starts `binary control --init` in `directory` and returns once it is ready. */
export async function startControl(binary: string, directory: string): Promise<Control> {
  const begin = performance.now();
  const output = openSync(join(directory, "control.log"), "a");
  const child = Bun.spawn([binary, "control", "--init", "--data-dir", directory, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--port", String(PORT), "--cluster-cidr", CLUSTER_CIDR], { stdout: output, stderr: output });
  const url = `https://127.0.0.1:${PORT}`;
  const readyMs = await firstReady(url, begin, child);
  while (!existsSync(join(directory, "admin.conf"))) await Bun.sleep(5);
  const client = new HttpClient(await loadKubeconfig(join(directory, "admin.conf")));
  const serviceAccount = firstServiceAccount(client, begin);
  await serviceAccount;
  const token = await adminToken(client);
  return {
    url, client, token, readyMs,
    connect: () => new HttpClient(loadKubeconfig(join(directory, "admin.conf"))),
    serviceAccountMs: () => serviceAccount,
    idle: (forMs) => idle(child.pid, forMs),
    memoryMB: () => memoryMB(child.pid),
    cpuMicros: () => cpuMicros(child.pid),
    stop: async () => {
      await client.close();
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

async function firstReady(url: string, begin: number, child: { exitCode: number | null }): Promise<number> {
  for (;;) {
    const isReady = await fetch(`${url}/readyz`, { tls: { rejectUnauthorized: false } }).then((reply) => reply.ok, () => false);
    if (isReady) return performance.now() - begin;
    if (child.exitCode !== null) throw new Error(`the control plane exited ${child.exitCode} while starting; see control.log with --keep`);
    await Bun.sleep(2);
  }
}

async function firstServiceAccount(client: HttpClient, begin: number): Promise<number> {
  while (!(await client.get(SERVICE_ACCOUNTS, { namespace: "default", name: "default" }).catch(() => undefined))) await Bun.sleep(2);
  return performance.now() - begin;
}

async function adminToken(client: HttpClient): Promise<string> {
  const name = "bench";
  await client.create<Namespace>(builtinKind("", "v1", "Namespace"), { metadata: { name } });
  await client.create<ServiceAccount>(SERVICE_ACCOUNTS, { metadata: { name, namespace: name } });
  await client.create<ClusterRoleBinding>(builtinKind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"), {
    metadata: { name }, roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" }, subjects: [{ kind: "ServiceAccount", name, namespace: name }],
  });
  const reply = await client.post<unknown, TokenRequest>(SERVICE_ACCOUNTS, { namespace: name, name }, "token", { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences: [], expirationSeconds: 7200 } });
  return reply.status?.token as string;
}

async function idle(pid: number, forMs: number): Promise<{ memoryMB: number; cpuPercent: number }> {
  await Bun.sleep(5000);
  const cpu = await cpuPercent(pid, forMs);
  return { memoryMB: memoryMB(pid), cpuPercent: cpu };
}

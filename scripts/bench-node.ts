// A real node under measurement, from outside: how soon pods are Ready, what its agent takes, how fast an exec comes back.
// Uses the cluster KUBECONFIG names and a namespace of its own, which it removes.
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { HttpClient } from "../api/client/http.ts";
import { loadKubeconfig } from "../api/client/kubeconfig.ts";
import { builtinKind } from "../api/registry.ts";
import type { Namespace, Node } from "../api/types.ts";
import { PodTimer } from "./bench-parts/pods.ts";
import { cpuPercent, memoryMB } from "./bench-parts/process.ts";
import { Table } from "./bench-parts/table.ts";

const NAMESPACES = builtinKind("", "v1", "Namespace");
const NODES = builtinKind("", "v1", "Node");
const ALONE = 40;
const AT_ONCE = 30;
const MANY = 100;
const EXECS = 15;
const CPU_MS = 10_000;

const { values } = parseArgs({ options: {
  kubeconfig: { type: "string", default: process.env["KUBECONFIG"] ?? "/etc/minik8s/admin.conf" }, node: { type: "string" },
  image: { type: "string", default: "minik8s/hello:1" }, "agent-data-dir": { type: "string", default: "/var/lib/minik8s/agent" },
} });
const client = new HttpClient(loadKubeconfig(values.kubeconfig));
const agentPid = Number(readFileSync(join(values["agent-data-dir"], "run", "agent.pid"), "utf8"));
const nodeName = values.node ?? (await firstNode());
const namespace = `bench-node-${process.pid}`;
const table = new Table();

await client.create<Namespace>(NAMESPACES, { metadata: { name: namespace } });
const stop = new AbortController();
const pods = await PodTimer.start({ client, namespace, nodeName, image: values.image, signal: stop.signal });
try {
  const { status } = await client.get<Node>(NODES, { name: nodeName });
  process.stdout.write(`${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${nodeName}, ${status?.nodeInfo?.containerRuntimeVersion}\n`);
  // The first pod pays for what is read and compiled once.
  await pods.remove(await pods.ready(1));
  table.record({ name: "agent memory, idle", unit: "MB", goal: 90, better: "lower", measured: memoryMB(agentPid) });
  table.record({ name: "agent CPU, idle", unit: "% of a core", goal: 1, better: "lower", measured: await cpuPercent(agentPid, CPU_MS) });
  const alone: number[] = [];
  for (let index = 0; index < ALONE; index++) {
    const [pod] = await pods.ready(1);
    alone.push(pod!.readyMs);
    await pods.remove([pod!]);
  }
  table.record({ name: "create to Ready, p50", unit: "ms", upstream: 700, goal: 450, better: "lower", measured: quantile(alone, 0.5) });
  table.record({ name: "create to Ready, p99", unit: "ms", goal: 1000, better: "lower", measured: quantile(alone, 0.99) });
  const together = await pods.ready(AT_ONCE);
  table.record({ name: `${AT_ONCE} pods at once, all Ready`, unit: "s", upstream: 7.3, goal: 6, better: "lower", measured: Math.max(...together.map(({ readyMs }) => readyMs)) / 1000 });
  table.record({ name: "kubectl exec true, median", unit: "ms", goal: 150, better: "lower", measured: quantile(await execTimes(together[0]!.name), 0.5) });
  await pods.ready(MANY - AT_ONCE);
  await Bun.sleep(5000);
  table.record({ name: `agent CPU, ${MANY} pods`, unit: "% of a core", goal: 3, better: "lower", measured: await cpuPercent(agentPid, CPU_MS) });
  table.record({ name: `agent memory, ${MANY} pods`, unit: "MB", goal: 150, better: "lower", measured: memoryMB(agentPid) });
} finally {
  stop.abort();
  await client.delete(NAMESPACES, { name: namespace });
  client.close();
}
process.stdout.write(`\n${table.text()}\n`);

async function firstNode(): Promise<string> {
  const { items } = await client.list<Node>(NODES);
  const real = items.find((node) => node.metadata.labels?.["minik8s.io/hollow"] === undefined);
  if (!real) throw new Error(`${values.kubeconfig}: the cluster has no node to measure`);
  return real.metadata.name;
}

async function execTimes(pod: string): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < EXECS; index++) {
    const begin = performance.now();
    const child = Bun.spawn(["kubectl", "--kubeconfig", values.kubeconfig, "--namespace", namespace, "exec", pod, "--", "true"], { stdout: "ignore", stderr: "inherit" });
    if ((await child.exited) !== 0) throw new Error(`kubectl exec ${pod} -- true exited ${child.exitCode}`);
    times.push(performance.now() - begin);
  }
  return times;
}

function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

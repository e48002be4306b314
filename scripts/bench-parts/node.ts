// One real node under measurement, from outside: how soon pods are Ready, what its agent takes, how fast exec and logs are.
// Works in a namespace of its own, which it removes; which cluster it is, the caller says.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HttpClient } from "../../api/client/http.ts";
import { loadKubeconfig } from "../../api/client/kubeconfig.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Namespace, Node } from "../../api/types.ts";
import { followWriting, followWritten } from "./follow.ts";
import { PodTimer } from "./pods.ts";
import { cpuPercent, memoryMB } from "./process.ts";
import type { Row } from "./table.ts";

const NAMESPACES = builtinKind("", "v1", "Namespace");
const NODES = builtinKind("", "v1", "Node");
const ALONE = 40;
const AT_ONCE = 30;
const MANY = 100;
const EXECS = 15;
const CPU_MS = 10_000;
/** Until what a burst needed is given back. */
const REST_MS = 25_000;

export interface MeasuredNode {
  readonly kubeconfig: string;
  readonly agentDataDir: string;
  readonly image: string;
  /** The cluster's first real one when left out. */
  readonly nodeName?: string | undefined;
  readonly record: (row: Row) => void;
}

/** Records all figures of one node; returns what it runs containers with. */
export async function measureNode(options: MeasuredNode): Promise<string> {
  const { kubeconfig, image, record } = options;
  const client = new HttpClient(loadKubeconfig(kubeconfig));
  const agentPid = Number(readFileSync(join(options.agentDataDir, "run", "agent.pid"), "utf8"));
  const nodeName = options.nodeName ?? (await firstNode(client));
  const namespace = `bench-node-${process.pid}`;
  await client.create<Namespace>(NAMESPACES, { metadata: { name: namespace } });
  const stop = new AbortController();
  const pods = await PodTimer.start({ client, namespace, nodeName, image, signal: stop.signal });
  const kubectl = ["kubectl", "--kubeconfig", kubeconfig, "--namespace", namespace];
  try {
    // The first pod pays for what is read and compiled once.
    await pods.remove(await pods.ready(1));
    await Bun.sleep(REST_MS);
    record({ name: "agent memory, idle", unit: "MB", goal: 90, better: "lower", measured: memoryMB(agentPid) });
    record({ name: "agent CPU, idle", unit: "% of a core", goal: 1, better: "lower", measured: await cpuPercent(agentPid, CPU_MS) });
    const alone: number[] = [];
    for (let index = 0; index < ALONE; index++) {
      const [pod] = await pods.ready(1);
      alone.push(pod!.readyMs);
      await pods.remove([pod!]);
    }
    record({ name: "create to Ready, p50", unit: "ms", upstream: 700, goal: 450, better: "lower", measured: quantile(alone, 0.5) });
    record({ name: "create to Ready, p99", unit: "ms", goal: 1000, better: "lower", measured: quantile(alone, 0.99) });
    const together = await pods.ready(AT_ONCE);
    record({ name: `${AT_ONCE} pods at once, all Ready`, unit: "s", upstream: 7.3, goal: 6, better: "lower", measured: Math.max(...together.map(({ readyMs }) => readyMs)) / 1000 });
    record({ name: "kubectl exec true, median", unit: "ms", goal: 150, better: "lower", measured: quantile(await execTimes(kubectl, together[0]!.name), 0.5) });
    await pods.ready(MANY - AT_ONCE, { probed: true });
    await Bun.sleep(REST_MS);
    record({ name: `agent CPU, ${MANY} pods, most of them probed`, unit: "% of a core", goal: 3, better: "lower", measured: await cpuPercent(agentPid, CPU_MS) });
    record({ name: `agent memory, ${MANY} pods`, unit: "MB", goal: 150, better: "lower", measured: memoryMB(agentPid) });
    const followed = { kubectl, image, nodeName, agentPid };
    const written = await followWritten(followed);
    record({ name: "kubectl logs --follow, what is written already", unit: "MB/s", goal: 50, better: "higher", measured: written.megabytesPerSecond });
    record({ name: "agent memory gained by that", unit: "MB", goal: 30, better: "lower", measured: written.grownMB });
    const writing = await followWriting(followed);
    record({ name: "kubectl logs --follow, as it is written", unit: "MB/s", better: "higher", measured: writing.megabytesPerSecond });
    record({ name: "agent memory gained by this", unit: "MB", goal: 30, better: "lower", measured: writing.grownMB });
    const { status } = await client.get<Node>(NODES, { name: nodeName });
    return status?.nodeInfo?.containerRuntimeVersion ?? "unknown";
  } finally {
    stop.abort();
    await client.delete(NAMESPACES, { name: namespace });
    client.close();
  }
}

async function firstNode(client: HttpClient): Promise<string> {
  const { items } = await client.list<Node>(NODES);
  const real = items.find((node) => node.metadata.labels?.["minik8s.io/hollow"] === undefined);
  if (!real) throw new Error("the cluster has no node to measure");
  return real.metadata.name;
}

async function execTimes(kubectl: readonly string[], pod: string): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < EXECS; index++) {
    const begin = performance.now();
    const child = Bun.spawn([...kubectl, "exec", pod, "--", "true"], { stdout: "ignore", stderr: "inherit" });
    if ((await child.exited) !== 0) throw new Error(`kubectl exec ${pod} -- true exited ${child.exitCode}`);
    times.push(performance.now() - begin);
  }
  return times;
}

function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

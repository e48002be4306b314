// A Deployment scaled up, rolled over and deleted on hollow nodes: how long the control plane takes for each.
// Starts a control plane of its own on an empty directory, and `agent --hollow` beside it.
import { mkdtempSync, openSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { builtinKind } from "../api/registry.ts";
import type { Deployment, Node, Pod } from "../api/types.ts";
import { startControl, type Control } from "./bench-parts/control.ts";
import { memoryMB } from "./bench-parts/process.ts";
import { namespaceFor } from "./bench-parts/rates.ts";
import { Table } from "./bench-parts/table.ts";

const DEPLOYMENTS = builtinKind("apps", "v1", "Deployment");
const NODES = builtinKind("", "v1", "Node");
const PODS = builtinKind("", "v1", "Pod");
const NAME = "scale";
const POLL_MS = 20;

const { values } = parseArgs({ options: { nodes: { type: "string", default: "100" }, replicas: { type: "string", default: "1000" }, keep: { type: "boolean" }, binary: { type: "string", default: join(import.meta.dir, "..", "dist", "minik8s") } } });
const [nodes, replicas] = [Number(values.nodes), Number(values.replicas)];
const directory = mkdtempSync(join(tmpdir(), "minik8s-bench-"));
const table = new Table();
let control: Control | undefined;
let hollow: Bun.Subprocess | undefined;

process.stdout.write(`${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${values.binary}\n`);
try {
  control = await startControl(values.binary, directory);
  const { client } = control;
  const output = openSync(join(directory, "hollow.log"), "a");
  const hollowProcess = Bun.spawn([values.binary, "agent", "--hollow", String(nodes), "--kubeconfig", join(directory, "admin.conf"), "--data-dir", join(directory, "agent")], { stdout: output, stderr: output });
  hollow = hollowProcess;
  table.record({ name: `${nodes} hollow nodes Ready`, unit: "s", better: "lower", measured: await timed(() => until(async () => (await client.list<Node>(NODES)).items.filter((node) => !node.spec?.taints?.length).length === nodes)) });
  const namespace = await namespaceFor(control, NAME);
  table.record({ name: `Deployment 0 -> ${replicas}, all Available`, unit: "s", goal: 5, better: "lower", measured: await timed(async () => {
    await client.create<Deployment>(DEPLOYMENTS, aDeployment(namespace));
    await until(() => isRolledOut(namespace));
  }) });
  let fewest = Infinity;
  table.record({ name: "rolling update of it", unit: "s", better: "lower", measured: await timed(async () => {
    await client.patch<Deployment>(DEPLOYMENTS, { namespace, name: NAME }, { spec: { template: { metadata: { annotations: { revision: "2" } } } } }, { type: "merge" });
    await until(() => isRolledOut(namespace, (available) => { fewest = Math.min(fewest, available); }));
  }) });
  table.record({ name: "fewest Available during it", unit: "pods", goal: Math.floor(replicas * 0.75), better: "higher", measured: fewest });
  table.record({ name: "Deployment deleted, all pods gone", unit: "s", better: "lower", measured: await timed(async () => {
    await client.delete(DEPLOYMENTS, { namespace, name: NAME }, { propagationPolicy: "Background" });
    await until(async () => (await client.list<Pod>(PODS, { namespace, limit: 1 })).items.length === 0);
  }) });
  table.record({ name: "memory of the control plane", unit: "MB", better: "lower", measured: control.memoryMB() });
  table.record({ name: "memory of all hollow nodes", unit: "MB", goal: nodes <= 1000 ? 500 : nodes / 2, better: "lower", measured: memoryMB(hollowProcess.pid) });
} finally {
  hollow?.kill("SIGTERM");
  await hollow?.exited;
  await control?.stop();
  if (!values.keep) rmSync(directory, { recursive: true, force: true });
}
process.stdout.write(`\n${table.text()}\n`);

function aDeployment(namespace: string): Deployment {
  const labels = { app: NAME };
  return {
    metadata: { name: NAME, namespace },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "minik8s/hello:1", resources: { requests: { cpu: "10m", memory: "16Mi" } } }] } } },
  };
}

async function isRolledOut(namespace: string, onAvailable?: (count: number) => void): Promise<boolean> {
  const { metadata, status = {} } = await (control as Control).client.get<Deployment>(DEPLOYMENTS, { namespace, name: NAME });
  onAvailable?.(status.availableReplicas ?? 0);
  return status.observedGeneration === metadata.generation && status.updatedReplicas === replicas && status.availableReplicas === replicas && status.replicas === replicas;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(POLL_MS);
}

/** Seconds it took. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await run();
  return (performance.now() - begin) / 1000;
}

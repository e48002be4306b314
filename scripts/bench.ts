// Benchmarks of a control plane: starts the built executable on an empty directory, drives it over the real API, prints a table.
// Figures of upstream 1.36 and the goals were taken on two cores; the machine is named above the table.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startControl, type Control } from "./bench-parts/control.ts";
import { getOne, listConfigMaps, listPods, postConfigMaps, postPods, type Rate } from "./bench-parts/rates.ts";
import { bindPods, bindSpreadPods } from "./bench-parts/bind.ts";
import { fanOut } from "./bench-parts/fanout.ts";
import { fillCluster, LISTS, longestPause } from "./bench-parts/large.ts";
import { watchNodes } from "./bench-parts/nodewatches.ts";
import { Table, type Row } from "./bench-parts/table.ts";

const { values } = parseArgs({ options: { only: { type: "string" }, keep: { type: "boolean" }, binary: { type: "string", default: join(import.meta.dir, "..", "dist", "minik8s") } } });
const table = new Table();

process.stdout.write(`${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${values.binary}\n`);
await onOwnControlPlane(["start", "idle", "POST", "GET", "LIST", "watch"], requests);
await onOwnControlPlane(["5,000 Pods created and bound, 1,000 nodes", "memory after that"], async (control) => {
  await measure("5,000 Pods created and bound, 1,000 nodes", { upstream: 238, goal: 1200 }, () => bindPods(control, { nodes: 1000, pods: 5000 }));
  record({ name: "memory after that", unit: "MB", upstream: 1962, goal: 400, better: "lower", measured: control.memoryMB() });
});
await onOwnControlPlane(["5,000 Pods created and bound, 5,000 nodes"], (control) =>
  measure("5,000 Pods created and bound, 5,000 nodes", { goal: 800 }, () => bindPods(control, { nodes: 5000, pods: 5000 })));
await onOwnControlPlane(["1,000 Pods apart and spread over zones, 1,000 nodes"], (control) =>
  measure("1,000 Pods apart and spread over zones, 1,000 nodes", { goal: 300 }, () => bindSpreadPods(control, { nodes: 1000, pods: 1000 })));
await onOwnControlPlane(["Pods bound under 5,000 watchers of one node each"], (control) =>
  measure("Pods bound under 5,000 watchers of one node each", {}, () => watchNodes(control)));
await onOwnControlPlane(["large"], large);
process.stdout.write(`\n${table.text()}\n`);

async function requests(control: Control): Promise<void> {
  record({ name: "start to /readyz", unit: "s", upstream: 3.5, goal: 0.5, better: "lower", measured: control.readyMs / 1000 });
  record({ name: "start to default ServiceAccount", unit: "s", upstream: 9.6, goal: 0.7, better: "lower", measured: (await control.serviceAccountMs()) / 1000 });
  if (isWanted("idle memory") || isWanted("idle CPU")) {
    const idle = await control.idle(60_000);
    record({ name: "idle memory", unit: "MB", upstream: 516, goal: 150, better: "lower", measured: idle.memoryMB });
    record({ name: "idle CPU", unit: "% of a core", goal: 1, better: "lower", measured: idle.cpuPercent });
  }
  await measure("POST ConfigMap, durable", { upstream: 1326, goal: 6000 }, () => postConfigMaps(control));
  await measure("POST Pod, durable", { upstream: 679, goal: 3500 }, () => postPods(control));
  await measure("GET one object", { upstream: 2080, goal: 15_000 }, () => getOne(control));
  await measure("LIST 3,000 ConfigMaps", { upstream: 18.6, goal: 300 }, () => listConfigMaps(control));
  await measure("LIST 2,000 Pods, resourceVersion=0", { upstream: 12.9, goal: 60 }, () => listPods(control));
  await measure("watch events to 1,000 watchers", {}, () => fanOut(control));
  record({ name: "memory after these requests", unit: "MB", better: "lower", measured: control.memoryMB() });
}

async function large(control: Control): Promise<void> {
  const filled = await fillCluster(control, { nodes: 5000, pods: 50_000 });
  record({ name: "large: Pods created, up to 50,000 on 5,000 nodes", unit: "/s", better: "higher", measured: filled.perSecond, cpuMicros: filled.cpuMicros });
  record({ name: "large: memory with 5,000 nodes and 50,000 Pods", unit: "MB", goal: 1500, better: "lower", measured: control.memoryMB() });
  for (const list of LISTS) {
    record({ name: `large: longest pause, 50,000 Pods ${list.name}`, unit: "ms", goal: 50, better: "lower", measured: await longestPause(control, list) });
  }
  record({ name: "large: memory after these lists", unit: "MB", goal: 1500, better: "lower", measured: control.memoryMB() });
}

/** Runs figures on a control plane of their own, if any of them is wanted. */
async function onOwnControlPlane(names: readonly string[], run: (control: Control) => Promise<void>): Promise<void> {
  if (values.only && !names.some((name) => isWanted(name) || (values.only as string).startsWith(name))) return;
  const directory = mkdtempSync(join(tmpdir(), "minik8s-bench-"));
  const control = await startControl(values.binary, directory);
  try {
    await run(control);
  } finally {
    await control.stop();
    if (!values.keep) rmSync(directory, { recursive: true, force: true });
  }
}

function isWanted(name: string): boolean {
  return !values.only || name.includes(values.only);
}

function record(row: Row): void {
  if (isWanted(row.name)) table.record(row);
}

async function measure(name: string, references: { upstream?: number; goal?: number }, run: () => Promise<Rate>): Promise<void> {
  if (!isWanted(name)) return;
  const { perSecond, cpuMicros } = await run();
  table.record({ name, unit: "/s", ...references, better: "higher", measured: perSecond, cpuMicros });
}

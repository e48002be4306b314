// Benchmarks of a control plane: starts the built executable on an empty directory, drives it over the real API, prints a table.
// Figures of upstream 1.36 and the goals were taken on two cores; the machine is named above the table.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startControl, type Control } from "./bench-parts/control.ts";
import { getOne, listConfigMaps, listPods, postConfigMaps, postPods, type Rate } from "./bench-parts/rates.ts";
import { bindPods } from "./bench-parts/bind.ts";
import { fanOut } from "./bench-parts/fanout.ts";
import { Table } from "./bench-parts/table.ts";

const { values } = parseArgs({ options: { only: { type: "string" }, keep: { type: "boolean" }, binary: { type: "string", default: join(import.meta.dir, "..", "dist", "minik8s") } } });
const directory = mkdtempSync(join(tmpdir(), "minik8s-bench-"));
const table = new Table();
let control: Control | undefined;

process.stdout.write(`${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${values.binary}\n`);
try {
  control = await startControl(values.binary, directory);
  table.record({ name: "start to /readyz", unit: "s", upstream: 3.5, goal: 0.5, better: "lower", measured: control.readyMs / 1000 });
  table.record({ name: "start to default ServiceAccount", unit: "s", upstream: 9.6, goal: 0.7, better: "lower", measured: (await control.serviceAccountMs()) / 1000 });
  const idle = await control.idle(15_000);
  table.record({ name: "idle memory", unit: "MB", upstream: 516, goal: 150, better: "lower", measured: idle.memoryMB });
  table.record({ name: "idle CPU", unit: "% of a core", goal: 1, better: "lower", measured: idle.cpuPercent });
  await measure("POST ConfigMap, durable", "/s", { upstream: 1326, goal: 6000 }, postConfigMaps);
  await measure("POST Pod, durable", "/s", { upstream: 679, goal: 3500 }, postPods);
  await measure("GET one object", "/s", { upstream: 2080, goal: 15_000 }, getOne);
  await measure("LIST 3,000 ConfigMaps", "/s", { upstream: 18.6, goal: 300 }, listConfigMaps);
  await measure("LIST 2,000 Pods, resourceVersion=0", "/s", { upstream: 12.9, goal: 60 }, listPods);
  await measure("watch events to 1,000 watchers", "/s", {}, fanOut);
  await measure("5,000 Pods created and bound, 1,000 nodes", "/s", { upstream: 238, goal: 1200 }, bindPods);
  table.record({ name: "memory after that", unit: "MB", upstream: 1962, goal: 400, better: "lower", measured: control.memoryMB() });
} finally {
  await control?.stop();
  if (!values.keep) rmSync(directory, { recursive: true, force: true });
}
process.stdout.write(`\n${table.text()}\n`);

async function measure(name: string, unit: string, references: { upstream?: number; goal?: number }, run: (control: Control) => Promise<Rate>): Promise<void> {
  if (values.only && !name.includes(values.only)) return;
  const { perSecond, cpuMicros } = await run(control as Control);
  table.record({ name, unit, ...references, better: "higher", measured: perSecond, cpuMicros });
}

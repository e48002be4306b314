// Real nodes under measurement: one on each runtime in a lab of its own, side by side in one table,
// or the node of the cluster that --kubeconfig names.
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureNode } from "./bench-parts/node.ts";
import { SideBySide, type Row } from "./bench-parts/table.ts";

const ROOT = join(import.meta.dir, "..");
const RUNTIMES = ["containerd", "docker"] as const;

const { values } = parseArgs({ options: {
  kubeconfig: { type: "string" }, node: { type: "string" }, runtime: { type: "string" },
  image: { type: "string", default: "minik8s/hello:1" }, "agent-data-dir": { type: "string", default: "/var/lib/minik8s/agent" },
} });
const table = new SideBySide();
process.stdout.write(`${cpus().length} x ${cpus()[0]?.model ?? "unknown"}\n`);
if (values.kubeconfig !== undefined) {
  await measure("minik8s", values.kubeconfig, values["agent-data-dir"]);
} else {
  for (const runtime of RUNTIMES) if (values.runtime === undefined || values.runtime === runtime) await inLab(runtime);
}
process.stdout.write(`\n${table.text()}\n`);

async function measure(column: string, kubeconfig: string, agentDataDir: string): Promise<void> {
  const record = (row: Row): void => table.record(column, row);
  process.stdout.write(`${column}: ${await measureNode({ kubeconfig, agentDataDir, image: values.image, nodeName: values.node, record })}\n`);
}

async function inLab(runtime: (typeof RUNTIMES)[number]): Promise<void> {
  const name = `bench-${runtime}`;
  const directory = `/var/lib/minik8s-lab-${name}`;
  const lab = (...args: string[]): Promise<void> => run([join(ROOT, "scripts", "lab"), ...args], { MINIK8S_LAB: name });
  const archive = join(ROOT, "dist", "hello.tar");
  await run([process.execPath, join(ROOT, "scripts", "sample-image.ts"), archive], {});
  try {
    await lab("up", "1", "--runtime", runtime);
    await lab("load", archive);
    await measure(runtime, join(directory, "admin.conf"), join(directory, "node-1"));
  } finally {
    await lab("down");
  }
}

async function run(command: string[], env: Record<string, string>): Promise<void> {
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "inherit", env: { ...process.env, ...env } });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} exited ${child.exitCode}`);
}

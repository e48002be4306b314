// What runs on this machine and how the cluster is, for a person.
import { builtinKind } from "../api/registry.ts";
import type { Client } from "../api/client/client.ts";
import type { Node, Pod } from "../api/types.ts";
import { withAdmin } from "./connect.ts";
import type { Invocation } from "./commands.ts";
import { runningPid, type Mode } from "./processes.ts";
import { agentDataDir } from "./up.ts";

const NODES = builtinKind("", "v1", "Node");
const PODS = builtinKind("", "v1", "Pod");

export async function runStatus({ values }: Invocation): Promise<number> {
  const dataDir = values["data-dir"] as string;
  const controlRuns = showProcess(dataDir, "control");
  const agentRuns = showProcess(agentDataDir(dataDir), "agent");
  if (!controlRuns && !agentRuns && !values["kubeconfig"]) return 3;
  try {
    await withAdmin(values, showCluster);
    return 0;
  } catch (error) {
    process.stdout.write(`cluster   not reachable: ${(error as Error).message}\n`);
    return 1;
  }
}

function showProcess(dataDir: string, mode: Mode): boolean {
  const pid = runningPid(dataDir, mode);
  process.stdout.write(`${mode.padEnd(10)}${pid === undefined ? "not running" : `running as process ${pid}, data in ${dataDir}`}\n`);
  return pid !== undefined;
}

async function showCluster(client: Client): Promise<void> {
  const [nodes, pods] = await Promise.all([client.list<Node>(NODES), client.list<Pod>(PODS)]);
  for (const node of nodes.items) {
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    const own = pods.items.filter(({ spec }) => spec?.nodeName === node.metadata.name);
    process.stdout.write(`node      ${node.metadata.name}: ${ready?.status === "True" ? "Ready" : `NotReady (${ready?.message ?? "never reported"})`}, ${own.length} pods\n`);
  }
  const running = pods.items.filter(({ status }) => status?.phase === "Running").length;
  process.stdout.write(`pods      ${running} of ${pods.items.length} running\n`);
}

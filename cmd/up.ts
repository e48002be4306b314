// A whole cluster on this machine: control plane and node as two processes, with every stage of the start shown.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { builtinKind } from "../api/registry.ts";
import type { Node } from "../api/types.ts";
import { machineName, defaultAddress } from "../lib/addresses.ts";
import { fingerprint } from "../lib/fingerprint.ts";
import { COMMANDS, type Invocation } from "./commands.ts";
import { withAdmin } from "./connect.ts";
import { environmentName, type Values } from "./flags.ts";
import { createJoinToken } from "./jointoken.ts";
import { preflightAgent, preflightControl } from "./preflight.ts";
import { logFile, logTail, runningPid, startDetached, stopMode, type Mode } from "./processes.ts";
import { Progress } from "./progress.ts";

const NODES = builtinKind("", "v1", "Node");
const JOIN_TTL_MS = 10 * 60_000;
const READY_TIMEOUT_MS = 120_000;
const POLL_MS = 50;
/** A process shows no command line for a moment while it is being started. */
const GONE_AFTER_MS = 500;

/** The node's data lies inside the control plane's when both are on one machine. */
export const agentDataDir = (dataDir: string): string => join(dataDir, "agent");

export async function runUp({ values }: Invocation): Promise<number> {
  const dataDir = values["data-dir"] as string;
  const progress = new Progress();
  await progress.stage("check this machine", () => preflight(values));
  await progress.stage("start the control plane", () => startControl(dataDir, values));
  const node = values["node-name"] ?? machineName();
  await progress.stage(`start node ${node}`, () => startAgent(dataDir, values));
  await progress.stage(`wait until ${node} is Ready`, () => waitForNode(dataDir, values, node));
  process.stderr.write(`the cluster is up after ${progress.total}; export KUBECONFIG=${join(dataDir, "admin.conf")}\n`);
  if (values["detach"]) return 0;
  await untilInterrupted();
  await stopMode(agentDataDir(dataDir), "agent");
  await stopMode(dataDir, "control");
  return 0;
}

async function preflight(values: Values): Promise<void> {
  const dataDir = values["data-dir"] as string;
  if (runningPid(dataDir, "control") === undefined) {
    await preflightControl({ dataDir, bindAddress: values["bind-address"] as string, port: Number(values["port"]), usesDisk: true });
  }
  await preflightAgent({ dataDir: agentDataDir(dataDir), runtime: values["runtime"] as string, runtimeEndpoint: values["runtime-endpoint"] });
}

async function startControl(dataDir: string, values: Values): Promise<void> {
  if (runningPid(dataDir, "control") === undefined) startDetached(dataDir, "control", { args: ["--init", ...flagsFor("control", values)] });
  await until(dataDir, "control", async () => existsSync(join(dataDir, "admin.conf")) && (await isReady(dataDir, values)));
}

async function startAgent(dataDir: string, values: Values): Promise<void> {
  const agentDir = agentDataDir(dataDir);
  if (runningPid(agentDir, "agent") !== undefined) return;
  const authoritySha256 = fingerprint(readFileSync(join(dataDir, "pki", "ca.crt"), "utf8"));
  const token = await withAdmin({ "data-dir": dataDir }, (client) => createJoinToken(client, { ttlMs: JOIN_TTL_MS, authoritySha256, description: "made by minik8s up for this machine" }));
  const server = `https://${values["advertise-address"] ?? defaultAddress()}:${values["port"]}`;
  startDetached(agentDir, "agent", { args: ["--join", server, ...flagsFor("agent", { ...values, "data-dir": agentDir })], env: { [environmentName({ name: "token" })]: token } });
}

async function waitForNode(dataDir: string, values: Values, name: string): Promise<void> {
  await withAdmin({ "data-dir": dataDir }, (client) =>
    until(agentDataDir(dataDir), "agent", async () => {
      const node = await client.get<Node>(NODES, { name }).catch(() => undefined);
      return node?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
    }),
  );
}

async function isReady(dataDir: string, values: Values): Promise<boolean> {
  const ca = readFileSync(join(dataDir, "pki", "ca.crt"), "utf8");
  const host = values["bind-address"] === "0.0.0.0" ? "127.0.0.1" : (values["bind-address"] as string);
  return fetch(`https://${host}:${values["port"]}/readyz`, { tls: { ca }, signal: AbortSignal.timeout(1000) }).then((reply) => reply.ok, () => false);
}

/** Polls until it holds; fails early, with the end of its log, when the process is gone. */
async function until(dataDir: string, mode: Mode, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let lastSeen = Date.now();
  for (;;) {
    if (await condition()) return;
    if (runningPid(dataDir, mode) !== undefined) lastSeen = Date.now();
    if (Date.now() - lastSeen > GONE_AFTER_MS) throw new Error(`minik8s ${mode} stopped while starting; the end of ${logFile(dataDir, mode)}:\n${logTail(dataDir, mode)}`);
    if (Date.now() > deadline) throw new Error(`minik8s ${mode} was not ready after ${READY_TIMEOUT_MS / 1000} s; the end of ${logFile(dataDir, mode)}:\n${logTail(dataDir, mode)}`);
    await Bun.sleep(POLL_MS);
  }
}

/** The values given to `up` that a mode takes too, as its flags. */
function flagsFor(mode: Mode, values: Values): string[] {
  const known = COMMANDS.find(({ name }) => name === mode)?.flags ?? [];
  return known.filter(({ name }) => name !== "join" && name !== "token" && name !== "init" && values[name] !== undefined).flatMap(({ name, value }) => (value ? [`--${name}`, values[name] as string] : [`--${name}`]));
}

function untilInterrupted(): Promise<void> {
  process.stderr.write("press Ctrl-C to stop both; containers go on until `minik8s down`\n");
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}

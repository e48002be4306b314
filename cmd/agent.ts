// The node, put together: identity, container runtime, host network, kubelet, its HTTPS API, proxy, DNS, pod routes.
// Stopping it leaves containers, rules and routes as they are; the next start adopts them.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join as joinPath } from "node:path";
import { BackgroundEventRecorder } from "../api/client/recorder.ts";
import { createInformers } from "../api/client/informers.ts";
import { CgroupFs, detectCgroups, type CgroupFsOptions } from "../agent/kubelet/cgroupfs.ts";
import { identityPaths } from "../agent/kubelet/identity.ts";
import { join, keepIdentity, type NodeIdentity } from "../agent/kubelet/join.ts";
import { createHealthServer } from "../agent/server/health.ts";
import { createKubelet, type Kubelet } from "../agent/kubelet/kubelet.ts";
import { runLocalPaths } from "../agent/volumes/localpath.ts";
import { followLogind, startProgram } from "../agent/kubelet/logind.ts";
import type { Settings } from "../agent/kubelet/settings.ts";
import { createNode } from "../agent/kubelet/node.ts";
import { createRuntime } from "../agent/runtime/create.ts";
import type { Runtime } from "../agent/runtime/runtime.ts";
import { defaultAddress, machineName } from "../lib/addresses.ts";
import { systemClock } from "../lib/clock.ts";
import { startAll, type Component } from "../lib/component.ts";
import { hostExec } from "../lib/exec.ts";
import { keepSmall } from "../lib/footprint.ts";
import { logger } from "../lib/log.ts";
import { createDns } from "../net/dns/dns.ts";
import { findMissing } from "../net/host/features.ts";
import { prepareHost } from "../net/host/host.ts";
import { findUplink } from "../net/overlay/apply.ts";
import { createPodRoutes } from "../net/overlay/routes.ts";
import { createProxy } from "../net/proxy/proxy.ts";
import { DEFAULT_DATA_DIR, type Invocation } from "./commands.ts";
import { readClusterConfig } from "./clusterconfig.ts";
import { UsageError, type Values } from "./flags.ts";
import { dockerNetwork } from "./dockernetwork.ts";
import { parseJoinToken } from "./jointoken.ts";
import { allPods, cgroupDriver, configured, credentialProviders, nodeSettings } from "./nodesettings.ts";
import { takeBackNetworks } from "./leakednetworks.ts";
import { labelsOf } from "./nodelabels.ts";
import { createNodePolicy } from "./networkpolicy.ts";
import { createNodeServer } from "./nodeserver.ts";
import { preflightAgent } from "./preflight.ts";
import { cniPaths, installOwnPlugins, ipamDir, writePodNetwork } from "./podnetwork.ts";
import { claimPidFile } from "./processes.ts";
import { rememberRuntime, runtimeChoice } from "./runtimechoice.ts";
import { untilSignal } from "./signals.ts";
import { KUBERNETES_VERSION } from "./version.ts";

const log = logger("agent");
const clock = systemClock;

export async function runAgent({ values }: Invocation): Promise<number> {
  if (values["hollow"]) return (await import("./hollow.ts")).runHollow(values);
  const dataDir = values["data-dir"] as string;
  if (!values["join"]) throw new UsageError("agent: name the control plane with --join https://HOST:6443");
  await preflightAgent({ dataDir, runtime: values["runtime"] as string, runtimeEndpoint: values["runtime-endpoint"] });
  claimPidFile(dataDir, "agent");
  const begin = performance.now();
  const running = new AbortController();
  const interrupted = untilSignal();
  void interrupted.then(() => running.abort());
  const stop = await Promise.race([start(values, running.signal), interrupted]);
  if (!stop) return 0;
  log.info({ ms: Math.round(performance.now() - begin) }, "the node runs");
  await interrupted;
  log.info(values["drain-on-stop"] ? "stopping; pods end first" : "stopping; containers go on");
  await stop();
  return 0;
}

async function start(values: Values, signal: AbortSignal): Promise<() => Promise<void>> {
  const dataDir = values["data-dir"] as string;
  const settings = nodeSettings(values);
  const nodeName = values["node-name"] ?? machineName();
  const nodeIp = values["node-ip"] ?? defaultAddress();
  await installOwnPlugins(dataDir);
  const [identity, runtime] = await Promise.all([joinCluster(values, { nodeName, nodeIp, signal }), openRuntime(values, settings), tellMissing(dataDir)]);
  const client = identity.connect();
  const cluster = await readClusterConfig(client);
  const { variant } = await prepareHost({ exec: hostExec, clusterCidr: cluster.clusterCidr });
  const { mtu } = await findUplink(hostExec, nodeName, nodeIp);
  const recorder = (component: string): BackgroundEventRecorder => new BackgroundEventRecorder({ client, component, host: nodeName, clock });
  const node = createNode({ client, runtime, clock, recorder: recorder("kubelet"), nodeName, nodeIp, dataDir, version: KUBERNETES_VERSION, labels: labelsOf(values), pressure: () => kubelet.pressure(), settings, isShuttingDown: () => kubelet.shutdown.isOn });
  const informers = createInformers(client, clock);
  const kubelet = createKubelet({
    client, informers, runtime, clock, recorder: recorder("kubelet"), nodeName, nodeIp, dataDir, settings,
    cgroups: agentCgroups(dataDir, { driver: await cgroupDriver(settings, runtime), allPods: allPods(settings), podPidsLimit: settings.podPidsLimit, limitsCpu: settings.limitsCpu }),
    podLogs: configured(settings, "podLogsDir") ?? (isOrdinary(dataDir) ? "/var/log/pods" : joinPath(dataDir, "logs")),
    manifestDir: configured(settings, "staticPodPath") ?? joinPath(dataDir, "manifests"), resolvConf: configured(settings, "resolvConf") ?? "/etc/resolv.conf",
    clusterDns: dnsServers(settings, cluster.dnsIp), clusterDomain: configured(settings, "clusterDomain") ?? cluster.clusterDomain, credentialProviders: credentialProviders(values), onPressure: () => node.refresh(),
  });
  const proxy = createProxy({ informers, exec: hostExec, nodeName, nodeIp, clusterCidr: cluster.clusterCidr, clock, localClusterIps: [cluster.dnsIp], variant });
  const dns = createDns({ informers, clusterDomain: cluster.clusterDomain, dnsIp: cluster.dnsIp, exec: hostExec, clock });
  const routes = createPodRoutes({ informers, nodeName, nodeIp, exec: hostExec, clock });
  const policy = createNodePolicy({ identity, nodeName, clusterCidr: cluster.clusterCidr, variant });
  const network: Component = {
    name: "pod network",
    start: async () => {
      const podCidr = await node.podCidr(signal);
      if (podCidr) await writePodNetwork({ dataDir, runtime, podCidrs: [podCidr], mtu, variant });
      node.refresh();
      informers.start(signal);
    },
    stop: async () => {},
  };
  const server = createNodeServer({ identity, client, kubelet, runtime, nodeName, signal });
  const health = createHealthServer({ address: settings.healthz.address, port: settings.healthz.port, clock });
  void takeBackNetworks({ runtime: runtime.pods, cniConfDir: cniPaths(dataDir).cniConfDir, ipamDir: ipamDir(dataDir), exec: hostExec, clock }, signal);
  void keepSmall({ clock }, signal);
  void runLocalPaths({ client, clock, nodeName }, signal);
  void announceShutdown(kubelet, settings, signal).catch((error: unknown) => log.error({ err: error }, "shutdowns of this machine are not heard of"));
  const warn = (message: string): void => recorder("kubelet").event({ kind: "Node", name: nodeName, uid: nodeName, apiVersion: "v1" }, "Warning", "CertificateExpiring", message);
  void keepIdentity(identity, { client, warn }, signal).catch((error: unknown) => log.error({ err: error }, "certificates are no longer renewed"));
  const stop = await startAll([node, network, kubelet, server, health, proxy, dns, routes, policy], (name, ms) => log.info({ name, ms: Math.round(ms) }, "started"));
  return async () => {
    if (values["drain-on-stop"]) await kubelet.shutdown.begin();
    await stop();
    await runtime.close();
    client.close();
  };
}

/** Beside the first join, which takes longer; not every machine needs everything, so nothing missing keeps the node from trying. */
async function tellMissing(dataDir: string): Promise<void> {
  if (existsSync(identityPaths(dataDir).client)) return;
  for (const { what, fix } of await findMissing(hostExec)) log.warn({ fix }, what);
}

function dnsServers({ configuration }: Settings, clusterDns: string): readonly string[] {
  const given = configuration["clusterDNS"] as readonly string[];
  return given.length > 0 ? given : [clusterDns];
}

/** Where the node was given time for its pods to end, whoever shuts the machine down is asked to wait that long. */
async function announceShutdown({ shutdown }: Kubelet, settings: Settings, signal: AbortSignal): Promise<void> {
  const totalMs = settings.shutdown.reduce((sum, { seconds }) => sum + seconds * 1000, 0);
  if (totalMs > 0) await followLogind({ exec: hostExec, start: startProgram, clock, shutdown, totalMs }, signal);
}

function joinCluster(values: Values, node: { nodeName: string; nodeIp: string; signal: AbortSignal }): Promise<NodeIdentity> {
  const token = values["token"] ? parseJoinToken(values["token"]) : { bearer: "", authoritySha256: "" };
  return join({ server: values["join"] as string, token: token.bearer, caSha256: token.authoritySha256, dataDir: values["data-dir"] as string, clock, ...node });
}

async function openRuntime(values: Values, settings: Settings): Promise<Runtime> {
  const dataDir = values["data-dir"] as string;
  const endpoint = configured(settings, "containerRuntimeEndpoint");
  const choice = { ...(endpoint !== undefined && { endpoint }), ...runtimeChoice(values) };
  const driver = configured(settings, "cgroupDriver") === "systemd" ? "systemd" : "cgroupfs";
  const runtime = await createRuntime({ ...choice, cgroupDriver: driver, dataDir, ...cniPaths(dataDir), ...(values["registries"] && { registryConfigDir: values["registries"] }), exec: hostExec, clock, network: dockerNetwork({ ...cniPaths(dataDir), exec: hostExec }) });
  rememberRuntime(dataDir, choice);
  return runtime;
}

/** Whether this is the machine's one real node, which uses the places every Kubernetes node uses. */
export const isOrdinary = (dataDir: string): boolean => dataDir === joinPath(DEFAULT_DATA_DIR, "agent");

/** Several nodes on one machine must not tidy up each other's cgroups, so all but the ordinary one get a root of their own. */
export function agentCgroups(dataDir: string, options: Partial<CgroupFsOptions> = {}): CgroupFs {
  const root = isOrdinary(dataDir) || options.driver === "systemd" ? "" : `/minik8s-${createHash("sha256").update(dataDir).digest("hex").slice(0, 8)}`;
  return new CgroupFs({ driver: "cgroupfs", mounts: detectCgroups(), root, ...options });
}

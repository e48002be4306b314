// The kubelet: composes the parts of a node that run pods, and gives the node's server what it looks up.
// Registration, node status and the runtime itself are made elsewhere and handed in.
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Client } from "../../api/client/client.ts";
import type { Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, Pod, Service, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { logger } from "../../lib/log.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { emptyDir } from "../volumes/emptydir.ts";
import { fileVolumes } from "../volumes/filevolume.ts";
import { hostPath } from "../volumes/hostpath.ts";
import { hostMounter, type Mounter } from "../volumes/mount.ts";
import type { PayloadSources } from "../volumes/payload.ts";
import { Tokens } from "../volumes/tokens.ts";
import { createVolumes } from "../volumes/volumes.ts";
import type { Cgroups } from "./cgroups.ts";
import { parseResolvConf } from "./dns.ts";
import { fieldValue, resourceValue, type NodeFacts } from "./fields.ts";
import { Images } from "./images.ts";
import { withLastWords } from "./lastwords.ts";
import { ObjectStore } from "./objects.ts";
import { Paths } from "./paths.ts";
import { Pods } from "./pods.ts";
import { Prober } from "./probes.ts";
import type { EventSink } from "./recorder.ts";
import type { Machine } from "./resources.ts";
import { RuntimeCache } from "./runtimecache.ts";
import type { NodeServices } from "./services.ts";
import { StatusWriter } from "./statuswriter.ts";

const log = logger("kubelet");
const POD = builtinKind("", "v1", "Pod");
const SERVICE = builtinKind("", "v1", "Service");
const NODE = builtinKind("", "v1", "Node");
const RELIST_MS = 60_000;
const HOUSEKEEPING_MS = 2_000;

export interface KubeletDeps {
  readonly client: Client;
  readonly informers: Informers;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly recorder: EventSink;
  readonly cgroups: Cgroups;
  readonly nodeName: string;
  readonly nodeIp: string;
  /** Pods' directories live below it. */
  readonly dataDir: string;
  /** Where container logs are; `/var/log/pods` on a real node. */
  readonly podLogs: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly mounter?: Mounter;
  readonly machine?: Machine;
  readonly maxParallelPulls?: number;
  readonly resolvConf?: string;
}

export interface Kubelet extends Component {
  readonly pods: Pods;
  /** What the node's HTTPS server looks pods up in. */
  readonly nodePods: { list(): Pod[]; get(namespace: string, name: string): Pod | undefined };
  readonly node: NodeServices;
  readonly prober: Prober;
}

/** A kubelet that runs the pods bound to `nodeName`. Stopping it leaves every container running. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  const stop = new AbortController();
  const { informers, clock } = deps;
  const podInformer = informers.for<Pod>(POD, { fieldSelector: `spec.nodeName=${deps.nodeName}` });
  const services = informers.for<Service>(SERVICE);
  const nodes = informers.for<Node>(NODE, { fieldSelector: `metadata.name=${deps.nodeName}` });
  const objects = new ObjectStore(deps.client, clock, stop.signal);
  const tokens = new Tokens(deps.client, clock);
  const prober = new Prober({ streaming: deps.runtime.streaming, clock, recorder: deps.recorder, nodeIp: deps.nodeIp, onChange: (uid) => pods.poke(uid) });
  const node = nodeServices(deps, { prober, objects, tokens, signal: stop.signal, services: () => services.lister.list(), node: () => nodes.lister.list()[0] });
  const pods: Pods = new Pods(node, { onUpdate: (pod) => objects.use(pod), onGone: (uid) => forget(uid, objects, tokens) }, stop.signal);
  objects.onChange((uids) => {
    for (const uid of uids) {
      pods.retry(uid);
      void refresh(node, pods, uid, stop.signal);
    }
  });

  return {
    name: "kubelet",
    pods,
    nodePods: { list: () => pods.list(), get: (namespace, name) => pods.named(namespace, name) },
    node,
    prober,
    async start() {
      await Promise.all([mkdir(node.paths.pods, { recursive: true, mode: 0o750 }), mkdir(deps.podLogs, { recursive: true })]);
      await Promise.all([node.cache.relist(clock.now()), informers.waitForSync(stop.signal)]);
      podInformer.addHandler({
        add: (pod) => seen(node, pods, pod),
        update: (pod, old) => {
          seen(node, pods, pod);
          if (!Bun.deepEquals(pod.metadata.labels, old.metadata.labels) || !Bun.deepEquals(pod.metadata.annotations, old.metadata.annotations)) void refresh(node, pods, pod.metadata.uid, stop.signal);
        },
        delete: (pod) => pods.remove(pod.metadata.uid),
      });
      void node.cache.follow(clock, stop.signal);
      void prober.run(stop.signal);
      void repair(node, pods, stop.signal);
    },
    async stop() {
      stop.abort();
      await Promise.allSettled(pods.all().map((worker) => worker.finished));
    },
  };
}

function forget(uid: string, objects: ObjectStore, tokens: Tokens): void {
  objects.release(uid);
  tokens.forget(uid);
}

/** Brings the files of a running pod's volumes up to date. */
async function refresh(node: NodeServices, pods: Pods, uid: string, signal: AbortSignal): Promise<void> {
  const worker = pods.get(uid);
  if (worker?.phase === "syncing" && node.cache.get(uid)?.containers.length) await node.volumes.refresh(worker.pod, signal);
}

function seen(node: NodeServices, pods: Pods, pod: Stored<Pod>): void {
  node.writer.observed(pod);
  pods.put(pod);
}

/** Once a minute: what a lost event left wrong, and what nobody wants any more. */
async function repair(node: NodeServices, pods: Pods, signal: AbortSignal): Promise<void> {
  await node.clock.sleep(HOUSEKEEPING_MS, signal);
  while (!signal.aborted) {
    try {
      await node.cache.relist(node.clock.now());
      await pods.removeOrphans();
      for (const worker of pods.all()) await refresh(node, pods, worker.pod.metadata.uid ?? "", signal);
    } catch (error) {
      log.warn({ err: error }, "housekeeping failed");
    }
    await node.clock.sleep(RELIST_MS, signal);
  }
}

interface Sources {
  readonly objects: ObjectStore;
  readonly tokens: Tokens;
  readonly prober: Prober;
  readonly signal: AbortSignal;
  readonly services: () => readonly Service[];
  readonly node: () => Node | undefined;
}

function nodeServices(deps: KubeletDeps, sources: Sources): NodeServices {
  const { clock, runtime, recorder, nodeName, nodeIp, clusterDns, clusterDomain, cgroups } = deps;
  const paths = new Paths(deps.dataDir, deps.podLogs);
  const mounter = deps.mounter ?? hostMounter;
  const machine = deps.machine ?? { memoryBytes: totalmem(), oomFloor: oomFloor(), cgroupVersion: 1 };
  const cache = new RuntimeCache(runtime.pods, withLastWords);
  const allocatable = (): Record<string, string> => sources.node()?.status?.allocatable ?? {};
  const factsOf = (pod: Pod): NodeFacts => ({ podIps: pod.spec?.hostNetwork ? [nodeIp] : (cache.get(pod.metadata.uid ?? "")?.sandboxes[0]?.ips ?? []), nodeIp, allocatable: allocatable() });
  const files: PayloadSources = {
    configMap: (namespace, name) => sources.objects.configMap(namespace, name),
    secret: (namespace, name) => sources.objects.secret(namespace, name),
    token: (pod, options) => sources.tokens.get(pod, options),
    fieldValue: (pod, path) => fieldValue(pod, path, factsOf(pod)),
    resourceValue: (pod, container, ref) => resourceValue(pod, container, ref, factsOf(pod)),
  };
  return {
    nodeName, nodeIp, clusterDns, clusterDomain, clock, runtime, recorder, cgroups, paths, machine,
    cache,
    images: new Images({ images: runtime.images, clock, recorder, maxParallelPulls: deps.maxParallelPulls ?? 5 }),
    writer: new StatusWriter(deps.client, clock, sources.signal),
    probes: sources.prober,
    volumes: createVolumes({ mounter, podsDir: paths.pods, kinds: [emptyDir(mounter, () => machine.memoryBytes), hostPath(), ...fileVolumes(mounter, files)] }),
    objects: sources.objects,
    services: sources.services,
    allocatable,
    hostDns: () => parseResolvConf(readText(deps.resolvConf ?? "/etc/resolv.conf")),
    credentials: () => Promise.resolve([]),
    runtimeHandler: () => "",
    supportsRecursiveReadOnly: () => false,
    withLastWords,
    statusTarget: (pod) => pod,
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Without CAP_SYS_RESOURCE a process may not make another less likely to be killed than itself. */
function oomFloor(): number {
  const CAP_SYS_RESOURCE = 24n;
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status"))?.[1] ?? "0";
  if ((BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n) return -1000;
  return Number(readText(join("/proc/self", "oom_score_adj")).trim() || "0");
}

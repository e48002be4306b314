// The kubelet: composes the parts of a node that run pods, and gives the node's server what it looks up.
// Registration, node status and the runtime itself are made elsewhere and handed in.
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Client } from "../../api/client/client.ts";
import type { Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, Pod, RuntimeClass, Secret, Service, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import type { ContainerRecord, Runtime } from "../runtime/runtime.ts";
import { emptyDir } from "../volumes/emptydir.ts";
import { fileVolumes } from "../volumes/filevolume.ts";
import { hostPath } from "../volumes/hostpath.ts";
import { hostMounter, type Mounter } from "../volumes/mount.ts";
import type { PayloadSources } from "../volumes/payload.ts";
import { Tokens } from "../volumes/tokens.ts";
import { createVolumes } from "../volumes/volumes.ts";
import type { Cgroups } from "./cgroups.ts";
import { credentialsFor } from "./credentials.ts";
import { parseResolvConf } from "./dns.ts";
import { fieldValue, resourceValue, type NodeFacts } from "./fields.ts";
import { keepHouse, refreshVolumes } from "./housekeeping.ts";
import { ImageGc } from "./imagegc.ts";
import { Images } from "./images.ts";
import { withLastWords } from "./lastwords.ts";
import { rotateLogs } from "./logrotation.ts";
import { readDisk } from "./machine.ts";
import { ObjectStore } from "./objects.ts";
import { Paths } from "./paths.ts";
import { Pods } from "./pods.ts";
import { Prober } from "./probes.ts";
import type { EventSink } from "./recorder.ts";
import type { Machine } from "./resources.ts";
import { RuntimeClasses } from "./runtimeclass.ts";
import { RuntimeCache } from "./runtimecache.ts";
import type { NodeServices } from "./services.ts";
import { StatusWriter } from "./statuswriter.ts";

const POD = builtinKind("", "v1", "Pod");
const SERVICE = builtinKind("", "v1", "Service");
const NODE = builtinKind("", "v1", "Node");
const RUNTIME_CLASS = builtinKind("node.k8s.io", "v1", "RuntimeClass");

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
  const classes = new RuntimeClasses(deps.runtime, informers.for<RuntimeClass>(RUNTIME_CLASS));
  const node = nodeServices(deps, { prober, classes, objects, tokens, signal: stop.signal, services: () => services.lister.list(), node: () => nodes.lister.list()[0] });
  const pods: Pods = new Pods(node, { onUpdate: (pod) => objects.use(pod), onGone: (uid) => forget(uid, objects, tokens) }, stop.signal);
  const imageGc = new ImageGc({
    images: deps.runtime.images, clock, disk: readDisk, inUse: () => imagesInUse(node, pods),
    onFailure: (message) => deps.recorder.event({ kind: "Node", name: deps.nodeName, uid: deps.nodeName }, "Warning", "ImageGCFailed", message),
  });
  objects.onChange((uids) => {
    for (const uid of uids) {
      pods.retry(uid);
      void refreshVolumes(node, pods.get(uid), stop.signal);
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
      await Promise.all([node.cache.relist(clock.now()), classes.load(), informers.waitForSync(stop.signal)]);
      podInformer.addHandler({
        add: (pod) => seen(node, pods, pod),
        update: (pod, old) => {
          seen(node, pods, pod);
          if (!Bun.deepEquals(pod.metadata.labels, old.metadata.labels) || !Bun.deepEquals(pod.metadata.annotations, old.metadata.annotations)) void refreshVolumes(node, pods.get(pod.metadata.uid), stop.signal);
        },
        delete: (pod) => pods.remove(pod.metadata.uid),
      });
      void node.cache.follow(clock, stop.signal);
      void prober.run(stop.signal);
      void keepHouse(node, pods, stop.signal);
      void rotateLogs({ runtime: deps.runtime.pods, clock, running: () => runningContainers(node) }, stop.signal);
      void imageGc.run(stop.signal);
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

function seen(node: NodeServices, pods: Pods, pod: Stored<Pod>): void {
  node.writer.observed(pod);
  pods.put(pod);
}

interface Sources {
  readonly objects: ObjectStore;
  readonly tokens: Tokens;
  readonly prober: Prober;
  readonly classes: RuntimeClasses;
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
    credentials: async (pod, image) => credentialsFor(image, await pullSecrets(sources.objects, pod), readText(join(deps.dataDir, "config.json"))),
    runtimeHandler: (pod) => sources.classes.handlerOf(pod),
    supportsRecursiveReadOnly: (pod) => sources.classes.featuresOf(pod)?.recursiveReadOnlyMounts ?? false,
    withLastWords,
    statusTarget: (pod) => pod,
  };
}

function pullSecrets(objects: ObjectStore, pod: Pod): Promise<(Secret | undefined)[]> {
  return Promise.all((pod.spec?.imagePullSecrets ?? []).map(({ name = "" }) => objects.secret(pod.metadata.namespace ?? "", name)));
}

function runningContainers({ cache }: NodeServices): ContainerRecord[] {
  return cache.uids().flatMap((uid) => cache.get(uid)?.containers.filter((container) => container.state === "running") ?? []);
}

/** Everything by which an image may be known that a pod or a container, dead or alive, needs. */
function imagesInUse({ cache }: NodeServices, pods: Pods): Set<string> {
  const records = cache.uids().flatMap((uid) => cache.get(uid)?.containers ?? []);
  const wanted = pods.list().flatMap(({ spec }) => [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ image = "" }) => image));
  return new Set([...records.flatMap(({ image, imageId }) => [image, imageId]), ...wanted]);
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

// The kubelet: composes the parts of a node that run pods, and gives the node's server what it looks up.
// Registration, node status and the runtime itself are made elsewhere and handed in.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "../../api/client/client.ts";
import type { Informer, Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, Pod, RuntimeClass, Service, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { hostExec, type Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import type { ContainerRecord, Runtime } from "../runtime/runtime.ts";
import type { Mounter } from "../volumes/mount.ts";
import { Tokens } from "../volumes/tokens.ts";
import { refusal, type Refusal } from "./admission.ts";
import type { Cgroups } from "./cgroups.ts";
import type { CredentialProvider } from "./credentialproviders.ts";
import { countedRuntime } from "./countedruntime.ts";
import { DetailedStats } from "./details.ts";
import { Eviction } from "./eviction.ts";
import { Figures } from "./figures.ts";
import { keepHouse, refreshVolumes } from "./housekeeping.ts";
import { ImageGc } from "./imagegc.ts";
import { rotateLogs } from "./logrotation.ts";
import { hasAppArmor, readDisk } from "./machine.ts";
import { Mirrors } from "./mirrors.ts";
import type { Pressure } from "./nodestatus.ts";
import { nodeServices } from "./nodeservices.ts";
import { ObjectStore } from "./objects.ts";
import { Pods } from "./pods.ts";
import { Prober } from "./probes.ts";
import { PullRecords } from "./pullrecords.ts";
import type { EventSink } from "./recorder.ts";
import type { Machine } from "./resources.ts";
import { RuntimeClasses } from "./runtimeclass.ts";
import type { NodeServices } from "./services.ts";
import { DEFAULT_SETTINGS, type Settings } from "./settings.ts";
import { Shutdown, SHUTDOWN_REFUSAL } from "./shutdown.ts";
import { Stats } from "./stats.ts";
import { isMirror, isStatic, MIRROR, StaticPods } from "./staticpods.ts";

const log = logger("kubelet");
const POD = builtinKind("", "v1", "Pod");
const SERVICE = builtinKind("", "v1", "Service");
const NODE = builtinKind("", "v1", "Node");
const RUNTIME_CLASS = builtinKind("node.k8s.io", "v1", "RuntimeClass");
const RETRY_MS = 1_000;
/** For calls of the runtime that are under way when the agent stops. */
const LAST_CALLS_MS = 5_000;
/** What pods get when the agent is stopped for good and no other time was set. */
const DEFAULT_SHUTDOWN_SECONDS = 30;

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
  readonly exec?: Exec;
  readonly machine?: Machine;
  readonly settings?: Settings;
  /** Programs that know registry credentials, and where they are. */
  readonly credentialProviders?: { readonly providers: readonly CredentialProvider[]; readonly binDir: string } | undefined;
  readonly resolvConf?: string;
  /** Manifests of static pods; `<dataDir>/manifests` when left out. */
  readonly manifestDir?: string;
  /** Called when `pressure()` has changed. */
  readonly onPressure?: () => void;
}

export interface Kubelet extends Component {
  readonly pods: Pods;
  /** What the node's HTTPS server looks pods up in. */
  readonly nodePods: { list(): Pod[]; get(namespace: string, name: string): Pod | undefined };
  readonly node: NodeServices;
  readonly prober: Prober;
  readonly stats: Stats;
  readonly details: DetailedStats;
  /** What the node is short of, for its conditions. */
  pressure(): Pressure;
  /** Ends the pods when the machine goes down. */
  readonly shutdown: Shutdown;
}

/** A kubelet that runs the pods bound to `nodeName`. Stopping it leaves every container running. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  const figures = new Figures();
  return new NodeKubelet({ ...deps, figures, runtime: countedRuntime(deps.runtime, figures, deps.clock) });
}

/** With what is counted, which the runtime given here does of its own calls. */
export interface CountedDeps extends KubeletDeps {
  readonly figures: Figures;
}

class NodeKubelet implements Kubelet {
  readonly name = "kubelet";
  readonly node: NodeServices;
  readonly pods: Pods;
  readonly prober: Prober;
  readonly stats: Stats;
  readonly details: DetailedStats;
  readonly shutdown: Shutdown;
  readonly nodePods: Kubelet["nodePods"];
  readonly #deps: CountedDeps;
  readonly #stop = new AbortController();
  readonly #podInformer: Informer<Pod>;
  readonly #objects: ObjectStore;
  readonly #tokens: Tokens;
  readonly #classes: RuntimeClasses;
  readonly #mirrors: Mirrors;
  readonly #staticPods: StaticPods;
  readonly #imageGc: ImageGc;
  readonly #eviction: Eviction;

  constructor(deps: CountedDeps) {
    const { client, informers, clock, runtime, recorder, nodeName, settings = DEFAULT_SETTINGS } = deps;
    const { signal } = this.#stop;
    const services = informers.for<Service>(SERVICE);
    const nodes = informers.for<Node>(NODE, { fieldSelector: `metadata.name=${nodeName}` });
    const ownNode = (): Stored<Node> | undefined => nodes.lister.list()[0];
    this.#deps = deps;
    this.#podInformer = informers.for<Pod>(POD, { fieldSelector: `spec.nodeName=${nodeName}` });
    this.#objects = new ObjectStore(client, clock, signal);
    this.#tokens = new Tokens(client, clock);
    this.#classes = new RuntimeClasses(runtime, informers.for<RuntimeClass>(RUNTIME_CLASS));
    this.#mirrors = new Mirrors({ client, clock, nodeName, node: ownNode, onChange: (uid) => this.pods.poke(uid) }, signal);
    this.prober = new Prober({ streaming: runtime.streaming, clock, recorder, nodeIp: deps.nodeIp, onChange: (uid) => this.pods.poke(uid) });
    const records = new PullRecords({ directory: deps.dataDir, clock, verification: settings.verification });
    this.node = nodeServices(deps, { records, prober: this.prober, classes: this.#classes, objects: this.#objects, tokens: this.#tokens, signal, mirrorOf: (pod) => this.#mirrors.of(pod), services: () => services.lister.list(), node: ownNode });
    this.pods = new Pods(this.node, { onUpdate: (pod) => this.#objects.use(pod), onGone: (uid) => this.#forget(uid), refuse: (pod, others) => this.#refuse(pod, others, ownNode()) }, signal);
    this.nodePods = { list: () => this.pods.list(), get: (namespace, name) => this.pods.named(namespace, name) };
    this.#staticPods = new StaticPods({ directory: deps.manifestDir ?? join(deps.dataDir, "manifests"), rescanMs: settings.fileCheckMs, nodeName, clock, onPut: (pod) => this.#putStatic(pod), onRemove: (uid) => this.#removeStatic(uid) });
    this.#imageGc = new ImageGc({ images: runtime.images, clock, disk: readDisk, inUse: () => imagesInUse(this.node, this.pods), records, ...settings.imageGc, onRemoved: (reason) => this.node.figures.count("kubelet_image_garbage_collected_total", { reason }), onFailure: (message) => recorder.event({ kind: "Node", name: nodeName, uid: nodeName }, "Warning", "ImageGCFailed", message) });
    this.stats = new Stats(this.node, this.pods, clock);
    this.details = new DetailedStats({ node: this.node, pods: this.pods, clock, exec: deps.exec ?? hostExec });
    this.#eviction = new Eviction({ node: this.node, pods: this.pods, stats: this.stats, clock, exec: deps.exec ?? hostExec, freeImages: (bytes) => this.#imageGc.free(bytes), onChange: () => deps.onPressure?.() });
    this.shutdown = new Shutdown({ periods: settings.shutdown.length > 0 ? settings.shutdown : [{ priority: 0, seconds: DEFAULT_SHUTDOWN_SECONDS }], clock, workers: () => this.pods.all(), flush: (uid) => this.node.writer.flush(uid), onChange: (isOn) => this.#tellShutdown(isOn) });
    this.#objects.onChange((uids) => this.#onObjectsChanged(uids));
  }

  async start(): Promise<void> {
    const { node, pods } = this;
    const { signal } = this.#stop;
    await Promise.all([mkdir(node.paths.pods, { recursive: true, mode: 0o750 }), mkdir(this.#deps.podLogs, { recursive: true })]);
    await this.#firstList();
    // Static pods must run without an API server, so nothing here may wait for one.
    await this.#staticPods.scan();
    void this.#staticPods.run(signal);
    void node.cache.follow(node.clock, signal);
    void this.prober.run(signal);
    void rotateLogs({ runtime: node.runtime.pods, clock: node.clock, running: () => runningContainers(node), ...node.settings.logs }, signal);
    void this.#imageGc.run(signal);
    void this.#eviction.run(signal);
    void this.#followApi(pods);
  }

  pressure(): Pressure {
    return this.#eviction.pressure();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    const finished = Promise.allSettled(this.pods.all().map((worker) => worker.finished));
    const timer = new AbortController();
    // What the runtime takes longer for is left to it; the next agent finds how it ended.
    await Promise.race([finished, this.#deps.clock.sleep(LAST_CALLS_MS, timer.signal)]);
    timer.abort();
  }

  /** Adoption begins with knowing what runs; a runtime that does not answer yet is asked again. */
  async #firstList(): Promise<void> {
    const { clock, cache } = this.node;
    while (!this.#stop.signal.aborted) {
      try {
        await Promise.all([cache.relist(clock.now()), this.#classes.load()]);
        return;
      } catch (error) {
        log.warn({ err: error }, "the container runtime does not answer");
        await clock.sleep(RETRY_MS, this.#stop.signal);
      }
    }
  }

  async #followApi(pods: Pods): Promise<void> {
    const { signal } = this.#stop;
    await this.#deps.informers.waitForSync(signal);
    if (signal.aborted) return;
    this.#podInformer.addHandler({
      add: (pod) => this.#seen(pod),
      update: (pod, old) => {
        this.#seen(pod);
        if (!Bun.deepEquals(pod.metadata.labels, old.metadata.labels) || !Bun.deepEquals(pod.metadata.annotations, old.metadata.annotations)) void refreshVolumes(this.node, pods.get(pod.metadata.uid), signal);
      },
      delete: (pod) => (isMirror(pod) ? this.#mirrors.gone(pod) : pods.remove(pod.metadata.uid)),
    });
    // What is an orphan can be said only now that all wanted pods are known.
    await keepHouse(this.node, pods, signal);
  }

  #seen(pod: Stored<Pod>): void {
    this.node.writer.observed(pod.metadata.annotations?.[MIRROR] ?? pod.metadata.uid, pod);
    if (isMirror(pod)) this.#mirrors.seen(pod);
    else this.pods.put(pod);
  }

  #putStatic(pod: Pod): void {
    this.pods.put(pod);
    this.#mirrors.put(pod);
  }

  #removeStatic(uid: string): void {
    const pod = this.pods.get(uid)?.pod;
    this.pods.remove(uid);
    if (pod) this.#mirrors.remove(pod);
  }

  #onObjectsChanged(uids: readonly string[]): void {
    for (const uid of uids) {
      this.pods.retry(uid);
      void refreshVolumes(this.node, this.pods.get(uid), this.#stop.signal);
    }
  }

  #tellShutdown(isOn: boolean): void {
    const { recorder, nodeName, onPressure } = this.#deps;
    recorder.event({ kind: "Node", name: nodeName, uid: nodeName }, "Normal", "NodeShutdown", isOn ? "Shutdown manager detected shutdown event" : "Shutdown manager detected shutdown cancellation");
    onPressure?.();
  }

  #refuse(pod: Pod, others: readonly Pod[], node: Node | undefined): Refusal | undefined {
    const found = this.shutdown.isOn ? SHUTDOWN_REFUSAL : refusal({ pod, others, node, allowedSysctls: this.node.settings.allowedUnsafeSysctls, hasAppArmor: hasAppArmor(), pressure: this.#eviction.pressure(), isStatic: isStatic(pod) });
    if (found) this.node.figures.count("kubelet_admission_rejections_total", { reason: found.reason });
    return found;
  }

  #forget(uid: string): void {
    this.#objects.release(uid);
    this.#tokens.forget(uid);
  }
}

function runningContainers({ cache }: NodeServices): ContainerRecord[] {
  return cache.uids().flatMap((uid) => cache.get(uid)?.containers.filter((container) => container.state === "running") ?? []);
}

/** Everything by which an image may be known that a pod or a container, dead or alive, needs. */
function imagesInUse({ cache }: NodeServices, pods: Pods): Set<string> {
  const records = cache.uids().flatMap((uid) => cache.get(uid)?.containers ?? []);
  const wanted = pods.list().flatMap(({ spec }) => [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ image = "" }) => image));
  const mounted = pods.list().flatMap(({ spec }) => (spec?.volumes ?? []).flatMap(({ image }) => image?.reference ?? []));
  return new Set([...records.flatMap(({ image, imageId }) => [image, imageId]), ...wanted, ...mounted]);
}

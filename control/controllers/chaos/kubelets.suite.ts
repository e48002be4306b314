// Nodes and a scheduler that are only pretended: pods are bound, started, become ready, fail, end and are let go, one small move at a time.
// Which moves are made when is up to chance while the weather is bad, and to `catchUp` afterwards.
import type { Node, Pod, PodCondition, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { LEASE, NODE, PERSISTENT_VOLUME_CLAIM, POD } from "../kinds.ts";
import { isFinished, isReady, podCondition } from "../pods.ts";
import { unlessRefused, type World } from "./world.suite.ts";

export interface KubeletOptions {
  /** Pods fail, lose readiness and vanish by themselves. */
  readonly areUnreliable?: boolean;
  /** How pods end that are not told to: `run` never, `succeed` well. */
  readonly ends?: (pod: Stored<Pod>) => "run" | "succeed";
}

/** Everything that happens to pods outside the control plane. */
export class Kubelets {
  /** Nodes that have fallen silent. */
  readonly silent = new Set<string>();
  #addresses = 0;

  constructor(private readonly world: World, private readonly options: KubeletOptions = {}) {}

  /** Registers a node, alive and ready. */
  async addNode(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    const { world } = this;
    const now = timestamp(world.clock.now());
    const status = { conditions: [{ type: "Ready", status: "True", reason: "KubeletReady", message: "", lastHeartbeatTime: now, lastTransitionTime: now }] };
    const node = await unlessRefused(world.create<Node>(NODE, { metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } } }));
    if (node) await world.setStatus(NODE, node, status);
    this.silent.delete(name);
  }

  /** Every node that is not silent says so, in its lease and, where it was counted as lost, in its status. */
  async heartbeat(): Promise<void> {
    const { world } = this;
    const now = world.clock.now();
    for (const node of await world.list<Node>(NODE)) {
      const { name } = node.metadata;
      if (this.silent.has(name)) continue;
      const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: new Date(now).toISOString().replace("Z", "000Z") };
      const lease = await world.find(LEASE, name, "kube-node-lease");
      if (lease) await world.edit(LEASE, name, { spec }, "kube-node-lease");
      else await unlessRefused(world.create(LEASE, { metadata: { name, namespace: "kube-node-lease" }, spec } as never));
      const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
      if (ready?.status === "True") continue;
      const conditions = (node.status?.conditions ?? []).map((condition) => (condition.type === "Ready" ? { ...condition, status: "True", reason: "KubeletReady", lastHeartbeatTime: timestamp(now), lastTransitionTime: timestamp(now) } : { ...condition, status: "False" }));
      await world.setStatus(NODE, node, { ...node.status, conditions });
    }
  }

  /** Something small happens to some pods, or nothing. */
  async moveSome(most = 4): Promise<void> {
    const pods = await this.world.list<Pod>(POD);
    for (let moves = this.world.below(most + 1); moves > 0 && pods.length > 0; moves--) {
      const [pod] = pods.splice(this.world.below(pods.length), 1);
      if (pod) await this.#move(pod, this.options.areUnreliable === true);
    }
  }

  /** Everything every pod is due to do, until there is nothing left; true when there was something. */
  async catchUp(): Promise<boolean> {
    let hasMoved = false;
    for (const pod of await this.world.list<Pod>(POD)) hasMoved = (await this.#move(pod, false)) || hasMoved;
    return hasMoved;
  }

  async #move(pod: Stored<Pod>, canGoWrong: boolean): Promise<boolean> {
    const { world } = this;
    const { nodeName } = pod.spec ?? {};
    if (nodeName && this.silent.has(nodeName)) return false;
    if (pod.metadata.deletionTimestamp) return this.#end(pod);
    if (!nodeName) return this.#bind(pod);
    if (isFinished(pod)) return false;
    if (canGoWrong && world.chance(0.15)) return this.#spoil(pod);
    if (pod.status?.phase !== "Running") return this.#report(pod, "Running", false);
    if (!isReady(pod)) return this.#report(pod, "Running", true);
    return this.options.ends?.(pod) === "succeed" ? this.#report(pod, "Succeeded", false) : false;
  }

  /** A pod being deleted ends, sometimes telling how, and is gone. */
  async #end(pod: Stored<Pod>): Promise<boolean> {
    if (pod.spec?.nodeName && !isFinished(pod) && (pod.metadata.finalizers?.length || this.world.chance(0.5))) return this.#report(pod, "Failed", false);
    // What somebody else's finalizer holds goes when that does.
    if (pod.metadata.finalizers?.length && (pod.metadata.deletionGracePeriodSeconds ?? 0) === 0) return false;
    await this.world.remove(POD, pod, { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } });
    return true;
  }

  async #bind(pod: Stored<Pod>): Promise<boolean> {
    const nodes = (await this.world.list<Node>(NODE)).filter((node) => fits(pod, node) && !this.silent.has(node.metadata.name));
    if (nodes.length === 0 || pod.spec?.schedulingGates?.length || !(await this.#hasClaims(pod))) return false;
    const { name, namespace } = pod.metadata;
    await unlessRefused(this.world.api.post(POD, { name, namespace }, "binding", { apiVersion: "v1", kind: "Binding", metadata: { name, namespace }, target: { kind: "Node", name: this.world.pick(nodes).metadata.name } }));
    return true;
  }

  /** A pod is not placed before what it mounts is there. */
  async #hasClaims(pod: Stored<Pod>): Promise<boolean> {
    for (const { persistentVolumeClaim } of pod.spec?.volumes ?? []) {
      if (!persistentVolumeClaim) continue;
      const claim = await this.world.find(PERSISTENT_VOLUME_CLAIM, persistentVolumeClaim.claimName, pod.metadata.namespace);
      if (!claim || claim.metadata.deletionTimestamp) return false;
    }
    return true;
  }

  async #spoil(pod: Stored<Pod>): Promise<boolean> {
    const { world } = this;
    const how = world.pick(["fail", "evict", "vanish", "unready", "unready"] as const);
    world.tell(`pod ${pod.metadata.name}: ${how}`);
    if (how === "vanish") await world.remove(POD, pod, { gracePeriodSeconds: 0 });
    else if (how === "unready") return this.#report(pod, "Running", false);
    else return this.#report(pod, "Failed", false, how === "evict" ? "Evicted" : undefined);
    return true;
  }

  // Whose status, and the parts of it that vary.
  // oxlint-disable-next-line max-params
  async #report(pod: Stored<Pod>, phase: string, ready: boolean, reason?: string): Promise<boolean> {
    const { world } = this;
    const now = timestamp(world.clock.now());
    const status = ready ? "True" : "False";
    const conditions = ["Ready", "ContainersReady"].map((type): PodCondition => {
      const old = podCondition(pod, type);
      return { type, status, lastTransitionTime: old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : now };
    });
    const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "Ready" && type !== "ContainersReady");
    const podIP = pod.status?.podIP ?? `10.244.${(++this.#addresses >> 8) & 255}.${this.#addresses & 255}`;
    const isOver = phase === "Failed" || phase === "Succeeded";
    const state = isOver ? { terminated: { exitCode: phase === "Failed" ? 1 : 0, reason: phase === "Failed" ? "Error" : "Completed", startedAt: now, finishedAt: now } } : { running: { startedAt: now } };
    const containerStatuses = (pod.spec?.containers ?? []).map(({ name, image = "" }) => ({ name, image, imageID: "", ready, restartCount: 0, state, ...(isOver ? {} : { started: true }) }));
    await world.setStatus(POD, pod, { startTime: now, ...pod.status, phase, ...(reason && { reason }), podIP, podIPs: [{ ip: podIP }], conditions: [...others, ...conditions], containerStatuses });
    return true;
  }
}

/** Whether a pod may run there, as far as these tests' pods ask for anything. */
function fits(pod: Pod, node: Stored<Node>): boolean {
  const selector = pod.spec?.nodeSelector ?? {};
  const fields = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms?.flatMap(({ matchFields }) => matchFields ?? []) ?? [];
  return Object.entries(selector).every(([key, value]) => node.metadata.labels?.[key] === value)
    && fields.every(({ values }) => values?.includes(node.metadata.name));
}

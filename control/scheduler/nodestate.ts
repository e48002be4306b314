// One node as the scheduler sees it: what it offers and what the pods on it take, kept in step pod by pod.
// Every change gives it a new version, so that answers about it can be remembered until then.
import type { Node, Stored, Taint } from "../../api/types.ts";
import type { HostPort, PodInfo } from "./podinfo.ts";
import { amountsOf, resourcesOf, type Resources } from "./requests.ts";

const NONE: Resources = { milliCpu: 0, memory: 0, ephemeralStorage: 0, scalar: undefined };
let lastVersion = 0;

/** A node and its pods. `index` is its place in per-node arrays for as long as it exists. */
export class NodeState {
  /** undefined while pods are known to be on a node that is not (yet, or any more). */
  node: Stored<Node> | undefined;
  version = ++lastVersion;
  labels: Readonly<Record<string, string>> = {};
  isUnschedulable = false;
  /** NoSchedule and NoExecute. */
  hardTaints: readonly Taint[] = [];
  /** PreferNoSchedule. */
  softTaints: readonly Taint[] = [];
  allocatable: Resources = NONE;
  allowedPods = 0;
  milliCpu = 0;
  memory = 0;
  ephemeralStorage = 0;
  nonZeroMilliCpu = 0;
  nonZeroMemory = 0;
  readonly scalar = new Map<string, number>();
  readonly ports = new Map<string, number>();
  readonly pods = new Map<string, PodInfo>();
  /** Normalised image names on this node. */
  images: ReadonlyMap<string, number> = new Map();
  declaredFeatures: readonly string[] = [];

  constructor(readonly name: string, readonly index: number) {}

  /** Takes over what the Node object says. */
  setNode(node: Stored<Node>): void {
    const taints = node.spec?.taints ?? [];
    this.node = node;
    this.labels = node.metadata.labels ?? {};
    this.isUnschedulable = node.spec?.unschedulable ?? false;
    this.hardTaints = taints.filter((t) => t.effect === "NoSchedule" || t.effect === "NoExecute");
    this.softTaints = taints.filter((t) => t.effect === "PreferNoSchedule");
    const allocatable = amountsOf(node.status?.allocatable);
    this.allocatable = resourcesOf(allocatable);
    this.allowedPods = allocatable.get("pods") ?? 0;
    this.images = imagesOf(node);
    this.declaredFeatures = node.status?.declaredFeatures ?? [];
    this.touch();
  }

  add(pod: PodInfo): void {
    this.pods.set(pod.uid, pod);
    this.#count(pod, 1);
  }

  remove(pod: PodInfo): void {
    if (this.pods.delete(pod.uid)) this.#count(pod, -1);
  }

  /** Makes answers remembered about this node invalid. */
  touch(): void {
    this.version = ++lastVersion;
  }

  /** A private copy, to try what-ifs on. */
  clone(): NodeState {
    const copy = new NodeState(this.name, this.index);
    const { node, labels, isUnschedulable, hardTaints, softTaints, allocatable, allowedPods, images, declaredFeatures } = this;
    Object.assign(copy, { node, labels, isUnschedulable, hardTaints, softTaints, allocatable, allowedPods, images, declaredFeatures });
    for (const pod of this.pods.values()) copy.add(pod);
    return copy;
  }

  /** True when one of the ports is taken, on its own address or on all of them. */
  hasPortConflict(ports: readonly HostPort[]): boolean {
    for (const { ip, protocol, port } of ports) {
      if (ip === "0.0.0.0" ? this.ports.has(`*/${protocol}/${port}`) : this.ports.has(`${ip}/${protocol}/${port}`) || this.ports.has(`0.0.0.0/${protocol}/${port}`)) return true;
    }
    return false;
  }

  #count({ shape }: PodInfo, sign: 1 | -1): void {
    const { requests } = shape;
    this.milliCpu += sign * requests.milliCpu;
    this.memory += sign * requests.memory;
    this.ephemeralStorage += sign * requests.ephemeralStorage;
    this.nonZeroMilliCpu += sign * shape.nonZeroMilliCpu;
    this.nonZeroMemory += sign * shape.nonZeroMemory;
    for (const [name, amount] of requests.scalar ?? []) this.scalar.set(name, (this.scalar.get(name) ?? 0) + sign * amount);
    for (const { ip, protocol, port } of shape.ports) {
      bump(this.ports, `${ip}/${protocol}/${port}`, sign);
      bump(this.ports, `*/${protocol}/${port}`, sign);
    }
    this.touch();
  }
}

function bump(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

function imagesOf(node: Stored<Node>): Map<string, number> {
  const images = new Map<string, number>();
  for (const image of node.status?.images ?? []) for (const name of image.names ?? []) images.set(name, image.sizeBytes ?? 0);
  return images;
}

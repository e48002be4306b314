// The scheduler's picture of the cluster: nodes with their pods, assumed ones included, and the indexes decisions read.
// Changed only by watch events and by the scheduler's own assumptions; a decision reads it without a copy.
import type { Labels } from "../../api/selectors.ts";
import type { Namespace, Node, Stored } from "../../api/types.ts";
import { PlacedTerms, PodCounters } from "./counts.ts";
import { NodeState } from "./nodestate.ts";
import { isAlike, termMatches, type AffinityTerm, type PodInfo } from "./podinfo.ts";
import { Topologies } from "./topology.ts";

/** A pod that has a node, in the cluster's records or in the scheduler's assumption only. */
interface PlacedPod {
  readonly info: PodInfo;
  readonly node: NodeState;
  readonly isAssumed: boolean;
}

/** Nodes, the pods on them and what is indexed about both. */
export class Cluster {
  readonly #nodes = new Map<string, NodeState>();
  readonly #placed = new Map<string, PlacedPod>();
  readonly #namespaces = new Map<string, Labels>();
  readonly #byIndex: (NodeState | undefined)[] = [];
  readonly #freeIndexes: number[] = [];
  #nextIndex = 0;
  #order: readonly NodeState[] | undefined;
  readonly topologies = new Topologies(() => this.#nodes.values());
  readonly counters = new PodCounters(() => this.#nodes.values());
  readonly placedAntiAffinity = new PlacedTerms();
  readonly placedAffinity = new PlacedTerms();
  readonly placedPreferences = new PlacedTerms();
  /** How many placed pods use a claim. */
  readonly claimUsers = new Map<string, number>();
  /** How many nodes hold an image, by normalised name. */
  readonly imageNodes = new Map<string, number>();
  /** Changes whenever the number of nodes or the spread of an image does. */
  imagesVersion = 0;
  /** Nodes with a PreferNoSchedule taint. */
  softTaintedNodes = 0;

  /** Nodes that exist, zones taking turns, so that looking at a part of them looks at every zone. */
  get nodes(): readonly NodeState[] {
    return (this.#order ??= interleaveZones([...this.#nodes.values()].filter((n) => n.node)));
  }

  node(name: string): NodeState | undefined {
    const state = this.#nodes.get(name);
    return state?.node ? state : undefined;
  }

  nodeAt(index: number): NodeState | undefined {
    return this.#byIndex[index];
  }

  setNode(node: Stored<Node>): NodeState {
    const state = this.#stateOf(node.metadata.name);
    if (state.node && isSameNode(state.node, node)) {
      state.node = node;
      return state;
    }
    const zone = state.node && zoneOf(state);
    this.#countNode(state, -1);
    state.setNode(node);
    this.#countNode(state, 1);
    this.topologies.place(state);
    if (zone !== zoneOf(state)) this.#order = undefined;
    return state;
  }

  removeNode(name: string): void {
    const state = this.#nodes.get(name);
    if (!state?.node) return;
    this.#countNode(state, -1);
    state.node = undefined;
    state.touch();
    this.topologies.remove(state);
    this.#order = undefined;
    this.#dropIfEmpty(state);
  }

  /** How much is known here, as upstream's `scheduler_cache_size` counts it. */
  get sizes(): { nodes: number; pods: number; assumed_pods: number } {
    const assumed = [...this.#placed.values()].filter(({ isAssumed }) => isAssumed).length;
    return { nodes: this.nodes.length, pods: this.#placed.size, assumed_pods: assumed };
  }

  /** Makes answers remembered about any node invalid. */
  touchNodes(): void {
    for (const node of this.#nodes.values()) node.touch();
  }

  /** Where a pod is, or is assumed to be. */
  placement(uid: string): PlacedPod | undefined {
    return this.#placed.get(uid);
  }

  /** Records a pod on a node, replacing what was known of it. */
  place(info: PodInfo, nodeName: string, isAssumed = false): void {
    const before = this.#placed.get(info.uid);
    if (before && !isAssumed && before.node.name === nodeName && isAlike(before.info, info)) {
      before.info.pod = info.pod;
      this.#placed.set(info.uid, { ...before, isAssumed });
      return;
    }
    if (before) this.remove(info.uid);
    const node = this.#stateOf(nodeName);
    this.#placed.set(info.uid, { info, node, isAssumed });
    node.add(info);
    this.#count(info, node, 1);
  }

  /** Forgets a pod; returns what was known, undefined when nothing was. */
  remove(uid: string): PlacedPod | undefined {
    const placed = this.#placed.get(uid);
    if (!placed) return undefined;
    this.#placed.delete(uid);
    placed.node.remove(placed.info);
    this.#count(placed.info, placed.node, -1);
    this.#dropIfEmpty(placed.node);
    return placed;
  }

  setNamespace(namespace: Stored<Namespace>): void {
    this.#namespaces.set(namespace.metadata.name, namespace.metadata.labels ?? {});
  }

  removeNamespace(name: string): void {
    this.#namespaces.delete(name);
  }

  namespaceLabels(name: string): Labels | undefined {
    return this.#namespaces.get(name);
  }

  /** The namespaces a term of a pod to be placed selects in; undefined for all of them. */
  namespacesOf(term: AffinityTerm): readonly string[] | undefined {
    const { namespaceSelector } = term;
    if (!namespaceSelector) return term.namespaces;
    if (namespaceSelector.isEmpty) return undefined;
    const selected = [...this.#namespaces].filter(([, labels]) => namespaceSelector.matches(labels)).map(([name]) => name);
    return [...new Set([...selected, ...term.namespaces])].sort();
  }

  /** True when a term of a placed pod selects this pod. */
  termSelects(term: AffinityTerm, pod: PodInfo): boolean {
    return termMatches(term, pod.identity, term.namespaceSelector ? this.namespaceLabels(pod.identity.namespace) : undefined);
  }

  #stateOf(name: string): NodeState {
    let state = this.#nodes.get(name);
    if (!state) {
      state = new NodeState(name, this.#freeIndexes.pop() ?? this.#nextIndex++);
      this.#nodes.set(name, state);
      this.#byIndex[state.index] = state;
      this.topologies.place(state);
    }
    return state;
  }

  #dropIfEmpty(state: NodeState): void {
    if (state.node || state.pods.size > 0) return;
    this.#nodes.delete(state.name);
    this.#byIndex[state.index] = undefined;
    this.#freeIndexes.push(state.index);
  }

  #count(info: PodInfo, node: NodeState, by: 1 | -1): void {
    this.counters.change(info, node, by);
    const { terms, claims } = info;
    for (const { key } of claims) {
      const users = (this.claimUsers.get(key) ?? 0) + by;
      if (users > 0) this.claimUsers.set(key, users);
      else this.claimUsers.delete(key);
    }
    if (!terms) return;
    this.placedAntiAffinity.change(terms.requiredAntiAffinity, node, by);
    this.placedAffinity.change(terms.requiredAffinity, node, by);
    this.placedPreferences.change(terms.preferred, node, by);
  }

  #countNode(state: NodeState, by: 1 | -1): void {
    if (!state.node) return;
    if (state.softTaints.length > 0) this.softTaintedNodes += by;
    for (const image of state.images.keys()) {
      const count = (this.imageNodes.get(image) ?? 0) + by;
      if (count > 0) this.imageNodes.set(image, count);
      else this.imageNodes.delete(image);
    }
    this.imagesVersion++;
  }
}

/** A heartbeat changes a node all the time without changing anything decisions look at. */
function isSameNode(a: Node, b: Node): boolean {
  return a.metadata.uid === b.metadata.uid && isSame(a.metadata.labels, b.metadata.labels) && isSame(a.spec, b.spec)
    && isSame(a.status?.allocatable, b.status?.allocatable) && isSame(a.status?.images, b.status?.images)
    && isSame(a.status?.declaredFeatures, b.status?.declaredFeatures);
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function zoneOf({ labels }: NodeState): string {
  const region = labels["topology.kubernetes.io/region"] ?? labels["failure-domain.beta.kubernetes.io/region"] ?? "";
  const zone = labels["topology.kubernetes.io/zone"] ?? labels["failure-domain.beta.kubernetes.io/zone"] ?? "";
  return `${region}:${zone}`;
}

function interleaveZones(nodes: readonly NodeState[]): NodeState[] {
  const zones = new Map<string, NodeState[]>();
  for (const node of nodes) {
    const zone = zones.get(zoneOf(node));
    if (zone) zone.push(node);
    else zones.set(zoneOf(node), [node]);
  }
  const order: NodeState[] = [];
  const lists = [...zones.values()];
  for (let turn = 0; order.length < nodes.length; turn++) {
    for (const list of lists) if (turn < list.length) order.push(list[turn] as NodeState);
  }
  return order;
}

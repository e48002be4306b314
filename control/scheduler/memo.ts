// What is known about one shape of pod on every node: whether it fits and how it scores, until the node changes.
// Pods of one template are judged on the few nodes that changed since the last of them, not on all.
import type { Cluster } from "./cluster.ts";
import type { Evaluation } from "./evaluations.ts";
import { normalizeByHighest, type EnabledPlugin, type NodeScore, type Status } from "./framework.ts";
import type { NodeState } from "./nodestate.ts";
import type { PodInfo, Shape } from "./podinfo.ts";

interface WeightedScore {
  readonly asked: Evaluation;
  readonly weight: number;
  readonly score: NodeScore;
}

/** The single-node plugins of a profile, sorted by how their answers are used. */
export interface NodePlugins {
  readonly filters: readonly { readonly plugin: EnabledPlugin["plugin"]; readonly asked: Evaluation }[];
  /** Scores that count as they are. */
  readonly absolute: readonly WeightedScore[];
  /** Scores that are scaled by the best node's. */
  readonly relative: readonly WeightedScore[];
}

/** Answers for one shape by node index, valid while the node's version is the one seen. */
class ShapeMemo {
  readonly filterSeen: number[] = [];
  readonly status: (Status | undefined)[] = [];
  readonly scoreSeen: number[] = [];
  readonly absolute: number[] = [];
  readonly relative: number[][] = [];
  imagesVersion = -1;
}

const MAX_MEMOS = 256;
const NO_IMAGES = -2;

/** Judges nodes for pods with the plugins that look at one node only. */
export class NodeJudge {
  readonly #memos = new Map<Shape, ShapeMemo>();

  constructor(private readonly cluster: Cluster, private readonly plugins: NodePlugins) {}

  /** Why the pod does not fit the node, undefined when it does. */
  status(pod: PodInfo, node: NodeState): Status | undefined {
    const memo = this.#memo(pod.shape);
    if (memo.filterSeen[node.index] === node.version) return memo.status[node.index];
    const status = this.judge(pod, node);
    memo.filterSeen[node.index] = node.version;
    memo.status[node.index] = status;
    return status;
  }

  /** As `status`, without remembering: for what-ifs. */
  judge(pod: PodInfo, node: NodeState): Status | undefined {
    for (const { plugin, asked } of this.plugins.filters) {
      asked.count++;
      const status = plugin.filterNode?.(pod, node);
      if (status) return status;
    }
    return undefined;
  }

  /** Weighted scores of nodes the pod fits, in the same order. */
  scores(pod: PodInfo, nodes: readonly NodeState[]): number[] {
    const memo = this.#memo(pod.shape);
    const imagesVersion = this.#imagesVersion(pod.shape);
    if (memo.imagesVersion !== imagesVersion) {
      memo.imagesVersion = imagesVersion;
      memo.scoreSeen.length = 0;
    }
    const absolute = this.plugins.absolute.filter((p) => p.score.applies(pod, this.cluster));
    const relative = this.plugins.relative.map((p) => p.score.applies(pod, this.cluster));
    const totals: number[] = [];
    for (const node of nodes) {
      if (memo.scoreSeen[node.index] !== node.version) this.#score({ pod, node, memo, absolute });
      totals.push(memo.absolute[node.index] as number);
    }
    this.plugins.relative.forEach(({ weight, score }, i) => {
      if (relative[i]) addRelative({ totals, nodes, raw: memo.relative[i] as number[], weight, isReverse: score.normalize === "reverse" });
    });
    return totals;
  }

  #score({ pod, node, memo, absolute }: { pod: PodInfo; node: NodeState; memo: ShapeMemo; absolute: readonly WeightedScore[] }): void {
    let total = 0;
    for (const { weight, score, asked } of absolute) {
      asked.count++;
      total += weight * score.score(pod, node, this.cluster);
    }
    memo.absolute[node.index] = total;
    this.plugins.relative.forEach(({ score, asked }, i) => {
      asked.count++;
      (memo.relative[i] ??= [])[node.index] = score.score(pod, node, this.cluster);
    });
    memo.scoreSeen[node.index] = node.version;
  }

  /** Where images are matters to pods only that want one somebody has. */
  #imagesVersion({ images }: Shape): number {
    return images.some((image) => this.cluster.imageNodes.has(image)) ? this.cluster.imagesVersion : NO_IMAGES;
  }

  /** The memo of a shape, kept in order of use. */
  #memo(shape: Shape): ShapeMemo {
    let memo = this.#memos.get(shape);
    if (memo && this.#last === shape) return memo;
    if (memo) this.#memos.delete(shape);
    else memo = new ShapeMemo();
    this.#memos.set(shape, memo);
    this.#last = shape;
    if (this.#memos.size > MAX_MEMOS) this.#memos.delete(this.#memos.keys().next().value as Shape);
    return memo;
  }

  #last: Shape | undefined;
}

function addRelative(o: { totals: number[]; nodes: readonly NodeState[]; raw: readonly number[]; weight: number; isReverse: boolean }): void {
  const scores = o.nodes.map((node) => o.raw[node.index] as number);
  normalizeByHighest(scores, o.isReverse);
  for (let i = 0; i < scores.length; i++) o.totals[i] = (o.totals[i] as number) + o.weight * (scores[i] as number);
}

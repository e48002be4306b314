// ImageLocality: prefers nodes that already hold the pod's images, big ones counting more.
// An image counts less where few nodes hold it, so that not all pods rush to one node.
import type { Cluster } from "../cluster.ts";
import { MAX_NODE_SCORE, type Plugin } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";

const MIB = 1024 * 1024;
const MIN_BYTES = 23 * MIB;
const MAX_BYTES_PER_CONTAINER = 1000 * MIB;

export const imageLocality: Plugin = {
  name: "ImageLocality",
  nodeScore: {
    applies: ({ shape }, cluster) => shape.images.some((image) => cluster.imageNodes.has(image)),
    score: imageScore,
  },
};

function imageScore({ shape }: PodInfo, node: NodeState, cluster: Cluster): number {
  let bytes = 0;
  for (const image of shape.images) {
    const size = node.images.get(image);
    if (size !== undefined) bytes += Math.trunc((size * (cluster.imageNodes.get(image) ?? 0)) / cluster.nodes.length);
  }
  const most = MAX_BYTES_PER_CONTAINER * shape.containerCount;
  const counted = Math.min(Math.max(bytes, MIN_BYTES), most);
  return Math.trunc((MAX_NODE_SCORE * (counted - MIN_BYTES)) / (most - MIN_BYTES));
}

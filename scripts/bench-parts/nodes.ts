// Nodes that exist in the API only: large, Ready, in three zones, and free of the taint every new node starts with.
import { builtinKind } from "../../api/registry.ts";
import type { Node } from "../../api/types.ts";
import type { Control } from "./control.ts";
import { createMany } from "./rates.ts";

const NODES = builtinKind("", "v1", "Node");
const AMOUNTS = { cpu: "32", memory: "256Gi", pods: "110", "ephemeral-storage": "100Gi" };

/** `bench-node-0` and on; resolves when pods can be put on all of them. */
export async function createNodes(control: Control, count: number): Promise<void> {
  await createMany(count, (index) => createNode(control, index));
  // A new node carries the not-ready taint until the node lifecycle controller has seen it Ready.
  for (;;) {
    const { items } = await control.client.list<Node>(NODES);
    if (items.filter((node) => !node.spec?.taints?.length).length >= count) return;
    await Bun.sleep(100);
  }
}

export function nodeName(index: number): string {
  return `bench-node-${index}`;
}

async function createNode(control: Control, index: number): Promise<void> {
  const name = nodeName(index);
  const now = new Date().toISOString().replace(/\.\d+/, "");
  const ready = { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status", lastHeartbeatTime: now, lastTransitionTime: now };
  await control.client.create<Node>(NODES, { metadata: { name, labels: { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": `zone-${index % 3}` } }, spec: {} });
  await control.client.patch<Node>(NODES, { name }, { status: { capacity: AMOUNTS, allocatable: AMOUNTS, conditions: [ready] } }, { type: "merge", subresource: "status" });
}

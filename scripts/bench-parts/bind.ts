// Pods created through the API and bound by the scheduler on a thousand simulated nodes.
import { builtinKind } from "../../api/registry.ts";
import type { Node, Pod } from "../../api/types.ts";
import type { Control } from "./control.ts";
import { aPod, createMany, h2load, namespaceFor, type Rate } from "./rates.ts";

const NODES = builtinKind("", "v1", "Node");
const PODS = builtinKind("", "v1", "Pod");
const NODE_COUNT = 1000;
const POD_COUNT = 5000;

/** Pods, from the first create to the last binding seen by a watcher. */
export async function bindPods(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "bind-pods");
  await createMany(NODE_COUNT, (index) => createNode(control, index));
  const aborter = new AbortController();
  const bound = countBound(control, namespace, aborter.signal);
  const [begin, before] = [performance.now(), control.cpuMicros()];
  const { schedulerName: _, ...spec } = aPod(namespace).spec!;
  await h2load(control, { path: `/api/v1/namespaces/${namespace}/pods`, requests: POD_COUNT, body: { ...aPod(namespace), spec } });
  await bound;
  const seconds = (performance.now() - begin) / 1000;
  aborter.abort();
  return { perSecond: POD_COUNT / seconds, cpuMicros: (control.cpuMicros() - before) / POD_COUNT };
}

async function createNode(control: Control, index: number): Promise<void> {
  const name = `bench-node-${index}`;
  const amounts = { cpu: "32", memory: "256Gi", pods: "110", "ephemeral-storage": "100Gi" };
  await control.client.create<Node>(NODES, { metadata: { name, labels: { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": `zone-${index % 3}` } }, spec: {} });
  const now = new Date().toISOString().replace(/\.\d+/, "");
  const ready = { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status", lastHeartbeatTime: now, lastTransitionTime: now };
  await control.client.patch<Node>(NODES, { name }, { status: { capacity: amounts, allocatable: amounts, conditions: [ready] } }, { type: "merge", subresource: "status" });
  // A new node carries the not-ready taint until the node lifecycle controller has seen it Ready.
  for (;;) {
    const current = await control.client.get<Node>(NODES, { name });
    if (!current.spec?.taints?.length) return;
    await Bun.sleep(20);
  }
}

async function countBound(control: Control, namespace: string, signal: AbortSignal): Promise<void> {
  const bound = new Set<string>();
  for await (const event of control.client.watch<Pod>(PODS, { namespace, resourceVersion: "0", signal })) {
    if (event.type !== "BOOKMARK" && (event.object as Pod).spec?.nodeName) bound.add(event.object.metadata.name as string);
    if (bound.size === POD_COUNT) return;
  }
}

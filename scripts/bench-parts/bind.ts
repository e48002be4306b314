// Pods created through the API and bound by the scheduler, on nodes that exist in the API only.
import type { Pod, PodSpec } from "../../api/types.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Control } from "./control.ts";
import { createNodes } from "./nodes.ts";
import { aPod, h2load, namespaceFor, type Rate } from "./rates.ts";

const PODS = builtinKind("", "v1", "Pod");

export interface BindOptions {
  readonly nodes: number;
  readonly pods: number;
}

/** Small pods without conditions, from the first create to the last binding seen by a watcher. */
export function bindPods(control: Control, options: BindOptions): Promise<Rate> {
  return bind(control, options, {});
}

/** Pods of which no two may share a node, spread evenly over three zones. */
export function bindSpreadPods(control: Control, options: BindOptions): Promise<Rate> {
  const labelSelector = { matchLabels: { app: "bench" } };
  return bind(control, options, {
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname", labelSelector }] } },
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "DoNotSchedule", labelSelector }],
  });
}

async function bind(control: Control, { nodes, pods }: BindOptions, conditions: Partial<PodSpec>): Promise<Rate> {
  const namespace = await namespaceFor(control, "bind-pods");
  await createNodes(control, nodes);
  const aborter = new AbortController();
  const bound = untilBound(control, { namespace, pods, signal: aborter.signal });
  const [begin, before] = [performance.now(), control.cpuMicros()];
  const { schedulerName: _, ...spec } = aPod(namespace).spec!;
  await h2load(control, { path: `/api/v1/namespaces/${namespace}/pods`, requests: pods, body: { ...aPod(namespace), spec: { ...spec, ...conditions } } });
  await bound;
  const seconds = (performance.now() - begin) / 1000;
  aborter.abort();
  return { perSecond: pods / seconds, cpuMicros: (control.cpuMicros() - before) / pods };
}

async function untilBound(control: Control, { namespace, pods, signal }: { namespace: string; pods: number; signal: AbortSignal }): Promise<void> {
  const bound = new Set<string>();
  for await (const event of control.client.watch<Pod>(PODS, { namespace, resourceVersion: "0", signal })) {
    if (event.type !== "BOOKMARK" && (event.object as Pod).spec?.nodeName) bound.add(event.object.metadata.name as string);
    if (bound.size === pods) return;
  }
}

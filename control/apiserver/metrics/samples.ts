// What a node's summary says at one moment, and what two moments say about the time between. Pure.
import type { Usage } from "../../../api/metrics.ts";

/** One counter of time and one level of memory. */
export interface Figures {
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
}

/** A node at one moment. */
export interface Sample {
  readonly timeMs: number;
  readonly node: Figures | undefined;
  /** By `namespace/name`, then by container. */
  readonly pods: ReadonlyMap<string, { readonly uid: string; readonly containers: ReadonlyMap<string, Figures> }>;
}

/** What a node and its pods used between two moments. */
export interface NodeUsage {
  readonly timeMs: number;
  readonly windowMs: number;
  readonly node: Usage | undefined;
  /** By `namespace/name`. */
  readonly pods: ReadonlyMap<string, { readonly uid: string; readonly containers: readonly { readonly name: string; readonly usage: Usage }[] }>;
}

interface Measured {
  readonly cpu?: { readonly usageCoreNanoSeconds?: number };
  readonly memory?: { readonly workingSetBytes?: number };
}

/** The part of `k8s.io/kubelet/pkg/apis/stats/v1alpha1.Summary` that matters here. */
export interface Summary {
  readonly node?: Measured;
  readonly pods?: readonly { readonly podRef: { readonly name: string; readonly namespace: string; readonly uid: string }; readonly containers?: readonly (Measured & { readonly name: string })[] }[];
}

/** Reads a summary that was taken at `timeMs`. */
export function sampleOf({ node, pods = [] }: Summary, timeMs: number): Sample {
  return {
    timeMs, node: figuresOf(node),
    pods: new Map(pods.map(({ podRef, containers = [] }) => [`${podRef.namespace}/${podRef.name}`, {
      uid: podRef.uid,
      containers: new Map(containers.flatMap((container) => {
        const figures = figuresOf(container);
        return figures ? [[container.name, figures] as const] : [];
      })),
    }])),
  };
}

/** Averages over the time from one sample to a later one; a pod that was not there the first time has none yet. */
export function usageBetween(before: Sample, after: Sample): NodeUsage {
  const windowMs = after.timeMs - before.timeMs;
  const pods = new Map<string, { uid: string; containers: { name: string; usage: Usage }[] }>();
  for (const [key, { uid, containers }] of after.pods) {
    const earlier = before.pods.get(key);
    if (earlier?.uid !== uid) continue;
    const used = [...containers].flatMap(([name, figures]) => {
      const then = earlier.containers.get(name);
      return then ? [{ name, usage: usage(then, figures, windowMs) }] : [];
    });
    if (used.length === containers.size && used.length > 0) pods.set(key, { uid, containers: used });
  }
  return { timeMs: after.timeMs, windowMs, node: before.node && after.node && usage(before.node, after.node, windowMs), pods };
}

function usage(before: Figures, after: Figures, windowMs: number): Usage {
  // A counter that went back belongs to a container that was started again meanwhile.
  const spent = after.cpuNanoseconds >= before.cpuNanoseconds ? after.cpuNanoseconds - before.cpuNanoseconds : after.cpuNanoseconds;
  return { cpu: `${Math.round((spent * 1000) / windowMs)}n`, memory: `${Math.floor(after.memoryBytes / 1024)}Ki` };
}

function figuresOf(measured: Measured | undefined): Figures | undefined {
  const cpuNanoseconds = measured?.cpu?.usageCoreNanoSeconds;
  const memoryBytes = measured?.memory?.workingSetBytes;
  return cpuNanoseconds === undefined || memoryBytes === undefined ? undefined : { cpuNanoseconds, memoryBytes };
}

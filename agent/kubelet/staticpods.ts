// Pods from a directory of manifests: read at start, when the directory changes, and every twenty seconds.
// They are given what the API server would have given them; `mirrors.ts` shows them in the API.
import { createHash } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import type { Container, Pod, Probe } from "../../api/types.ts";
import { logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/clock.ts";

const log = logger("static-pods");
const RESCAN_MS = 20_000;
export const SOURCE = "kubernetes.io/config.source";
export const HASH = "kubernetes.io/config.hash";
export const MIRROR = "kubernetes.io/config.mirror";
const SEEN = "kubernetes.io/config.seen";

/** A pod from a manifest rather than from the API. */
export const isStatic = (pod: Pod): boolean => pod.metadata.annotations?.[SOURCE] === "file";
/** What the API shows of a static pod. */
export const isMirror = (pod: Pod): boolean => pod.metadata.annotations?.[MIRROR] !== undefined;

export interface StaticPodsOptions {
  readonly directory: string;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly onPut: (pod: Pod) => void;
  readonly onRemove: (uid: string) => void;
  readonly rescanMs?: number;
}

export class StaticPods {
  /** By file. */
  readonly #pods = new Map<string, Pod>();

  constructor(readonly options: StaticPodsOptions) {}

  /** Reads the directory once; what was removed or changed is told. A file that cannot be read keeps its last pod. */
  async scan(): Promise<void> {
    const { directory, onPut, onRemove } = this.options;
    const names = (await readdir(directory).catch(() => [])).filter((name) => !name.startsWith("."));
    for (const [file, pod] of this.#pods) {
      if (names.includes(file)) continue;
      this.#pods.delete(file);
      onRemove(pod.metadata.uid ?? "");
    }
    for (const name of names) {
      const pod = await this.#read(name);
      const known = this.#pods.get(name);
      if (!pod || known?.metadata.uid === pod.metadata.uid) continue;
      if (known) onRemove(known.metadata.uid ?? "");
      this.#pods.set(name, pod);
      onPut(pod);
    }
  }

  /** Watches the directory until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { directory, clock } = this.options;
    await mkdir(directory, { recursive: true });
    let wake: (() => void) | undefined;
    const watcher = watched(directory, () => wake?.());
    while (!signal.aborted) {
      await this.scan().catch((error: unknown) => log.warn({ err: error }, "reading the manifest directory failed"));
      const timer = new AbortController();
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const stop = (): void => timer.abort();
      signal.addEventListener("abort", stop, { once: true });
      await Promise.race([changed, clock.sleep(this.options.rescanMs ?? RESCAN_MS, timer.signal)]);
      signal.removeEventListener("abort", stop);
      timer.abort();
    }
    watcher?.close();
  }

  async #read(name: string): Promise<Pod | undefined> {
    const path = join(this.options.directory, name);
    try {
      if (!(await stat(path)).isFile()) return undefined;
      const text = await readFile(path, "utf8");
      return staticPod(text, { path, nodeName: this.options.nodeName, now: this.options.clock.now() });
    } catch (error) {
      log.warn({ err: error, path }, "a manifest cannot be used");
      return undefined;
    }
  }
}

/** Without a watcher, as when the machine has no more of them to give, the directory is still read now and then. */
function watched(directory: string, onChange: () => void): FSWatcher | undefined {
  const warn = (error: unknown): void => log.warn({ err: error, directory }, "the manifest directory cannot be watched; it is read now and then");
  try {
    return watch(directory, { persistent: false }, onChange).on("error", warn);
  } catch (error) {
    warn(error);
    return undefined;
  }
}

/** The pod a manifest describes, named and filled in for this node; throws when it describes none. */
export function staticPod(text: string, { path, nodeName, now }: { path: string; nodeName: string; now: number }): Pod {
  const parsed = parse(text) as Partial<Pod> | null;
  if (parsed?.kind !== "Pod" || !parsed.metadata?.name || !parsed.spec) throw new Error(`${path} does not hold a Pod`);
  const uid = createHash("md5").update(JSON.stringify(parsed)).update(`host:${nodeName}`).update(`file:${path}`).digest("hex");
  return {
    apiVersion: "v1", kind: "Pod",
    metadata: {
      ...parsed.metadata,
      name: `${parsed.metadata.name}-${nodeName.toLowerCase()}`,
      namespace: parsed.metadata.namespace ?? "default",
      uid,
      annotations: { ...parsed.metadata.annotations, [HASH]: uid, [SEEN]: new Date(now).toISOString(), [SOURCE]: "file" },
    },
    spec: {
      restartPolicy: "Always", terminationGracePeriodSeconds: 30, dnsPolicy: "ClusterFirst", enableServiceLinks: true, schedulerName: "default-scheduler", securityContext: {},
      ...parsed.spec,
      nodeName,
      containers: parsed.spec.containers.map(withDefaults),
      ...(parsed.spec.initContainers && { initContainers: parsed.spec.initContainers.map(withDefaults) }),
      tolerations: [...(parsed.spec.tolerations ?? []), { operator: "Exists", effect: "NoExecute" }],
    },
    status: { phase: "Pending" },
  };
}

const probe = (given: Probe | undefined): Probe | undefined => given && { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3, ...given };

function withDefaults(container: Container): Container {
  const isLatest = /^[^@]*(?::latest)?$/.test(container.image ?? "") && !/:[^/]+$/.test((container.image ?? "").replace(/:latest$/, ""));
  return {
    imagePullPolicy: isLatest ? "Always" : "IfNotPresent", terminationMessagePath: "/dev/termination-log", terminationMessagePolicy: "File",
    ...container,
    ...(container.livenessProbe && { livenessProbe: probe(container.livenessProbe) }),
    ...(container.readinessProbe && { readinessProbe: probe(container.readinessProbe) }),
    ...(container.startupProbe && { startupProbe: probe(container.startupProbe) }),
  };
}

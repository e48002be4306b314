// Pods on one node, each timed from the call that creates it to the watch event that shows it Ready.
import type { HttpClient } from "../../api/client/http.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod } from "../../api/types.ts";

const PODS = builtinKind("", "v1", "Pod");
const SERVICE_ACCOUNTS = builtinKind("", "v1", "ServiceAccount");

/** What a careful owner sets. */
const PROBES = { readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 10 }, livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 10 } };

export interface PodTimerOptions {
  readonly client: HttpClient;
  readonly namespace: string;
  readonly nodeName: string;
  /** Present on the node. */
  readonly image: string;
  readonly signal: AbortSignal;
}

export interface TimedPod {
  readonly name: string;
  readonly readyMs: number;
}

/** Creates pods and hears through one watch when they are Ready and when they are gone. */
export class PodTimer {
  readonly #waiting = new Map<string, { readonly ready: () => void; readonly gone: () => void }>();
  #count = 0;

  private constructor(private readonly options: PodTimerOptions) {}

  /** Resolves once pods can be made in the namespace. */
  static async start(options: PodTimerOptions): Promise<PodTimer> {
    const { client, namespace } = options;
    while (!(await client.get(SERVICE_ACCOUNTS, { namespace, name: "default" }).catch(() => undefined))) await Bun.sleep(10);
    const timer = new PodTimer(options);
    const { metadata } = await client.list<Pod>(PODS, { namespace });
    void timer.#follow(metadata.resourceVersion).catch((error: unknown) => {
      throw error;
    });
    return timer;
  }

  /** Creates this many at once; resolves when all are Ready. */
  ready(count: number, { probed = false } = {}): Promise<TimedPod[]> {
    return Promise.all(Array.from({ length: count }, () => this.#one(probed)));
  }

  /** Deletes them; resolves when they are gone. */
  async remove(pods: readonly TimedPod[]): Promise<void> {
    await Promise.all(pods.map(async ({ name }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.set(name, { ready: () => undefined, gone: resolve });
      await this.options.client.delete(PODS, { namespace: this.options.namespace, name });
      await promise;
    }));
  }

  async #one(probed: boolean): Promise<TimedPod> {
    const { client, namespace, nodeName, image } = this.options;
    const name = `pod-${this.#count++}`;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(name, { ready: resolve, gone: () => undefined });
    const begin = performance.now();
    await client.create<Pod>(PODS, {
      metadata: { name, namespace },
      spec: { nodeSelector: { "kubernetes.io/hostname": nodeName }, terminationGracePeriodSeconds: 0, containers: [{ name: "app", image, imagePullPolicy: "Never", ...(probed && PROBES) }] },
    });
    await promise;
    return { name, readyMs: performance.now() - begin };
  }

  async #follow(resourceVersion: string | undefined): Promise<void> {
    const { client, namespace, signal } = this.options;
    for await (const event of client.watch<Pod>(PODS, { namespace, resourceVersion, signal })) {
      if (event.type === "BOOKMARK") continue;
      const { metadata, status } = event.object;
      const waiting = this.#waiting.get(metadata.name);
      if (event.type === "DELETED") waiting?.gone();
      else if (status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True")) waiting?.ready();
    }
  }
}

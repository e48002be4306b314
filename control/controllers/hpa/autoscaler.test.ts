// Autoscalers on the real API server; the clock, the figures and the pods are the test's.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createInformers } from "../../../api/client/informers.ts";
import type { MetricsSource, PodMetrics } from "../../../api/metrics.ts";
import { KindRegistry } from "../../../api/registry.ts";
import type { Deployment, HorizontalPodAutoscaler, Pod, Stored } from "../../../api/types.ts";
import { FakeClock, timestamp } from "../../../lib/clock.ts";
import { startKindServer } from "../../apiserver/kinds/testing.ts";
import type { TestServer } from "../../apiserver/testing.ts";
import { becomes } from "../cluster.suite.ts";
import type { ControllerDeps } from "../controller.ts";
import { DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER as HPA, POD } from "../kinds.ts";
import { ControllerFigures } from "../figures.ts";
import { horizontalPodAutoscalerController } from "./autoscaler.ts";
import type { CustomMetrics } from "./evaluate.ts";

type HpaSpec = NonNullable<HorizontalPodAutoscaler["spec"]>;
const NOW = Date.parse("2026-03-01T12:00:00Z");
const at = { namespace: "default", name: "web" };
const labels = { app: "web" };

let server: TestServer;
let clock: FakeClock;
let stop: AbortController;
let running: Promise<void>;
let events: string[];
/** Thousandths of a core by pod; a pod that is not here has no figures. */
let cores: Map<string, number>;
let custom: CustomMetrics | undefined;

const metrics: MetricsSource = {
  nodes: async () => [],
  pods: async ({ matcher }): Promise<PodMetrics[]> => (await server.client.list<Pod>(POD)).items.filter(({ metadata }) => cores.has(metadata.name) && matcher?.matches(metadata.labels)).map(({ metadata }) => ({
    apiVersion: "metrics.k8s.io/v1beta1", kind: "PodMetrics", metadata, timestamp: timestamp(clock.now()), window: "10s",
    containers: [{ name: "c", usage: { cpu: `${cores.get(metadata.name)}m`, memory: "64Mi" } }],
  })),
};

beforeEach(async () => {
  clock = new FakeClock(NOW);
  stop = new AbortController();
  [events, cores, custom] = [[], new Map(), undefined];
  server = await startKindServer();
  const informers = createInformers(server.client, clock);
  const deps: ControllerDeps = {
    informers, clientFor: () => server.client, clock, kinds: new KindRegistry(), figures: new ControllerFigures(),
    recorderFor: () => ({ event: (_regarding, _type, reason, message) => void events.push(`${reason}: ${message}`) }),
    settings: { clusterCaPem: "CA", clusterCidrs: [], metrics, customMetrics: { pods: (q) => custom?.pods(q) ?? Promise.reject(new Error("none")), object: (q) => custom?.object(q) ?? Promise.reject(new Error("none")), external: (q) => custom?.external(q) ?? Promise.reject(new Error("none")) } },
  };
  const controller = horizontalPodAutoscalerController(deps);
  informers.start(stop.signal);
  await informers.waitForSync();
  running = controller.start(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
  await server.stop();
});

/** A Deployment of so many pods that have run for an hour, each asking for a tenth of a core and using this much. */
async function workload(replicas: number, milli: number, name = "web"): Promise<void> {
  await server.client.create<Deployment>(DEPLOYMENT, { metadata: { ...at, name }, spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } } } });
  for (let index = 0; index < replicas; index++) await pod(`${name}-${index}`, milli);
}
async function pod(name: string, milli: number): Promise<void> {
  const made = await server.client.create<Pod>(POD, { metadata: { name, namespace: "default", labels }, spec: { containers: [{ name: "c", image: "i", resources: { requests: { cpu: "100m", memory: "64Mi" } } }] } });
  const hourAgo = timestamp(NOW - 3_600_000);
  await server.client.update<Pod>(POD, { ...made, status: { phase: "Running", startTime: hourAgo, conditions: [{ type: "Ready", status: "True", lastTransitionTime: hourAgo }] } }, { subresource: "status" });
  cores.set(name, milli);
}
const autoscaler = (spec: Partial<HpaSpec> = {}, name = "web"): Promise<Stored<HorizontalPodAutoscaler>> =>
  server.client.create<HorizontalPodAutoscaler>(HPA, { metadata: { ...at, name }, spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, minReplicas: 1, maxReplicas: 10, metrics: [cpu(50)], ...spec } });
const cpu = (averageUtilization: number) => ({ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization } } });
const replicas = async (): Promise<number | undefined> => (await server.client.get<Deployment>(DEPLOYMENT, at)).spec?.replicas;
const hpa = (): Promise<Stored<HorizontalPodAutoscaler>> => server.client.get<HorizontalPodAutoscaler>(HPA, at);
const condition = async (type: string): Promise<string | undefined> => {
  const found = (await hpa()).status?.conditions?.find((one) => one.type === type);
  return found && `${found.status} ${found.reason}`;
};

describe("an autoscaler", () => {
  test("adds pods when they use more than the target, and says so", async () => {
    await workload(2, 100);
    await autoscaler();
    await becomes(replicas, 4);
    await becomes(() => events, ["SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target"]);
    await becomes(async () => (await hpa()).status?.currentMetrics, [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: 100, averageValue: "100m" } } }]);
    expect((await hpa()).status).toMatchObject({ currentReplicas: 2, desiredReplicas: 4, lastScaleTime: timestamp(NOW) });
    expect([await condition("AbleToScale"), await condition("ScalingActive"), await condition("ScalingLimited")]).toEqual(["True SucceededRescale", "True ValidMetricFound", "False DesiredWithinRange"]);
  });

  test("leaves alone what is within a tenth of the target", async () => {
    await workload(4, 54);
    await autoscaler();
    await becomes(() => condition("ScalingActive"), "True ValidMetricFound");
    expect(await replicas()).toBe(4);
  });

  test("keeps to its own tolerance where it has one", async () => {
    await workload(4, 54);
    await autoscaler({ behavior: { scaleUp: { tolerance: "50m" } } });
    await becomes(replicas, 5);
  });

  test("takes pods away only when five minutes of recommendations agree", async () => {
    await workload(4, 10);
    await autoscaler();
    await becomes(() => condition("AbleToScale"), "True ScaleDownStabilized");
    expect(await replicas()).toBe(4);
    for (let round = 0; round < 21; round++) {
      await clock.advance(15_000);
      await Bun.sleep(5);
    }
    await becomes(replicas, 1);
    expect(events).toEqual(["SuccessfulRescale: New size: 1; reason: All metrics below target"]);
  });

  test("never leaves its bounds, whatever is measured", async () => {
    await workload(2, 100);
    await autoscaler({ minReplicas: 3 });
    await becomes(replicas, 3);
    expect(events).toEqual(["SuccessfulRescale: New size: 3; reason: Current number of replicas below Spec.MinReplicas"]);
    const current = await hpa();
    await server.client.update<HorizontalPodAutoscaler>(HPA, { ...current, spec: { ...(current.spec as HpaSpec), minReplicas: 1, maxReplicas: 2 } });
    await becomes(replicas, 2);
    expect(events.at(-1)).toBe("SuccessfulRescale: New size: 2; reason: Current number of replicas above Spec.MaxReplicas");
  });

  test("does nothing and says why when nothing can be measured", async () => {
    await workload(2, 100);
    cores.clear();
    await autoscaler();
    await becomes(() => condition("ScalingActive"), "False FailedGetResourceMetric");
    await becomes(() => events, [
      "FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API",
      "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API",
    ]);
    cores.set("web-0", 100).set("web-1", 100);
    await clock.advance(15_000);
    await becomes(replicas, 4);
  });

  test("counts a pod without figures as idle when it would add and as busy when it would take away", async () => {
    await workload(4, 100);
    cores.delete("web-3");
    await autoscaler();
    await becomes(replicas, 6);
  });

  test("stands still while its workload is switched off", async () => {
    await workload(0, 0);
    await autoscaler();
    await becomes(() => condition("ScalingActive"), "False ScalingDisabled");
    expect(await replicas()).toBe(0);
  });

  test("says that what it is to scale is not there", async () => {
    await autoscaler();
    await becomes(() => condition("AbleToScale"), "False FailedGetScale");
    expect(events).toEqual(['FailedGetScale: deployments.apps "web" not found']);
  });

  test("does not fight another one over the same pods", async () => {
    await workload(2, 50);
    await autoscaler();
    await becomes(() => condition("ScalingActive"), "True ValidMetricFound");
    await autoscaler({}, "rival");
    await becomes(() => events.some((event) => event === "AmbiguousSelector: pods by selector app=web are controlled by multiple HPAs: [default/web default/rival]"), true);
  });

  test("grows no faster than its policies allow", async () => {
    await workload(2, 100);
    await autoscaler({ behavior: { scaleUp: { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] } } });
    await becomes(replicas, 3);
    await becomes(() => condition("ScalingLimited"), "True ScaleUpLimit");
    await clock.advance(15_000);
    await Bun.sleep(20);
    expect(await replicas()).toBe(3);
    await clock.advance(46_000);
    await becomes(replicas, 4);
  });

  test("follows the metric that asks for most", async () => {
    await workload(2, 60);
    custom = {
      pods: async () => new Map([["web-0", figure(3000)], ["web-1", figure(3000)]]),
      object: async () => 10_000,
      external: async () => [4000, 4000],
    };
    const metric = { name: "m" };
    await autoscaler({ metrics: [
      cpu(50), { type: "Pods", pods: { metric, target: { type: "AverageValue", averageValue: "1" } } },
      { type: "Object", object: { metric, describedObject: { kind: "Service", name: "s" }, target: { type: "Value", value: "2500m" } } },
      { type: "External", external: { metric, target: { type: "AverageValue", averageValue: "1" } } },
    ], behavior: { scaleUp: { policies: [{ type: "Pods", value: 20, periodSeconds: 15 }] } } });
    await becomes(replicas, 8);
    await becomes(async () => (await hpa()).status?.currentMetrics?.map(({ type, pods, object, external }) => [type, (pods ?? object ?? external)?.current]), [
      ["Resource", undefined], ["Pods", { averageValue: "3" }], ["Object", { value: "10" }], ["External", { averageValue: "8" }],
    ]);
  });

  test("measures the container it is told to", async () => {
    await workload(2, 100);
    await autoscaler({ metrics: [{ type: "ContainerResource", containerResource: { name: "memory", container: "c", target: { type: "AverageValue", averageValue: "32Mi" } } }] });
    await becomes(replicas, 4);
  });
});

const figure = (milli: number): { milli: number; timeMs: number; windowMs: number } => ({ milli, timeMs: NOW, windowMs: 10_000 });

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, HorizontalPodAutoscaler, HorizontalPodAutoscalerV1, Stored } from "../../../../api/types.ts";
import type { TestServer } from "../../testing.ts";
import { refusal, startKindServer } from "../testing.ts";
import { hpaStrategy } from "./hpa.ts";

const V1 = builtinKind("autoscaling", "v1", "HorizontalPodAutoscaler");
const V2 = builtinKind("autoscaling", "v2", "HorizontalPodAutoscaler");
const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
type Spec = NonNullable<HorizontalPodAutoscaler["spec"]>;

let server: TestServer;
let made = 0;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const metadata = (): { name: string; namespace: string } => ({ name: `h${++made}`, namespace: "default" });
const create = (spec: Partial<Spec>): Promise<Stored<HorizontalPodAutoscaler>> => server.client.create<HorizontalPodAutoscaler>(V2, { metadata: metadata(), spec: { scaleTargetRef, maxReplicas: 5, ...spec } });
const createV1 = (spec: Partial<NonNullable<HorizontalPodAutoscalerV1["spec"]>>): Promise<Stored<HorizontalPodAutoscalerV1>> => server.client.create<HorizontalPodAutoscalerV1>(V1, { metadata: metadata(), spec: { scaleTargetRef, maxReplicas: 5, ...spec } });
const packets = { type: "Pods", pods: { metric: { name: "packets" }, target: { type: "AverageValue", averageValue: "1k" } } };

describe("an autoscaler", () => {
  test("measures processor time when nobody says otherwise", async () => {
    const { spec, metadata: { generation } } = await create({});
    expect(spec).toEqual({ scaleTargetRef, maxReplicas: 5, minReplicas: 1, metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }] });
    expect(generation).toBeUndefined();
  });

  test("gets whole scaling rules from parts of them", async () => {
    const { spec } = await create({ behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } });
    expect(spec?.behavior?.scaleDown).toEqual({ stabilizationWindowSeconds: 60, selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] });
    expect(spec?.behavior?.scaleUp?.policies).toHaveLength(2);
  });

  test("needs bounds, a target in a group, and metrics that say what they are", async () => {
    expect(await refusal(create({ maxReplicas: 0 }))).toContain("spec.maxReplicas: Required value: must be set and greater than 0");
    expect(await refusal(create({ minReplicas: 9 }))).toContain("must be greater than or equal to `minReplicas`");
    expect(await refusal(create({ minReplicas: 0 }))).toContain("spec.minReplicas: Invalid value: 0: must be greater than or equal to 1");
    expect(await refusal(create({ scaleTargetRef: { kind: "Deployment", name: "web" } }))).toContain("apiVersion must specify API group");
    expect(await refusal(create({ metrics: [{ type: "Pods" }] }))).toContain("spec.metrics[0].pods: Required value: must populate information for the given metric source");
    expect(await refusal(create({ metrics: [{ ...packets, type: "Resource" }] }))).toContain("spec.metrics[0].pods: Forbidden: must populate the given metric source only");
    expect(await refusal(create({ metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization" } } }] }))).toContain("must set either a target raw value or a target utilization");
    expect(await refusal(create({ behavior: { scaleUp: { policies: [{ type: "Pods", value: 0, periodSeconds: 9999 }] } } }))).toContain("spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 9999: must be less than or equal to 1800");
  });

  test("is shown with what it measures", () => {
    const hpa: HorizontalPodAutoscaler = {
      metadata: { name: "h" },
      spec: { scaleTargetRef, maxReplicas: 5, minReplicas: 2, metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }, packets, packets] },
      status: { desiredReplicas: 3, currentReplicas: 3, currentMetrics: [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: 20 } } }] },
    };
    expect(hpaStrategy.printer?.cells(hpa, 0).slice(1, 6)).toEqual(["Deployment/web", "cpu: 20%/80%, <unknown>/1k + 1 more...", "2", 5, 3]);
  });
});

describe("an autoscaler of the old version", () => {
  test("is the same object in the new one", async () => {
    const { metadata: { name } } = await createV1({ targetCPUUtilizationPercentage: 50 });
    const stored = await server.client.get<HorizontalPodAutoscaler>(V2, { namespace: "default", name });
    expect(stored.spec?.metrics).toEqual([{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } } }]);
    expect((await server.client.get<HorizontalPodAutoscalerV1>(V1, { namespace: "default", name })).spec).toEqual({ scaleTargetRef, maxReplicas: 5, minReplicas: 1, targetCPUUtilizationPercentage: 50 });
  });

  test("carries what it has no fields for in annotations, and loses none of it", async () => {
    const made = await create({ metrics: [packets, { type: "External", external: { metric: { name: "queue", selector: { matchLabels: { q: "a" } } }, target: { type: "Value", value: "5" } } }], behavior: { scaleDown: { selectPolicy: "Disabled" } } });
    const at = { namespace: "default", name: made.metadata.name };
    const old = await server.client.get<HorizontalPodAutoscalerV1>(V1, at);
    expect(JSON.parse(old.metadata.annotations?.["autoscaling.alpha.kubernetes.io/metrics"] ?? "")).toEqual([
      { type: "Pods", pods: { metricName: "packets", targetAverageValue: "1k" } },
      { type: "External", external: { metricName: "queue", metricSelector: { matchLabels: { q: "a" } }, targetValue: "5" } },
    ]);
    await server.client.update(V1, { ...old, spec: { ...(old.spec as NonNullable<typeof old.spec>), maxReplicas: 7 } });
    const back = await server.client.get<HorizontalPodAutoscaler>(V2, at);
    expect(back.spec).toEqual({ ...(made.spec as Spec), maxReplicas: 7 });
    expect(back.metadata.annotations).toBeUndefined();
  });

  test("meets the same rules", async () => {
    expect(await refusal(createV1({ maxReplicas: 0 }))).toContain("spec.maxReplicas: Required value: must be set and greater than 0");
    expect(await refusal(createV1({ targetCPUUtilizationPercentage: 0 }))).toContain("must be greater than 0");
  });

  test("has its status changed without losing conditions", async () => {
    const { metadata: { name } } = await createV1({});
    const at = { namespace: "default", name };
    const hpa = await server.client.get<AnyObject>(V2, at);
    const conditions = [{ type: "AbleToScale", status: "True", reason: "R", message: "m", lastTransitionTime: "2026-01-01T00:00:00Z" }];
    await server.client.update(V2, { ...hpa, status: { currentReplicas: 1, desiredReplicas: 2, conditions } }, { subresource: "status" });
    const old = await server.client.get<AnyObject>(V1, at);
    await server.client.update(V1, { ...old, status: { ...old["status"], desiredReplicas: 3 } }, { subresource: "status" });
    expect((await server.client.get<AnyObject>(V2, at))["status"]).toMatchObject({ currentReplicas: 1, desiredReplicas: 3, conditions });
  });
});

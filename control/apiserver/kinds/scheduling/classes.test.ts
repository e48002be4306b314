import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { PodDisruptionBudget, PriorityClass, RuntimeClass, Stored } from "../../../../api/types.ts";
import { podDisruptionBudgetStrategy } from "../policy/budget.ts";
import type { TestServer } from "../../testing.ts";
import { refusal, startKindServer } from "../testing.ts";

const PRIORITY = builtinKind("scheduling.k8s.io", "v1", "PriorityClass");
const RUNTIME = builtinKind("node.k8s.io", "v1", "RuntimeClass");
const BUDGET = builtinKind("policy", "v1", "PodDisruptionBudget");
let server: TestServer;
let made = 0;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

test("a priority keeps its value, and the highest are the system's", async () => {
  const create = (name: string, value: number): Promise<Stored<PriorityClass>> => server.client.create<PriorityClass>(PRIORITY, { metadata: { name }, value });
  const high = await create("high", 1000);
  expect(high).toMatchObject({ preemptionPolicy: "PreemptLowerPriority", metadata: { generation: 1 } });
  expect(await refusal(server.client.update(PRIORITY, { ...high, value: 1001 }))).toContain("value: Forbidden: may not be changed in an update.");
  expect((await server.client.update(PRIORITY, { ...high, description: "d" })).metadata.generation).toBe(1);
  expect(await refusal(create("higher", 1_000_000_001))).toContain("value: Forbidden: maximum allowed value of a user defined priority is 1000000000");
  expect(await refusal(create("system-mine", 5))).toContain("metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class");
});

test("a runtime class names one handler for life", async () => {
  const create = (fields: Partial<RuntimeClass>): Promise<Stored<RuntimeClass>> => server.client.create<RuntimeClass>(RUNTIME, { metadata: { name: `r${++made}` }, handler: "kata", ...fields });
  const kata = await create({});
  expect(await refusal(server.client.update(RUNTIME, { ...kata, handler: "other" }))).toContain('handler: Invalid value: "other": field is immutable');
  expect(await refusal(create({ handler: "" }))).toContain("handler: Required value");
  expect(await refusal(create({ overhead: { podFixed: { cpu: "-1" } } }))).toContain("overhead.limits[cpu]: Invalid value");
  const toleration = { key: "a", operator: "Exists" };
  expect(await refusal(create({ scheduling: { tolerations: [toleration, { ...toleration }] } }))).toContain("scheduling.tolerations[1]: Duplicate value");
});

test("a budget limits disruptions in one way", async () => {
  const create = (spec: PodDisruptionBudget["spec"]): Promise<Stored<PodDisruptionBudget>> => server.client.create<PodDisruptionBudget>(BUDGET, { metadata: { name: `b${++made}`, namespace: "default" }, spec });
  const budget = await create({ minAvailable: "50%" });
  expect(budget.metadata.generation).toBe(1);
  expect(await refusal(create({ minAvailable: 1, maxUnavailable: 1 }))).toContain("minAvailable and maxUnavailable cannot be both set");
  expect(await refusal(create({ minAvailable: "150%" }))).toContain("must not be greater than 100%");
  const status = { currentHealthy: 1, desiredHealthy: 1, disruptionsAllowed: -1, expectedPods: 1, conditions: [{ type: "DisruptionAllowed", status: "True", reason: "", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" }] };
  const words = await refusal(server.client.update(BUDGET, { ...budget, status }, { subresource: "status" }));
  expect(words).toContain("status.conditions[0].reason: Required value");
  expect(words).toContain("status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0");
  expect(podDisruptionBudgetStrategy.printer?.cells(budget, 0).slice(1, 4)).toEqual(["50%", "N/A", 0]);
});

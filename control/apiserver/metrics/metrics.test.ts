import { afterEach, beforeEach, expect, test } from "bun:test";
import { NODE_METRICS, POD_METRICS } from "../../../api/metrics.ts";
import { builtinKind, KindRegistry } from "../../../api/registry.ts";
import type { Node, Pod } from "../../../api/types.ts";
import { FakeClock } from "../../../lib/clock.ts";
import type { Connector } from "../http/serve.ts";
import { call, startTestServer, type TestServer } from "../testing.ts";
import { metricsConnector } from "./connector.ts";
import { NodeFigures } from "./source.ts";

const NODE = builtinKind("", "v1", "Node");
const POD = builtinKind("", "v1", "Pod");
const nobody: Connector = { handles: () => false, request: () => Promise.reject(new Error("nobody")), upgrade: () => Promise.reject(new Error("nobody")) };
let server: TestServer;
let clock: FakeClock;
let asked: string[];
let podUid: string;

/** Every node says that it and its one container have used half a core ever since time began. */
function summary(): string {
  const cpu = { usageCoreNanoSeconds: clock.now() * 500_000 };
  return JSON.stringify({ node: { cpu, memory: { workingSetBytes: 2048 } }, pods: [{ podRef: { name: "p", namespace: "default", uid: podUid }, containers: [{ name: "c", cpu, memory: { workingSetBytes: 1_048_576 } }] }] });
}
const page = async (nodeName: string): Promise<string> => {
  asked.push(nodeName);
  if (nodeName === "down") throw new Error("connection refused");
  return summary();
};
/** Answers, letting the time between two samples pass. */
async function get(path: string): ReturnType<typeof call> {
  const answer = call(server, "GET", `/apis/metrics.k8s.io/v1beta1${path}`);
  const state = { isDone: false };
  void answer.finally(() => { state.isDone = true; });
  while (!state.isDone) {
    await clock.advance(500);
    await Bun.sleep(1);
  }
  return answer;
}

beforeEach(async () => {
  asked = [];
  clock = new FakeClock(Date.parse("2026-03-01T12:00:00Z"));
  const kinds = new KindRegistry();
  for (const kind of [NODE_METRICS, POD_METRICS]) kinds.add(kind);
  const source = new NodeFigures({ engine: () => server.server.engine, clock, page });
  server = await startTestServer({ kinds, http: { connect: metricsConnector(source, nobody) } });
  for (const name of ["up", "down"]) await server.client.create<Node>(NODE, { metadata: { name, labels: { name } } });
  const pod = await server.client.create<Pod>(POD, { metadata: { name: "p", namespace: "default" }, spec: { nodeName: "up", containers: [{ name: "c" }] } });
  podUid = pod.metadata.uid;
  await server.client.update<Pod>(POD, { ...pod, status: { phase: "Running" } }, { subresource: "status" });
});
afterEach(() => server.stop());

test("the group can be discovered", async () => {
  const { body } = await call(server, "GET", "/apis/metrics.k8s.io/v1beta1");
  expect((body["resources"] as { name: string; verbs: string[] }[]).map(({ name, verbs }) => [name, verbs])).toEqual([["nodes", ["get", "list"]], ["pods", ["get", "list"]]]);
});

test("a node shows what it uses; one that does not answer is left out", async () => {
  const { status, body } = await get("/nodes");
  expect(status).toBe(200);
  expect(body).toMatchObject({ kind: "NodeMetricsList", items: [{ kind: "NodeMetrics", metadata: { name: "up" }, usage: { cpu: "500000000n", memory: "2Ki" } }] });
});

test("a pod shows what its containers use, and only its own node is asked", async () => {
  const { body } = await get("/namespaces/default/pods/p");
  expect(body).toMatchObject({ kind: "PodMetrics", containers: [{ name: "c", usage: { cpu: "500000000n", memory: "1024Ki" } }] });
  expect(new Set(asked)).toEqual(new Set(["up"]));
});

test("what nobody has is not found, and nothing can be written", async () => {
  expect((await get("/nodes/none")).body).toMatchObject({ code: 404, message: 'nodes.metrics.k8s.io "none" not found' });
  expect((await call(server, "DELETE", "/apis/metrics.k8s.io/v1beta1/nodes/up")).status).toBe(405);
});

test("without a question no node is asked", async () => {
  await clock.advance(600_000);
  expect(asked).toEqual([]);
});

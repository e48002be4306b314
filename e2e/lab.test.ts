import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { application, eventually, Kubectl, must, sampleImage } from "./support.ts";

const LAB = join(import.meta.dir, "..", "scripts", "lab");
const name = process.env["MINIK8S_LAB"] ?? "e2e";
const directory = `/var/lib/minik8s-lab-${name}`;
const env = { MINIK8S_LAB: name };
const kubectl = new Kubectl(join(directory, "admin.conf"));

beforeAll(async () => {
  await must([LAB, "up", "3"], { env, timeoutMs: TEST_TIMEOUT_MS });
  await must([LAB, "load", await sampleImage()], { env });
}, 240_000);

afterAll(async () => void (await must([LAB, "down"], { env, timeoutMs: TEST_TIMEOUT_MS })), 240_000);

const nodesOf = async (name: string): Promise<string[]> => (await kubectl.value("{.items[*].spec.nodeName}", "pods", "-l", `app=${name}`, "--field-selector", "status.phase=Running")).split(" ").filter(Boolean);

/** Pods leave a lost node after five seconds instead of five minutes. */
const QUICK_TO_LEAVE = `
      tolerations:
        - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5 }
        - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5 }`;

test("replicas spread over three nodes and each node reaches all of them through the Service", async () => {
  await kubectl.apply(application("spread", 3, QUICK_TO_LEAVE));
  await kubectl.run("rollout", "status", "deployment/spread", "--timeout=120s");
  expect(new Set(await nodesOf("spread")).size).toBe(3);
  const address = await kubectl.value("{.spec.clusterIP}", "service", "spread");
  for (const node of ["node-1", "node-2", "node-3"]) {
    const answers = new Set<string>();
    await eventually(`${node} hears every replica`, async () => answers.add(await must([LAB, "exec", node, "curl", "--silent", "--fail", "--max-time", "3", `http://${address}/`], { env })).size === 3);
  }
}, TEST_TIMEOUT_MS);

test("a pod reaches pods on other nodes by their own address, and the Service by name", async () => {
  const pods = (await kubectl.value("{range .items[*]}{.metadata.name} {.status.podIP}{\"\\n\"}{end}", "pods", "-l", "app=spread")).trim().split("\n").map((line) => line.split(" ") as [string, string]);
  const [first] = pods[0] as [string, string];
  const get = (host: string, port: number): Promise<string> => kubectl.run("exec", first, "--", "sh", "-c", `echo -e 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${host} ${port}`);
  for (const [name, address] of pods) expect(await get(address, 8080)).toContain(`hello from ${name}`);
  expect(await get("spread.default.svc.cluster.local", 80)).toContain("hello from spread-");
}, TEST_TIMEOUT_MS);

test("kubectl top shows what nodes and pods use, and an autoscaler adds pods under load, no faster than its policy lets it", async () => {
  const busy = application("busy", 1).replace("image: minik8s/hello:1", "image: minik8s/hello:1\n          command: [sh, -c, 'while :; do :; done']\n          resources: { requests: { cpu: 50m }, limits: { cpu: 200m } }").replace(/\n +readinessProbe.*/, "");
  await kubectl.apply(`${busy}---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: busy }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: busy }
  minReplicas: 1
  maxReplicas: 3
  metrics: [{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 50 } } }]
  behavior: { scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: Pods, value: 1, periodSeconds: 30 }] } }
`);
  await eventually("nodes and pods are measured", async () => {
    const [nodes, pods] = [await kubectl.run("top", "nodes"), await kubectl.run("top", "pods", "-l", "app=busy")];
    return /node-1 +\d+m +\d+%/.test(nodes) && /busy-\S+ +[1-9]\d*m/.test(pods);
  }, TEST_TIMEOUT_MS);
  await eventually("it has as many as it may", async () => (await kubectl.value("{.spec.replicas}", "deployment", "busy")) === "3", 240_000);
  // One pod at a time: each step is an event of its own.
  const steps = await kubectl.value("{range .items[*]}{.message}{'\\n'}{end}", "events", "--field-selector", "involvedObject.name=busy,reason=SuccessfulRescale");
  expect(steps).toContain("New size: 2; reason: cpu resource utilization (percentage of request) above target");
  expect(steps).toContain("New size: 3; reason: cpu resource utilization (percentage of request) above target");
  await kubectl.run("delete", "deployment,service,hpa", "busy");
}, 420_000);

test("when a node's agent is killed its pods are made anew elsewhere, and the node rejoins by being started again", async () => {
  await must([LAB, "kill", "node-3"], { env });
  await eventually("three replicas run on the two nodes left", async () => {
    const nodes = await kubectl.value("{range .items[?(@.metadata.deletionTimestamp==\"\")]}{.spec.nodeName} {end}", "pods", "-l", "app=spread");
    const ready = await kubectl.value("{.status.readyReplicas}", "deployment", "spread");
    return ready === "3" && !(await kubectl.run("get", "pods", "-l", "app=spread", "-o", "wide")).split("\n").some((line) => line.includes("node-3") && !line.includes("Terminating")) && nodes !== undefined;
  }, TEST_TIMEOUT_MS);
  await must([LAB, "start", "node-3"], { env });
  await kubectl.run("wait", "--for=condition=Ready", "node/node-3", "--timeout=120s");
}, 300_000);

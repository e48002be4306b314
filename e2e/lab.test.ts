import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { application, eventually, Kubectl, must, sampleImage } from "./support.ts";

const LAB = join(import.meta.dir, "..", "scripts", "lab");
const directory = "/var/lib/minik8s-lab-e2e";
const env = { MINIK8S_LAB: "e2e" };
const kubectl = new Kubectl(join(directory, "admin.conf"));

beforeAll(async () => {
  await must([LAB, "up", "3"], { env, timeoutMs: 180_000 });
  await must([LAB, "load", await sampleImage()], { env });
}, 240_000);

afterAll(async () => void (await must([LAB, "down"], { env, timeoutMs: 180_000 })), 240_000);

const nodesOf = async (name: string): Promise<string[]> => (await kubectl.value("{.items[*].spec.nodeName}", "pods", "-l", `app=${name}`, "--field-selector", "status.phase=Running")).split(" ").filter(Boolean);

/** Pods leave a lost node after five seconds instead of five minutes. */
const QUICK_TO_LEAVE = `
      tolerations:
        - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5 }
        - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5 }`;

test("replicas spread over three nodes and each node reaches all of them through the Service", async () => {
  await kubectl.apply(application("spread", 3, QUICK_TO_LEAVE));
  await kubectl.run("rollout", "status", "deployment/spread", "--timeout=90s");
  expect(new Set(await nodesOf("spread")).size).toBe(3);
  const address = await kubectl.value("{.spec.clusterIP}", "service", "spread");
  for (const node of ["node-1", "node-2", "node-3"]) {
    const answers = new Set<string>();
    await eventually(`${node} hears every replica`, async () => answers.add(await must([LAB, "exec", node, "curl", "--silent", "--fail", "--max-time", "3", `http://${address}/`], { env })).size === 3);
  }
}, 180_000);

test("a pod reaches pods on other nodes by their own address, and the Service by name", async () => {
  const pods = (await kubectl.value("{range .items[*]}{.metadata.name} {.status.podIP}{\"\\n\"}{end}", "pods", "-l", "app=spread")).trim().split("\n").map((line) => line.split(" ") as [string, string]);
  const [first] = pods[0] as [string, string];
  const get = (host: string, port: number): Promise<string> => kubectl.run("exec", first, "--", "sh", "-c", `echo -e 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${host} ${port}`);
  for (const [name, address] of pods) expect(await get(address, 8080)).toContain(`hello from ${name}`);
  expect(await get("spread.default.svc.cluster.local", 80)).toContain("hello from spread-");
}, 90_000);

test("when a node's agent is killed its pods are made anew elsewhere, and the node rejoins by being started again", async () => {
  await must([LAB, "kill", "node-3"], { env });
  await eventually("three replicas run on the two nodes left", async () => {
    const nodes = await kubectl.value("{range .items[?(@.metadata.deletionTimestamp==\"\")]}{.spec.nodeName} {end}", "pods", "-l", "app=spread");
    const ready = await kubectl.value("{.status.readyReplicas}", "deployment", "spread");
    return ready === "3" && !(await kubectl.run("get", "pods", "-l", "app=spread", "-o", "wide")).split("\n").some((line) => line.includes("node-3") && !line.includes("Terminating")) && nodes !== undefined;
  }, 150_000);
  await must([LAB, "start", "node-3"], { env });
  await kubectl.run("wait", "--for=condition=Ready", "node/node-3", "--timeout=60s");
}, 300_000);

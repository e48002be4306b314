// A node that is cut off: what becomes of its pods, of names and addresses meanwhile, and of the node when it comes back.
// Each runtime's test file says which runtime the lab's nodes have.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually, Kubectl, must, sampleImage } from "./support.ts";

const LAB = join(import.meta.dir, "..", "scripts", "lab");
const AWAY_MS = 150_000;
const LOST = "node-2";

/** A lab of two nodes of which the second is lost and found. */
export function describeLoss(runtime: "containerd" | "docker"): void {
  const name = `loss-${runtime}`;
  const env = { MINIK8S_LAB: name };
  const kubectl = new Kubectl(`/var/lib/minik8s-lab-${name}/admin.conf`);
  const lab = (...args: string[]): Promise<string> => must([LAB, ...args], { env, timeoutMs: 240_000 });
  const namesOn = async (selector: string): Promise<string[]> => (await kubectl.value("{range .items[?(@.status.phase==\"Running\")]}{.metadata.name}@{.spec.nodeName} {end}", "pods", "--selector", selector)).trim().split(" ").filter(Boolean);
  const inside = (script: string): Promise<string> => kubectl.run("exec", "asks", "--", "sh", "-c", script);

  beforeAll(async () => {
    await lab("up", "2", "--runtime", runtime);
    await lab("load", await sampleImage());
    await kubectl.apply(MANIFESTS);
    await kubectl.run("wait", "--for=condition=Ready", "pod/asks", "--timeout=60s");
    await kubectl.run("rollout", "status", "statefulset/keeps", "--timeout=90s");
    await kubectl.run("rollout", "status", "deployment/moves", "--timeout=90s");
  }, 300_000);

  afterAll(() => lab("down"), 240_000);

  describe(`a node on ${runtime} that is cut off`, () => {
    test("is Unknown; its pods move after the time they tolerate, those of a StatefulSet are never there twice, and names resolve all the while", async () => {
      expect((await namesOn("app=moves")).some((each) => each.endsWith(`@${LOST}`))).toBe(true);
      expect((await namesOn("app=keeps")).some((each) => each.endsWith(`@${LOST}`))).toBe(true);
      await lab("partition", LOST);
      await eventually("the node is Unknown", async () => (await kubectl.value(`{.status.conditions[?(@.type=="Ready")].status}`, "node", LOST)) === "Unknown", AWAY_MS);
      await eventually("two replicas run where they can", async () => (await readyElsewhere()) === 2, AWAY_MS);
      expect(await inside("nslookup moves.default.svc.cluster.local")).toContain("Address");
      expect(await eventually("the Service answers", () => inside("echo -e 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 moves.default.svc.cluster.local 80"))).toContain("hello from moves-");
      // One pod of an ordinal, wherever it is: the lost one may still run, so no other may take its name.
      const kept = (await kubectl.run("get", "pods", "--selector", "app=keeps", "-o", "name")).trim().split("\n");
      expect(kept.toSorted()).toEqual(["pod/keeps-0", "pod/keeps-1"]);
    }, 420_000);

    test("rejoins when it is back: Ready without taints, its old pods ended, the StatefulSet whole again", async () => {
      await lab("heal", LOST);
      await kubectl.run("wait", "--for=condition=Ready", `node/${LOST}`, "--timeout=90s");
      await eventually("its taints are gone", async () => (await kubectl.value("{.spec.taints}", "node", LOST)) === "", 60_000);
      await kubectl.run("rollout", "status", "statefulset/keeps", "--timeout=120s");
      await eventually("nothing is left ending", async () => !(await kubectl.run("get", "pods")).includes("Terminating"), 90_000);
      expect((await namesOn("app=keeps")).length).toBe(2);
      expect((await namesOn("app=moves")).length).toBe(2);
      expect(await eventually("pods on it are reached again", () => inside("echo -e 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 keeps-1.keeps.default.svc.cluster.local 8080"))).toContain("hello from keeps-1");
    }, 420_000);
  });

  async function readyElsewhere(): Promise<number> {
    const pods = (await kubectl.value("{range .items[*]}{.spec.nodeName}/{.metadata.deletionTimestamp}/{.status.conditions[?(@.type==\"Ready\")].status} {end}", "pods", "--selector", "app=moves")).trim().split(" ");
    return pods.filter((pod) => pod === "node-1//True").length;
  }
}

const QUICK = `tolerations:
        - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5 }
        - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5 }`;
const SPREAD = "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: APP } } }]";

const workload = (kind: string, name: string, extra: string): string => `
apiVersion: apps/v1
kind: ${kind}
metadata: { name: ${name} }
spec:
  replicas: 2
  ${extra}
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 1
      ${QUICK}
      ${SPREAD.replace("APP", name)}
      containers: [{ name: web, image: "minik8s/hello:1", ports: [{ name: http, containerPort: 8080 }] }]
---`;

const MANIFESTS = `${workload("Deployment", "moves", "")}${workload("StatefulSet", "keeps", "serviceName: keeps")}
apiVersion: v1
kind: Service
metadata: { name: moves }
spec: { selector: { app: moves }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: v1
kind: Service
metadata: { name: keeps }
spec: { clusterIP: None, selector: { app: keeps }, ports: [{ port: 8080, targetPort: http }] }
---
apiVersion: v1
kind: Pod
metadata: { name: asks }
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 1
  containers: [{ name: app, image: "minik8s/hello:1", command: [sleep, "100000"] }]
`;

// What the controllers of workloads do beyond what every cluster test sees, with kubectl on hollow nodes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { HollowCluster, type Wire } from "./hollow.suite.ts";
import { eventually } from "./support.ts";

const cluster = new HollowCluster();
const { kubectl } = cluster;

beforeAll(async () => {
  await cluster.start();
  await cluster.addNodes("node", 2);
}, TEST_TIMEOUT_MS);
afterAll(() => cluster.stop(), TEST_TIMEOUT_MS);

test("pods that are on their way out are counted by their ReplicaSet and its Deployment", async () => {
  await kubectl.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: slow }
spec:
  replicas: 3
  selector: { matchLabels: { app: slow } }
  template:
    metadata: { labels: { app: slow } }
    spec: { containers: [{ name: c, image: i, lifecycle: { preStop: { exec: { command: [sleep, '1000'] } } } }], terminationGracePeriodSeconds: 20 }
`);
  await kubectl.run("rollout", "status", "deployment/slow", "--timeout=120s");
  await kubectl.run("scale", "deployment/slow", "--replicas=1");
  const terminating = async (): Promise<Wire[]> => Promise.all([cluster.get("/apis/apps/v1/namespaces/default/deployments/slow"), cluster.get("/apis/apps/v1/namespaces/default/replicasets").then(({ items }) => items[0])]).then((both) => both.map(({ status }) => status.terminatingReplicas));
  await eventually("two are counted", async () => (await terminating()).join() === "2,2");
  await eventually("none is left", async () => (await terminating()).join() === "0,0", 90_000);
}, TEST_TIMEOUT_MS);

describe("a CronJob", () => {
  const cron = (name: string, schedule: string, more = ""): string => `
apiVersion: batch/v1
kind: CronJob
metadata: { name: ${name} }
spec:
  schedule: "${schedule}"
  ${more}
  jobTemplate: { spec: { template: { spec: { restartPolicy: Never, containers: [{ name: c, image: i, command: ["true"] }] } } } }
`;

  test("whose time never comes says that its schedule is invalid; one nobody can read is refused", async () => {
    await kubectl.apply(cron("never", "59 23 31 2 *"));
    await eventually("it is told", async () => (await cluster.events("never")).includes("InvalidSchedule: invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"));
    await expect(kubectl.apply(cron("garbage", "every day"))).rejects.toThrow("spec.schedule");
    await expect(kubectl.apply(cron("mars", "* * * * *", "timeZone: Mars/Olympus"))).rejects.toThrow("unknown time zone Mars/Olympus");
  }, TEST_TIMEOUT_MS);

  test("that was not looked after for hours makes one Job, and says how many times were missed", async () => {
    await kubectl.apply(cron("late", "* * * * *", "suspend: true"));
    const path = "/apis/batch/v1/namespaces/default/cronjobs/late";
    await cluster.setStatus(path, { lastScheduleTime: new Date(Date.now() - 7_200_000).toISOString().replace(/\.\d+Z$/, "Z") });
    await kubectl.run("patch", "cronjob", "late", "-p", '{"spec":{"suspend":false}}');
    await eventually("it says so", async () => (await cluster.events("late")).includes("TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"));
    const job = await eventually("one Job is made", async (): Promise<Wire> => (await cluster.get("/apis/batch/v1/namespaces/default/jobs")).items[0]);
    expect(job.metadata.ownerReferences[0]).toMatchObject({ kind: "CronJob", name: "late" });
    await kubectl.run("wait", "--for=condition=Complete", `job/${job.metadata.name}`, "--timeout=120s");
    await eventually("it is seen to be done", async () => (await cluster.events("late")).includes(`SawCompletedJob: Saw completed job: ${job.metadata.name}, condition: Complete`));
    await kubectl.run("delete", "cronjob", "late");
  }, TEST_TIMEOUT_MS);
});

test("an autoscaler without figures says so on itself, and leaves the size alone", async () => {
  await kubectl.run("create", "deployment", "measured", "--image=i");
  await kubectl.run("autoscale", "deployment", "measured", "--min=2", "--max=5", "--cpu-percent=50");
  await eventually("the least is kept", async () => (await kubectl.value("{.spec.replicas}", "deployment", "measured")) === "2");
  const active = (): Promise<Wire> => cluster.get("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/measured").then(({ status }) => status?.conditions?.find(({ type }: Wire) => type === "ScalingActive"));
  await eventually("it says why", async () => (await active())?.reason === "FailedGetResourceMetric", 120_000);
}, TEST_TIMEOUT_MS);

describe("a claim for devices, made from a template", () => {
  const SLICE = { apiVersion: "resource.k8s.io/v1", kind: "ResourceSlice", metadata: { name: "gpus" }, spec: { driver: "gpu.example.com", nodeName: "node-1", pool: { name: "node-1", generation: 1, resourceSliceCount: 1 }, devices: [{ name: "gpu-0" }] } };
  const claims = async (): Promise<Wire[]> => (await cluster.get("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims")).items;
  const pod = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 0
  resourceClaims: [{ name: gpu, resourceClaimTemplateName: one }]
  containers: [{ name: c, image: i, resources: { claims: [{ name: gpu }] } }]
`;

  test("belongs to its pod, is allocated where the device is, keeps others waiting, and is given back", async () => {
    await cluster.request("POST", "/apis/resource.k8s.io/v1/resourceslices", SLICE);
    await kubectl.apply(`apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: { name: gpu }
spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }] }
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: { name: one }
spec: { spec: { devices: { requests: [{ name: r, exactly: { deviceClassName: gpu } }] } } }
---${pod("has")}`);
    await kubectl.run("wait", "--for=condition=Ready", "pod/has", "--timeout=120s");
    expect(await kubectl.value("{.spec.nodeName}", "pod", "has")).toBe("node-1");
    const [claim] = await claims();
    expect(claim.metadata).toMatchObject({ annotations: { "resource.kubernetes.io/pod-claim-name": "gpu" }, ownerReferences: [{ kind: "Pod", name: "has", controller: true }] });
    expect(claim.status).toMatchObject({ allocation: { devices: { results: [{ request: "r", driver: "gpu.example.com", pool: "node-1", device: "gpu-0" }] } }, reservedFor: [{ resource: "pods", name: "has" }] });
    await kubectl.apply(pod("waits"));
    await eventually("the other is told why it waits", async () => (await cluster.events("waits")).some((event) => event.includes("cannot allocate all claims")));
    await kubectl.run("delete", "pod", "has");
    await kubectl.run("wait", "--for=condition=Ready", "pod/waits", "--timeout=120s");
    await eventually("only its claim is left", async () => (await claims()).map(({ status }) => status?.reservedFor?.[0]?.name).join() === "waits");
  }, TEST_TIMEOUT_MS);
});

import { afterEach, describe, expect, test } from "bun:test";
import type { Pod, ResourceQuota } from "../../api/types.ts";
import { becomes, consistently, TestCluster } from "./cluster.suite.ts";
import { CONFIG_MAP, POD, RESOURCE_QUOTA, SERVICE } from "./kinds.ts";
import { resourceQuotaController } from "./resourcequota.ts";

const clusters: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
async function aCluster(): Promise<TestCluster> {
  const cluster = new TestCluster();
  clusters.push(cluster);
  await cluster.start(resourceQuotaController);
  return cluster;
}
const aQuota = (hard: Record<string, string>, spec: Partial<ResourceQuota["spec"]> = {}): ResourceQuota => ({ metadata: { name: "quota", namespace: "default" }, spec: { hard, ...spec } });
const aPod = (cluster: TestCluster, name: string, cpu: string, namespace = "default"): Promise<unknown> =>
  cluster.create<Pod>(POD, { metadata: { name, namespace }, spec: { containers: [{ name: "c", resources: { requests: { cpu } } }] } });
const used = async (cluster: TestCluster): Promise<Record<string, string> | undefined> => (await cluster.get<ResourceQuota>(RESOURCE_QUOTA, "quota")).status?.used;

describe("a ResourceQuota", () => {
  test("counts what is there when it comes, in its own namespace only", async () => {
    const cluster = await aCluster();
    await aPod(cluster, "a", "500m");
    await aPod(cluster, "b", "1");
    await aPod(cluster, "foreign", "1", "other");
    await cluster.create(CONFIG_MAP, { metadata: { name: "c", namespace: "default" } });
    await cluster.create(RESOURCE_QUOTA, aQuota({ pods: "10", "requests.cpu": "4", "count/configmaps": "5", services: "2" }));
    await becomes(() => used(cluster), { pods: "2", "requests.cpu": "1500m", "count/configmaps": "1", services: "0" });
    expect((await cluster.get<ResourceQuota>(RESOURCE_QUOTA, "quota")).status?.hard).toEqual({ pods: "10", "requests.cpu": "4", "count/configmaps": "5", services: "2" });
  });

  test("gets back what is deleted or finished", async () => {
    const cluster = await aCluster();
    for (const name of ["a", "b"]) await aPod(cluster, name, "1");
    await cluster.create(RESOURCE_QUOTA, aQuota({ pods: "10", "requests.cpu": "4" }));
    await becomes(() => used(cluster), { pods: "2", "requests.cpu": "2" });
    await cluster.change<Pod>(POD, "a", (pod) => { pod.status = { phase: "Succeeded" }; }, "status");
    await becomes(() => used(cluster), { pods: "1", "requests.cpu": "1" });
    await cluster.client.delete(POD, { namespace: "default", name: "b" });
    await becomes(() => used(cluster), { pods: "0", "requests.cpu": "0" });
  });

  test("does not give away what is booked for a write that is still on its way", async () => {
    const cluster = await aCluster();
    await aPod(cluster, "a", "1");
    await cluster.create(RESOURCE_QUOTA, aQuota({ pods: "3" }));
    await becomes(() => used(cluster), { pods: "1" });
    const book = (pods: string): Promise<unknown> => cluster.change<ResourceQuota>(RESOURCE_QUOTA, "quota", (quota) => { quota.status = { ...quota.status, used: { pods } }; }, "status");
    await book("2");
    await cluster.client.delete(POD, { namespace: "default", name: "a" });
    await consistently(async () => (await used(cluster))?.["pods"] === "2");
    await aPod(cluster, "late", "1");
    // And what is booked while that is waited for stays booked.
    await book("3");
    await Bun.sleep(600);
    expect(await used(cluster)).toEqual({ pods: "2" });
    await aPod(cluster, "later", "1");
    await Bun.sleep(700);
    expect(await used(cluster)).toEqual({ pods: "2" });
  });

  test("counts only what is in its scope, and anew when it changes", async () => {
    const cluster = await aCluster();
    await aPod(cluster, "normal", "1");
    await cluster.create<Pod>(POD, { metadata: { name: "best-effort", namespace: "default" }, spec: { containers: [{ name: "c" }] } });
    await cluster.create(RESOURCE_QUOTA, aQuota({ pods: "10" }, { scopes: ["BestEffort"] }));
    await becomes(() => used(cluster), { pods: "1" });
    await cluster.change<ResourceQuota>(RESOURCE_QUOTA, "quota", (quota) => { quota.spec = { hard: { pods: "10", "count/services": "1" } }; });
    await becomes(() => used(cluster), { pods: "2", "count/services": "0" });
  });

  test("is not written when nothing changed", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, { metadata: { name: "s", namespace: "default" }, spec: { type: "NodePort", ports: [{ port: 80 }] } } as never);
    await cluster.create(RESOURCE_QUOTA, aQuota({ services: "2", "services.nodeports": "1" }));
    await becomes(() => used(cluster), { services: "1", "services.nodeports": "1" });
    const { resourceVersion } = (await cluster.get(RESOURCE_QUOTA, "quota")).metadata;
    await cluster.crash();
    await cluster.start(resourceQuotaController);
    await consistently(async () => (await cluster.get(RESOURCE_QUOTA, "quota")).metadata.resourceVersion === resourceVersion);
  });
});

import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Pod, ResourceClaim, ResourceClaimTemplate, Stored } from "../../api/types.ts";
import { becomes, consistently, eventually, TestCluster } from "./cluster.suite.ts";
import { POD } from "./kinds.ts";
import { RESOURCE_CLAIM as CLAIM, RESOURCE_CLAIM_TEMPLATE as TEMPLATE, resourceClaimController } from "./resourceclaim.ts";

let cluster: TestCluster;
beforeEach(async () => {
  cluster = new TestCluster();
  await cluster.start(resourceClaimController);
});
afterEach(() => cluster.stop());

const spec = { devices: { requests: [{ name: "gpu", exactly: { deviceClassName: "gpu" } }] } };
const allocation = { devices: { results: [{ request: "gpu", driver: "d", pool: "p", device: "gpu-0" }] } };
const aTemplate = (): Promise<unknown> => cluster.create<ResourceClaimTemplate>(TEMPLATE, { metadata: { name: "t", namespace: "default" }, spec: { metadata: { labels: { a: "b" } }, spec } });
const aPod = (source: object, nodeName?: string): Promise<Stored<Pod>> => cluster.create<Pod>(POD, { metadata: { name: "p", namespace: "default" }, spec: { ...(nodeName && { nodeName }), containers: [], resourceClaims: [{ name: "gpu", ...source }] } });
const claims = (): Promise<Stored<ResourceClaim>[]> => cluster.list<ResourceClaim>(CLAIM);
const told = async (): Promise<unknown> => (await cluster.get<Pod>(POD, "p")).status?.resourceClaimStatuses;
const finish = (): Promise<unknown> => cluster.change<Pod>(POD, "p", (pod) => { pod.status = { ...pod.status, phase: "Succeeded" }; }, "status");

test("a pod gets a claim made from its template and is told its name; it goes when the pod is done", async () => {
  await aTemplate();
  await aPod({ resourceClaimTemplateName: "t" });
  await eventually(async () => (await told()) !== undefined);
  const [claim] = await claims();
  expect(await told()).toEqual([{ name: "gpu", resourceClaimName: claim?.metadata.name }]);
  expect(claim?.metadata).toMatchObject({ labels: { a: "b" }, annotations: { "resource.kubernetes.io/pod-claim-name": "gpu" }, ownerReferences: [{ kind: "Pod", name: "p", controller: true }] });
  expect(claim?.spec).toEqual(spec);
  await consistently(async () => (await claims()).length === 1);
  await finish();
  await becomes(async () => (await claims()).length, 0);
});

test("a pod whose template is missing says so and gets its claim as soon as there is one", async () => {
  await aPod({ resourceClaimTemplateName: "t" });
  await becomes(() => cluster.events[0], 'FailedResourceClaimCreation: PodResourceClaim gpu: resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found');
  await aTemplate();
  await becomes(async () => (await claims()).length, 1);
});

test("a claim is reserved for a pod that has a node, and free again when the pod is done", async () => {
  await cluster.create<ResourceClaim>(CLAIM, { metadata: { name: "shared", namespace: "default", finalizers: ["resource.kubernetes.io/delete-protection"] }, spec, status: { allocation } });
  const pod = await aPod({ resourceClaimName: "shared" }, "n1");
  const status = async (): Promise<unknown> => (await cluster.get<ResourceClaim>(CLAIM, "shared")).status;
  await becomes(status, { allocation, reservedFor: [{ resource: "pods", name: "p", uid: pod.metadata.uid }] });
  await finish();
  await becomes(status, {});
  await becomes(async () => (await cluster.get(CLAIM, "shared")).metadata.finalizers ?? [], []);
});

test("a claim in use that is deleted stays until nobody uses it", async () => {
  await cluster.create<ResourceClaim>(CLAIM, { metadata: { name: "shared", namespace: "default", finalizers: ["resource.kubernetes.io/delete-protection"] }, spec, status: { allocation } });
  await aPod({ resourceClaimName: "shared" }, "n1");
  await eventually(async () => ((await cluster.get<ResourceClaim>(CLAIM, "shared")).status?.reservedFor?.length ?? 0) === 1);
  await cluster.client.delete(CLAIM, { name: "shared", namespace: "default" });
  await consistently(async () => (await claims()).length === 1);
  await cluster.client.delete(POD, { name: "p", namespace: "default" }, { gracePeriodSeconds: 0 });
  await becomes(async () => (await claims()).length, 0);
});

import { afterEach, describe, expect, test } from "bun:test";
import type { Endpoints, EndpointSlice, Pod, Service, Stored } from "../../../api/types.ts";
import { becomes, consistently, eventually, readyStatus, TestCluster } from "../cluster.suite.ts";
import { ENDPOINT_SLICE, ENDPOINTS, NODE, POD, SERVICE } from "../kinds.ts";
import { endpointsController } from "./endpoints.ts";
import { endpointSliceController } from "./endpointslice.ts";

const clusters: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
async function aCluster(): Promise<TestCluster> {
  const cluster = new TestCluster();
  clusters.push(cluster);
  await cluster.create(NODE, { metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "a" } } });
  await cluster.start(endpointSliceController, endpointsController);
  return cluster;
}
const labels = { app: "web" };
const aService = (spec: Partial<Service["spec"]> = {}): Service => ({
  metadata: { name: "web", namespace: "default", labels: { team: "x" } },
  spec: { selector: labels, clusterIP: "10.96.0.10", ipFamilies: ["IPv4"], ports: [{ name: "http", port: 80, targetPort: 8080 as never, protocol: "TCP" }], ...spec },
});
let address = 1;
async function aPod(cluster: TestCluster, name: string, options: { ready?: boolean; spec?: Partial<Pod["spec"]>; labels?: Record<string, string>; ip?: string } = {}): Promise<Stored<Pod>> {
  const ip = options.ip ?? `10.244.0.${address++ % 250}`;
  const pod: Pod = { metadata: { name, namespace: "default", labels: options.labels ?? labels }, spec: { nodeName: "n1", containers: [], ...options.spec } };
  const status = { ...readyStatus(pod, 0), podIP: ip, podIPs: [{ ip }] };
  return cluster.create<Pod>(POD, { ...pod, status: options.ready === false ? { ...status, conditions: [] } : status });
}
const slicesOf = (cluster: TestCluster): Promise<Stored<EndpointSlice>[]> => cluster.list<EndpointSlice>(ENDPOINT_SLICE);
const podsIn = async (cluster: TestCluster, isReady?: boolean): Promise<string[]> =>
  (await slicesOf(cluster)).flatMap((slice) => slice.endpoints ?? []).filter((e) => isReady === undefined || e.conditions?.ready === isReady).map((e) => e.targetRef?.name ?? "").toSorted();
const subsetsOf = async (cluster: TestCluster): Promise<Endpoints["subsets"]> => (await cluster.list<Endpoints>(ENDPOINTS))[0]?.subsets;

describe("a Service with a selector", () => {
  test("has its pods in a slice and in Endpoints, with all a proxy needs to know", async () => {
    const cluster = await aCluster();
    const service = await cluster.create(SERVICE, aService());
    const pod = await aPod(cluster, "p1", { ip: "10.244.0.7" });
    await becomes(() => podsIn(cluster), ["p1"]);
    const [slice] = (await slicesOf(cluster)) as [Stored<EndpointSlice>];
    expect(slice.metadata.name).toMatch(/^web-.{5}$/);
    expect(slice.metadata.labels).toEqual({ team: "x", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" });
    expect(slice.metadata.ownerReferences).toEqual([{ apiVersion: "v1", kind: "Service", name: "web", uid: service.metadata.uid, controller: true, blockOwnerDeletion: true }]);
    expect(slice.ports).toEqual([{ name: "http", port: 8080, protocol: "TCP" }]);
    const targetRef = { kind: "Pod", namespace: "default", name: "p1", uid: pod.metadata.uid };
    expect(slice.endpoints).toEqual([{ addresses: ["10.244.0.7"], conditions: { ready: true, serving: true, terminating: false }, nodeName: "n1", zone: "a", targetRef }]);
    await becomes(() => subsetsOf(cluster), [{ addresses: [{ ip: "10.244.0.7", nodeName: "n1", targetRef }], ports: [{ name: "http", port: 8080, protocol: "TCP" }] }]);
  });

  test("shows a pod that is not ready as such, and follows it", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, aService());
    await aPod(cluster, "p1", { ready: false });
    await becomes(() => podsIn(cluster, false), ["p1"]);
    await becomes(async () => (await subsetsOf(cluster))?.[0]?.notReadyAddresses?.length, 1);
    await cluster.change<Pod>(POD, "p1", (pod) => { pod.status = { ...readyStatus(pod, 0), podIPs: pod.status?.podIPs }; }, "status");
    await becomes(() => podsIn(cluster, true), ["p1"]);
    await cluster.change<Pod>(POD, "p1", (pod) => { (pod.status as { phase: string }).phase = "Failed"; }, "status");
    await becomes(() => podsIn(cluster), []);
    await becomes(() => subsetsOf(cluster), []);
  });

  test("keeps a terminating pod as serving but not ready", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, aService());
    await aPod(cluster, "p1");
    await becomes(() => podsIn(cluster, true), ["p1"]);
    await cluster.client.delete(POD, { namespace: "default", name: "p1" });
    await eventually(async () => (await slicesOf(cluster))[0]?.endpoints?.[0]?.conditions?.terminating === true);
    expect((await slicesOf(cluster))[0]?.endpoints?.[0]?.conditions).toEqual({ ready: false, serving: true, terminating: true });
    await becomes(() => subsetsOf(cluster), []);
  });

  test("keeps an empty slice when nothing is behind it, and only that one", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, aService());
    await becomes(async () => (await slicesOf(cluster)).map((slice) => slice.endpoints), [[]]);
    await aPod(cluster, "p1");
    await becomes(async () => (await slicesOf(cluster)).map((slice) => slice.endpoints?.length), [1]);
    await cluster.client.delete(POD, { namespace: "default", name: "p1" }, { gracePeriodSeconds: 0 });
    await becomes(async () => (await slicesOf(cluster)).map((slice) => slice.endpoints?.length), [0]);
  });

  test("finds named ports pod by pod: other numbers make other slices", async () => {
    const cluster = await aCluster();
    const port = (containerPort: number): Partial<Pod["spec"]> => ({ containers: [{ name: "c", ports: [{ name: "web", containerPort, protocol: "TCP" }] }] });
    await aPod(cluster, "p1", { spec: port(8001) });
    await aPod(cluster, "p2", { spec: port(8002) });
    await cluster.create(SERVICE, aService({ ports: [{ name: "http", port: 80, targetPort: "web" as never, protocol: "TCP" }] }));
    await becomes(async () => (await slicesOf(cluster)).map((slice) => slice.ports?.[0]?.port).toSorted(), [8001, 8002]);
    await becomes(async () => (await subsetsOf(cluster))?.length, 2);
  });

  test("follows its own selector and its pods' labels", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, aService());
    await aPod(cluster, "p1");
    await aPod(cluster, "p2", { labels: { app: "other" } });
    await becomes(() => podsIn(cluster), ["p1"]);
    await cluster.change<Service>(SERVICE, "web", (service) => { (service.spec as { selector: object }).selector = { app: "other" }; });
    await becomes(() => podsIn(cluster), ["p2"]);
    await cluster.change<Pod>(POD, "p2", (pod) => { pod.metadata.labels = { app: "third" }; });
    await becomes(() => podsIn(cluster), []);
  });

  test("spreads 250 pods over slices of at most 100 and changes few of them for one pod", async () => {
    const cluster = await aCluster();
    for (let i = 0; i < 250; i++) await aPod(cluster, `p${i}`, { ip: `10.244.${i >> 7}.${(i % 128) + 1}` });
    await cluster.create(SERVICE, aService());
    await becomes(async () => (await slicesOf(cluster)).map((slice) => slice.endpoints?.length).toSorted(), [100, 100, 50]);
    const before = new Map((await slicesOf(cluster)).map((slice) => [slice.metadata.name, slice.metadata.resourceVersion]));
    await cluster.client.delete(POD, { namespace: "default", name: "p7" }, { gracePeriodSeconds: 0 });
    await aPod(cluster, "new", { ip: "10.244.9.9" });
    await eventually(async () => (await podsIn(cluster)).includes("new") && !(await podsIn(cluster)).includes("p7"));
    const changed = (await slicesOf(cluster)).filter((slice) => before.get(slice.metadata.name) !== slice.metadata.resourceVersion);
    expect(changed.length).toBeLessThanOrEqual(2);
    expect((await podsIn(cluster)).length).toBe(250);
  });

  test("never makes a slice twice, though its own writes reach it late", async () => {
    const cluster = await aCluster();
    cluster.client.intercept = async ({ verb, kind }) => {
      if (kind === ENDPOINT_SLICE && verb !== "watch") await Bun.sleep(3);
    };
    await cluster.create(SERVICE, aService());
    for (let i = 0; i < 30; i++) await aPod(cluster, `p${i}`);
    await becomes(async () => (await podsIn(cluster)).length, 30);
    await consistently(async () => (await slicesOf(cluster)).length === 1);
  });

  test("a pod on an unknown node waits for it without holding back the others", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, aService());
    await aPod(cluster, "p1");
    await aPod(cluster, "lost", { spec: { nodeName: "n2", containers: [] } });
    await becomes(() => podsIn(cluster), ["p1"]);
    await cluster.create(NODE, { metadata: { name: "n2" } });
    await becomes(() => podsIn(cluster), ["lost", "p1"]);
  });

  test("publishNotReadyAddresses and a headless name are honoured", async () => {
    const cluster = await aCluster();
    await aPod(cluster, "p1", { ready: false, spec: { hostname: "p1", subdomain: "web", containers: [] } });
    await cluster.create(SERVICE, aService({ clusterIP: "None", publishNotReadyAddresses: true, trafficDistribution: "PreferClose" }));
    await becomes(() => podsIn(cluster, true), ["p1"]);
    const [slice] = (await slicesOf(cluster)) as [Stored<EndpointSlice>];
    expect(slice.endpoints?.[0]).toMatchObject({ hostname: "p1", hints: { forZones: [{ name: "a" }] } });
    expect(slice.metadata.labels).toHaveProperty(["service.kubernetes.io/headless"], "");
    await becomes(async () => (await subsetsOf(cluster))?.[0]?.addresses?.[0]?.hostname, "p1");
  });

  test("both families get slices of their own", async () => {
    const cluster = await aCluster();
    const pod = await aPod(cluster, "p1");
    await cluster.change<Pod>(POD, "p1", (p) => { p.status = { ...pod.status, podIPs: [{ ip: "10.244.0.9" }, { ip: "fd00::9" }] }; }, "status");
    await cluster.create(SERVICE, aService({ ipFamilies: ["IPv4", "IPv6"] }));
    await becomes(async () => (await slicesOf(cluster)).map((slice) => [slice.addressType, slice.endpoints?.[0]?.addresses[0]]).toSorted(), [["IPv4", "10.244.0.9"], ["IPv6", "fd00::9"]]);
  });

  test("after a restart nothing is written that is right already; Endpoints of a service gone meanwhile go", async () => {
    const cluster = await aCluster();
    await cluster.create(SERVICE, aService());
    await aPod(cluster, "p1");
    await becomes(() => podsIn(cluster), ["p1"]);
    await eventually(async () => (await subsetsOf(cluster))?.length === 1);
    await cluster.crash();
    let writes = 0;
    cluster.client.intercept = ({ verb }) => {
      if (verb === "create" || verb === "update") writes++;
    };
    await cluster.start(endpointSliceController, endpointsController);
    await consistently(() => writes === 0);
    await cluster.crash();
    await cluster.client.delete(SERVICE, { namespace: "default", name: "web" });
    await cluster.start(endpointSliceController, endpointsController);
    await becomes(async () => (await cluster.list(ENDPOINTS)).length, 0);
  });
});

test("a Service without selector, or of type ExternalName, is left alone", async () => {
  const cluster = await aCluster();
  await cluster.create(SERVICE, aService({ selector: undefined }));
  await cluster.create(SERVICE, { ...aService({ type: "ExternalName" }), metadata: { name: "alias", namespace: "default" } });
  await aPod(cluster, "p1");
  await consistently(async () => (await slicesOf(cluster)).length === 0 && (await cluster.list(ENDPOINTS)).length === 0);
});

// The controllers that do one small thing each.
import { afterEach, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import type { ClusterRole, ConfigMap, Endpoints, EndpointSlice, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { bootstrapSignerController, tokenCleanerController } from "./bootstraptokens.ts";
import { becomes, consistently, eventually, readyStatus, TestCluster } from "./cluster.suite.ts";
import { clusterRoleAggregationController } from "./clusterroleaggregation.ts";
import { endpointSliceMirroringController } from "./endpoints/mirroring.ts";
import { CLUSTER_ROLE, CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, SECRET, SERVICE } from "./kinds.ts";
import { pvcProtectionController, pvProtectionController } from "./volumes/protection.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const clusters: TestCluster[] = [];
let clock = new FakeClock(NOW);
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  clock = new FakeClock(NOW);
});
async function aCluster(...controllers: Parameters<TestCluster["start"]>): Promise<TestCluster> {
  const cluster = new TestCluster({ clock });
  clusters.push(cluster);
  await cluster.start(...controllers);
  return cluster;
}
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const aToken = (cluster: TestCluster, id: string, extra: Record<string, string> = {}): Promise<unknown> =>
  cluster.create<Secret>(SECRET, { metadata: { name: `bootstrap-token-${id}`, namespace: "kube-system" }, type: "bootstrap.kubernetes.io/token", data: Object.fromEntries(Object.entries({ "token-id": id, "token-secret": "s3cret", "usage-bootstrap-signing": "true", ...extra }).map(([key, value]) => [key, base64(value)])) });

describe("bootstrap tokens", () => {
  test("go when their time is up; those without one stay", async () => {
    const cluster = await aCluster(tokenCleanerController);
    await aToken(cluster, "forever");
    await aToken(cluster, "soon", { expiration: "2026-03-01T13:00:00Z" });
    await aToken(cluster, "past", { expiration: "2026-03-01T11:00:00Z" });
    const names = async (): Promise<string[]> => (await cluster.list(SECRET)).map((secret) => secret.metadata.name).toSorted();
    await becomes(names, ["bootstrap-token-forever", "bootstrap-token-soon"]);
    await clock.advance(3_600_000);
    await becomes(names, ["bootstrap-token-forever"]);
  });

  test("sign the cluster's public description, each with its own key, and take the signature along when they go", async () => {
    const cluster = await aCluster(bootstrapSignerController);
    await cluster.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "cluster-info", namespace: "kube-public" }, data: { kubeconfig: "content" } });
    await aToken(cluster, "abcdef");
    await aToken(cluster, "nosign", { "usage-bootstrap-signing": "false" });
    const data = async (): Promise<Record<string, string> | undefined> => (await cluster.get<ConfigMap>(CONFIG_MAP, "cluster-info", "kube-public")).data;
    await eventually(async () => (await data())?.["jws-kubeconfig-abcdef"] !== undefined);
    const [header, , signature] = ((await data())?.["jws-kubeconfig-abcdef"] ?? "").split(".");
    expect(JSON.parse(Buffer.from(header as string, "base64url").toString())).toEqual({ alg: "HS256", kid: "abcdef" });
    expect(signature).toBe(createHmac("sha256", "s3cret").update(`${header}.${Buffer.from("content").toString("base64url")}`).digest("base64url"));
    expect(Object.keys((await data()) ?? {})).toHaveLength(2);
    await cluster.client.delete(SECRET, { namespace: "kube-system", name: "bootstrap-token-abcdef" });
    await becomes(data, { kubeconfig: "content" });
  });
});

test("an aggregating ClusterRole has the rules of all it selects, and follows them", async () => {
  const cluster = await aCluster(clusterRoleAggregationController);
  const rule = (resource: string) => ({ apiGroups: [""], resources: [resource], verbs: ["get"] });
  const aRole = (name: string, extra: Partial<ClusterRole>, labels = {}): Promise<unknown> => cluster.create<ClusterRole>(CLUSTER_ROLE, { metadata: { name, labels }, ...extra });
  await aRole("sum", { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { to: "sum" } }] } });
  await aRole("b", { rules: [rule("pods")] }, { to: "sum" });
  await aRole("a", { rules: [rule("services"), rule("pods")] }, { to: "sum" });
  await aRole("other", { rules: [rule("secrets")] });
  const rules = async (): Promise<unknown> => (await cluster.get<ClusterRole>(CLUSTER_ROLE, "sum")).rules;
  await becomes(rules, [rule("services"), rule("pods")]);
  await cluster.client.delete(CLUSTER_ROLE, { name: "a" });
  await becomes(rules, [rule("pods")]);
});

describe("hand-written Endpoints", () => {
  const service: Service = { metadata: { name: "db", namespace: "default" }, spec: { ports: [{ port: 5432 }] } };
  const endpoints = (...ips: string[]): Endpoints => ({ metadata: { name: "db", namespace: "default", labels: { x: "y" } }, subsets: [{ addresses: ips.map((ip) => ({ ip })), notReadyAddresses: [{ ip: "10.0.0.9" }], ports: [{ port: 5432, protocol: "TCP" }] }] });
  const slices = (cluster: TestCluster) => cluster.list<EndpointSlice>(ENDPOINT_SLICE);

  test("of a service without selector are mirrored, by family, and follow", async () => {
    const cluster = await aCluster(endpointSliceMirroringController);
    await cluster.create(SERVICE, service);
    await cluster.create(ENDPOINTS, endpoints("10.0.0.1", "fd00::1"));
    await becomes(async () => (await slices(cluster)).map((slice) => [slice.addressType, slice.endpoints?.map((e) => [e.addresses[0], e.conditions?.ready])]).toSorted(), [
      ["IPv4", [["10.0.0.1", true], ["10.0.0.9", false]]], ["IPv6", [["fd00::1", true]]],
    ]);
    const [slice] = await slices(cluster);
    expect(slice?.metadata.labels).toEqual({ x: "y", "kubernetes.io/service-name": "db", "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io" });
    expect(slice?.ports).toEqual([{ name: "", port: 5432, protocol: "TCP" }]);
    await cluster.change<Endpoints>(ENDPOINTS, "db", (e) => { e.subsets = endpoints("10.0.0.2").subsets; });
    await becomes(async () => (await slices(cluster)).map((s) => s.endpoints?.map((e) => e.addresses[0])), [["10.0.0.2", "10.0.0.9"]]);
    await cluster.client.delete(SERVICE, { namespace: "default", name: "db" });
    await becomes(() => slices(cluster), []);
  });

  test("are left alone where the service has a selector or they ask for it", async () => {
    const cluster = await aCluster(endpointSliceMirroringController);
    await cluster.create(SERVICE, { ...service, spec: { ...service.spec, selector: { a: "b" } } });
    await cluster.create(ENDPOINTS, endpoints("10.0.0.1"));
    await cluster.create(SERVICE, { ...service, metadata: { name: "skipped", namespace: "default" } });
    await cluster.create(ENDPOINTS, { ...endpoints("10.0.0.1"), metadata: { name: "skipped", namespace: "default", labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } } });
    await consistently(async () => (await slices(cluster)).length === 0);
  });
});

describe("volume protection", () => {
  test("a claim in use stays until its last pod is done", async () => {
    const cluster = await aCluster(pvcProtectionController);
    await cluster.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { metadata: { name: "data", namespace: "default" } });
    await becomes(async () => (await cluster.get(PERSISTENT_VOLUME_CLAIM, "data")).metadata.finalizers, ["kubernetes.io/pvc-protection"]);
    const pod: Pod = { metadata: { name: "p", namespace: "default" }, spec: { nodeName: "n", containers: [], volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] } };
    await cluster.create<Pod>(POD, { ...pod, status: readyStatus(pod, NOW) });
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIM, { namespace: "default", name: "data" });
    await consistently(async () => (await cluster.list(PERSISTENT_VOLUME_CLAIM)).length === 1);
    await cluster.change<Pod>(POD, "p", (p) => { (p.status as { phase: string }).phase = "Succeeded"; }, "status");
    await becomes(async () => (await cluster.list(PERSISTENT_VOLUME_CLAIM)).length, 0);
  });

  test("a bound volume stays until it is released", async () => {
    const cluster = await aCluster(pvProtectionController);
    await cluster.create<PersistentVolume>(PERSISTENT_VOLUME, { metadata: { name: "pv" }, status: { phase: "Bound" } });
    await becomes(async () => (await cluster.get(PERSISTENT_VOLUME, "pv")).metadata.finalizers, ["kubernetes.io/pv-protection"]);
    await cluster.client.delete(PERSISTENT_VOLUME, { name: "pv" });
    await consistently(async () => (await cluster.list(PERSISTENT_VOLUME)).length === 1);
    await cluster.change<PersistentVolume>(PERSISTENT_VOLUME, "pv", (pv) => { pv.status = { phase: "Released" }; }, "status");
    await becomes(async () => (await cluster.list(PERSISTENT_VOLUME)).length, 0);
  });
});

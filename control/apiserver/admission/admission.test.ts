import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, Namespace, Pod, Stored } from "../../../api/types.ts";
import { ensureBootstrap } from "../bootstrap.ts";
import { aPod, create, POD, refusal, startKindServer } from "../kinds/testing.ts";
import { mastersOnly, type TestServer } from "../testing.ts";
import { createAdmission } from "./index.ts";

const NAMESPACE = builtinKind("", "v1", "Namespace");
const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const NODE = builtinKind("", "v1", "Node");
let server: TestServer;

beforeEach(async () => {
  server = await startKindServer({ admission: createAdmission({ authorizer: mastersOnly }) });
  await ensureBootstrap(server.client, { apiServiceIp: "10.96.0.1", serviceCidrs: ["10.96.0.0/16"], advertiseAddress: "192.0.2.1", port: 6443 });
  await create(server, ["", "v1", "ServiceAccount"], { metadata: { name: "default" } });
});
afterEach(() => server.stop());
const createPod = (spec: Parameters<typeof aPod>[0] = {}, name = "p"): Promise<Stored<Pod>> => server.client.create(POD, aPod(spec, { name }));

describe("a fresh cluster", () => {
  test("contains what upstream's does, however often it is asked", async () => {
    await ensureBootstrap(server.client, { apiServiceIp: "10.96.0.1", serviceCidrs: ["10.96.0.0/16"], advertiseAddress: "192.0.2.2", port: 6443 });
    const names = async (...kind: Parameters<typeof builtinKind>): Promise<string[]> => (await server.client.list(builtinKind(...kind))).items.map(({ metadata }) => metadata.name);
    expect(await names("", "v1", "Namespace")).toEqual(["default", "kube-node-lease", "kube-public", "kube-system"]);
    expect(await names("scheduling.k8s.io", "v1", "PriorityClass")).toEqual(["system-cluster-critical", "system-node-critical"]);
    const service = await server.client.get<AnyObject>(builtinKind("", "v1", "Service"), { name: "kubernetes", namespace: "default" });
    expect(service["spec"]).toMatchObject({ clusterIP: "10.96.0.1", ports: [{ name: "https", port: 443, targetPort: 6443, protocol: "TCP" }] });
    const endpoints = await server.client.get<AnyObject>(builtinKind("", "v1", "Endpoints"), { name: "kubernetes", namespace: "default" });
    expect(endpoints["subsets"]).toEqual([{ addresses: [{ ip: "192.0.2.2" }], ports: [{ name: "https", port: 6443, protocol: "TCP" }] }]);
  });
});

describe("NamespaceLifecycle", () => {
  test("nothing is created where there is no namespace, or none for long", async () => {
    expect(await refusal(server.client.create(POD, aPod({}, { namespace: "nowhere" })))).toBe('namespaces "nowhere" not found');
    await create(server, ["", "v1", "Namespace"], { metadata: { name: "going" } });
    await server.client.delete(NAMESPACE, { name: "going" });
    expect((await server.client.get<Namespace>(NAMESPACE, { name: "going" })).status?.phase).toBe("Terminating");
    expect(await refusal(server.client.create(POD, aPod({}, { namespace: "going" })))).toBe('pods "p" is forbidden: unable to create new content in namespace going because it is being terminated');
  });

  test("the first namespaces stay for ever", async () => {
    expect(await refusal(server.client.delete(NAMESPACE, { name: "kube-system" }))).toBe('namespaces "kube-system" is forbidden: this namespace may not be deleted');
  });
});

describe("a pod", () => {
  test("gets its account's token, a priority and patience with nodes", async () => {
    const { spec } = await createPod();
    const name = spec?.volumes?.[0]?.name as string;
    expect(name).toMatch(/^kube-api-access-[a-z0-9]{5}$/);
    expect(spec?.volumes?.[0]?.projected?.sources?.map((source) => Object.keys(source)[0])).toEqual(["serviceAccountToken", "configMap", "downwardAPI"]);
    expect(spec?.containers[0]?.volumeMounts).toEqual([{ name, readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }]);
    expect(spec).toMatchObject({ serviceAccountName: "default", serviceAccount: "default", priority: 0, preemptionPolicy: "PreemptLowerPriority" });
    expect(spec?.tolerations).toEqual([
      { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
      { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
    ]);
  });

  test("that wants no token gets none", async () => {
    expect((await createPod({ automountServiceAccountToken: false })).spec?.volumes).toBeUndefined();
  });

  test("inherits its account's pull secrets", async () => {
    await create(server, ["", "v1", "ServiceAccount"], { metadata: { name: "puller" }, imagePullSecrets: [{ name: "registry" }] } as AnyObject);
    expect((await createPod({ serviceAccountName: "puller" })).spec?.imagePullSecrets).toEqual([{ name: "registry" }]);
  });

  test.each<[string, Parameters<typeof aPod>[0], string]>([
    ["an account that is not there", { serviceAccountName: "ghost" }, 'pods "p" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found'],
    ["a priority class that is not there", { priorityClassName: "ghost" }, 'pods "p" is forbidden: no PriorityClass with name ghost was found'],
    ["a priority of its own", { priority: 7 }, 'pods "p" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name'],
    ["a runtime class that is not there", { runtimeClassName: "ghost" }, 'pods "p" is forbidden: pod rejected: RuntimeClass "ghost" not found'],
  ])("with %s is refused", async (_what, spec, message) => expect(await refusal(createPod(spec))).toBe(message));

  test("takes the number of its priority class, or of the default one", async () => {
    expect((await createPod({ priorityClassName: "system-node-critical" })).spec?.priority).toBe(2_000_001_000);
    await create(server, ["scheduling.k8s.io", "v1", "PriorityClass"], { metadata: { name: "usual" }, value: 5, globalDefault: true } as AnyObject);
    expect((await createPod({}, "q")).spec).toMatchObject({ priority: 5, priorityClassName: "usual" });
    expect(await refusal(create(server, ["scheduling.k8s.io", "v1", "PriorityClass"], { metadata: { name: "other" }, value: 6, globalDefault: true } as AnyObject))).toContain("PriorityClass usual is already marked as default. Only one default can exist");
  });
});

describe("LimitRanger", () => {
  const limit = (item: object): Promise<unknown> => create(server, ["", "v1", "LimitRange"], { metadata: { name: "l" }, spec: { limits: [item] } } as AnyObject);

  test("fills in what a container leaves out, and says so", async () => {
    await limit({ type: "Container", default: { cpu: "2" }, defaultRequest: { cpu: "1" } });
    const { spec, metadata } = await createPod();
    expect(spec?.containers[0]?.resources).toEqual({ limits: { cpu: "2" }, requests: { cpu: "1" } });
    expect(metadata.annotations).toEqual({ "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c" });
  });

  test("refuses what is too much", async () => {
    await limit({ type: "Container", max: { cpu: "1" } });
    expect(await refusal(createPod({ containers: [{ name: "c", image: "i", resources: { limits: { cpu: "3" } } }] }))).toBe('pods "p" is forbidden: [maximum cpu usage per Container is 1, but limit is 3]'.replace("[", "").replace("]", ""));
  });
});

describe("a node", () => {
  const asNode = (name: string) => server.server.localClient({ name: `system:node:${name}`, groups: ["system:nodes", "system:authenticated"] });

  test("waits until it is ready", async () => {
    const node = await create(server, ["", "v1", "Node"], { metadata: { name: "n" }, status: { capacity: { cpu: "2" } } } as AnyObject);
    expect(node["spec"].taints).toEqual([{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }]);
    expect(node["status"]).toMatchObject({ capacity: { cpu: "2" }, allocatable: { cpu: "2" } });
  });

  test("writes only about itself", async () => {
    const me = asNode("n1");
    await me.create(NODE, { metadata: { name: "n1", labels: { "kubernetes.io/hostname": "n1" } } });
    expect(await refusal(me.create(NODE, { metadata: { name: "n2" } }))).toBe('nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"');
    const mine = await me.get(NODE, { name: "n1" });
    expect(await refusal(me.update(NODE, { ...mine, metadata: { ...mine.metadata, labels: { "node-restriction.kubernetes.io/x": "y" } } }))).toContain("is not allowed to modify labels: node-restriction.kubernetes.io/x");
    await me.create(LEASE, { metadata: { name: "n1", namespace: "kube-node-lease" } });
    expect(await refusal(me.create(LEASE, { metadata: { name: "n2", namespace: "kube-node-lease" } }))).toContain("can only access node lease with the same name as the requesting node");
    await createPod({ nodeName: "other" });
    expect(await refusal(me.delete(POD, { name: "p", namespace: "default" }))).toBe('pods "p" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself');
  });
});

test("volumes and claims are protected while they are used", async () => {
  const claim = await create(server, ["", "v1", "PersistentVolumeClaim"], { metadata: { name: "c" }, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } } as AnyObject);
  expect(claim.metadata.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
  expect(claim["status"]).toEqual({ phase: "Pending" });
});

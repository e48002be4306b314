// All controllers together on the real API server, with its schema, defaults and validation; only the nodes are pretended.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Client } from "../../api/client/client.ts";
import { createInformers } from "../../api/client/informers.ts";
import { BackgroundEventRecorder } from "../../api/client/recorder.ts";
import { builtinKind, KindRegistry } from "../../api/registry.ts";
import { SchemaCodec } from "../../api/schema/codec.ts";
import { SchemaEngine } from "../../api/schema/engine.ts";
import type { ConfigMap, DaemonSet, Deployment, Endpoints, EndpointSlice, Event, Job, KubeObject, Node, Pod, ReplicaSet, ResourceQuota, Service, ServiceAccount, StatefulSet, Stored } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { ApiError, forbidden } from "../../api/errors.ts";
import type { AdmissionPlugin } from "../apiserver/admission/plugin.ts";
import { startKindServer } from "../apiserver/kinds/testing.ts";
import type { TestServer } from "../apiserver/testing.ts";
import { becomes, eventually, pretendKubelet } from "./cluster.suite.ts";
import type { ControllerDeps } from "./controller.ts";
import { ControllerFigures } from "./figures.ts";
import { createControllers, runControllers } from "./index.ts";
import { CONFIG_MAP, DAEMON_SET, DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, JOB, NAMESPACE, NODE, POD, REPLICA_SET, RESOURCE_QUOTA, SERVICE, SERVICE_ACCOUNT, STATEFUL_SET } from "./kinds.ts";

let server: TestServer;
let client: Client;
const stop = new AbortController();
let running: Promise<void>;

beforeAll(async () => {
  const kinds = new KindRegistry();
  server = await startKindServer({ kinds, codec: new SchemaCodec(new SchemaEngine()), admission: [nothingNewInTerminating] });
  client = server.client;
  const deps: ControllerDeps = {
    informers: createInformers(client), clientFor: () => client, clock: systemClock, kinds, figures: new ControllerFigures(),
    recorderFor: (component) => new BackgroundEventRecorder({ client, component }),
    settings: { clusterCaPem: "CA", clusterCidrs: ["10.244.0.0/16"] },
  };
  running = runControllers(deps, createControllers(deps), stop.signal);
  await client.create(NODE, { metadata: { name: "n1" }, status: { conditions: [{ type: "Ready", status: "True" }] } } as Node);
  void pretendKubelet(client, stop.signal);
});
afterAll(async () => {
  stop.abort();
  await running;
  await server.stop();
});

/** What the API server's NamespaceLifecycle does. */
const nothingNewInTerminating: AdmissionPlugin = {
  name: "NamespaceLifecycle",
  handles: ({ operation, namespace }) => operation === "CREATE" && namespace !== "",
  validate: async ({ kind, name, namespace }, client) => {
    const { items } = await client.list(NAMESPACE, { fieldSelector: `metadata.name=${namespace}` });
    if (!items[0]?.metadata.deletionTimestamp) return;
    const { code, reason, message, details } = forbidden(kind, name, `unable to create new content in namespace ${namespace} because it is being terminated`);
    throw new ApiError(code, reason, message, { ...details, causes: [{ reason: "NamespaceTerminating" }] });
  },
};
const labels = { app: "web" };
const list = async <T extends KubeObject>(kind: Parameters<typeof builtinKind> | typeof POD, namespace: string): Promise<Stored<T>[]> =>
  (await client.list<T>(Array.isArray(kind) ? builtinKind(...(kind as Parameters<typeof builtinKind>)) : (kind as typeof POD), { namespace })).items;
const aDeployment = (namespace: string, image = "nginx:1"): Deployment => ({
  metadata: { name: "web", namespace },
  spec: { replicas: 3, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { nodeName: "n1", containers: [{ name: "c", image, ports: [{ containerPort: 80 }] }] } } },
});

describe("all controllers on the API server", () => {
  test("a namespace is furnished, a deployment runs, its service finds it, and all goes with the namespace", async () => {
    await client.create(NAMESPACE, { metadata: { name: "team" } });
    await becomes(async () => (await list<ServiceAccount>(SERVICE_ACCOUNT, "team")).map((o) => o.metadata.name), ["default"]);
    await becomes(async () => (await list<ConfigMap>(CONFIG_MAP, "team")).map((o) => o.metadata.name), ["kube-root-ca.crt"]);
    await client.create<Deployment>(DEPLOYMENT, aDeployment("team"));
    await client.create<Service>(SERVICE, { metadata: { name: "web", namespace: "team" }, spec: { selector: labels, ports: [{ port: 80 }] } });
    const available = async (): Promise<number | undefined> => (await client.get<Deployment>(DEPLOYMENT, { namespace: "team", name: "web" })).status?.availableReplicas;
    await becomes(available, 3);
    await becomes(async () => (await list<EndpointSlice>(ENDPOINT_SLICE, "team")).flatMap((slice) => slice.endpoints ?? []).filter((e) => e.conditions?.ready).length, 3);
    await becomes(async () => (await list<Endpoints>(ENDPOINTS, "team"))[0]?.subsets?.[0]?.addresses?.length, 3);
    await client.delete(NAMESPACE, { name: "team" });
    await eventually(async () => !(await client.list(NAMESPACE)).items.some((o) => o.metadata.name === "team"), "the namespace being gone");
    expect(await list<Pod>(POD, "team")).toEqual([]);
  });

  test("a rollout and its undoing leave two sets, the revisions and the events kubectl reads", async () => {
    await client.create(NAMESPACE, { metadata: { name: "roll" } });
    const at = { namespace: "roll", name: "web" };
    await client.create<Deployment>(DEPLOYMENT, aDeployment("roll"));
    const isDone = async (image: string): Promise<boolean> => {
      const d = await client.get<Deployment>(DEPLOYMENT, at);
      return d.spec?.template?.spec?.containers[0]?.image === image && d.status?.observedGeneration === d.metadata.generation && d.status?.updatedReplicas === 3 && d.status?.replicas === 3 && d.status?.availableReplicas === 3;
    };
    await eventually(() => isDone("nginx:1"));
    const setImage = (image: string): Promise<unknown> => client.patch(DEPLOYMENT, at, { spec: { template: { spec: { containers: [{ name: "c", image }] } } } }, { type: "strategic" });
    await setImage("nginx:2");
    await eventually(() => isDone("nginx:2"));
    await setImage("nginx:1");
    await eventually(() => isDone("nginx:1"));
    const sets = await list<ReplicaSet>(REPLICA_SET, "roll");
    expect(sets.map((set) => set.metadata.annotations?.["deployment.kubernetes.io/revision"]).toSorted()).toEqual(["2", "3"]);
    expect((await client.get<Deployment>(DEPLOYMENT, at)).metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("3");
    await eventually(async () => (await list<Event>(["", "v1", "Event"], "roll")).some((event) => /^Scaled up replica set web-\w+ from 0 to 3$/.test(event.message ?? "")));
  });

  test("deleting a deployment takes its sets and pods along, in the foreground too", async () => {
    for (const propagationPolicy of ["Background", "Foreground"] as const) {
      const namespace = propagationPolicy.toLowerCase();
      await client.create(NAMESPACE, { metadata: { name: namespace } });
      await client.create<Deployment>(DEPLOYMENT, aDeployment(namespace));
      await eventually(async () => (await list<Pod>(POD, namespace)).length === 3);
      await client.delete(DEPLOYMENT, { namespace, name: "web" }, { propagationPolicy });
      await becomes(async () => (await list<Pod>(POD, namespace)).length, 0);
      await becomes(async () => (await list<Deployment>(DEPLOYMENT, namespace)).length, 0);
    }
  });

  test("a node gets its range of addresses", async () => {
    await becomes(async () => (await client.get<Node>(NODE, { name: "n1" })).spec?.podCIDR, "10.244.0.0/24");
  });

  test("stateful sets, daemon sets, jobs and quotas do their work under the API's own rules", async () => {
    const namespace = "work";
    await client.create(NAMESPACE, { metadata: { name: namespace } });
    const template = { metadata: { labels }, spec: { nodeName: "n1", containers: [{ name: "c", image: "i", resources: { requests: { cpu: "100m" } } }] } };
    await client.create<ResourceQuota>(RESOURCE_QUOTA, { metadata: { name: "q", namespace }, spec: { hard: { pods: "20", "requests.cpu": "2" } } });
    await client.create<StatefulSet>(STATEFUL_SET, { metadata: { name: "db", namespace }, spec: { replicas: 2, serviceName: "db", selector: { matchLabels: labels }, template } });
    await becomes(async () => (await client.get<StatefulSet>(STATEFUL_SET, { namespace, name: "db" })).status?.readyReplicas, 2);
    await client.create<DaemonSet>(DAEMON_SET, { metadata: { name: "agent", namespace }, spec: { selector: { matchLabels: { ds: "x" } }, template: { ...template, metadata: { labels: { ds: "x" } } } } });
    await becomes(async () => (await client.get<DaemonSet>(DAEMON_SET, { namespace, name: "agent" })).status?.numberAvailable, 1);
    await client.create<Job>(JOB, { metadata: { name: "once", namespace }, spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } });
    await becomes(async () => (await client.get<Job>(JOB, { namespace, name: "once" })).status?.active, 1);
    await becomes(async () => (await client.get<ResourceQuota>(RESOURCE_QUOTA, { namespace, name: "q" })).status?.hard, { pods: "20", "requests.cpu": "2" });
    const job = (await list<Pod>(POD, namespace)).find((pod) => pod.metadata.name.startsWith("once-")) as Stored<Pod>;
    await client.patch(POD, { namespace, name: job.metadata.name }, { status: { phase: "Succeeded" } }, { type: "merge", subresource: "status" });
    await eventually(async () => (await client.get<Job>(JOB, { namespace, name: "once" })).status?.conditions?.some(({ type }) => type === "Complete") ?? false);
    await client.patch(STATEFUL_SET, { namespace, name: "db" }, { spec: { template: { spec: { containers: [{ name: "c", image: "j" }] } } } }, { type: "strategic" });
    await eventually(async () => {
      const { status } = await client.get<StatefulSet>(STATEFUL_SET, { namespace, name: "db" });
      return status?.currentRevision === status?.updateRevision && status?.updatedReplicas === 2 && status?.readyReplicas === 2;
    });
    await client.delete(NAMESPACE, { name: namespace });
    await eventually(async () => !(await client.list(NAMESPACE)).items.some((o) => o.metadata.name === namespace), "the namespace being gone");
  });

  test("at rest nothing is written", async () => {
    const revision = async (): Promise<string | undefined> => (await client.list(CONFIG_MAP)).metadata.resourceVersion;
    await eventually(async () => {
      const before = await revision();
      await Bun.sleep(300);
      return (await revision()) === before;
    }, "rest");
  });
});

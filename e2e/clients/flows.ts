// The flows every client of a cluster runs, with the unchanged JavaScript client; prints one line for each that held.
// Needs a kubeconfig with a bearer token, a node, and the sample's image: `bun e2e/clients/flows.ts KUBECONFIG`.
import { PassThrough } from "node:stream";
import { AppsV1Api, CoreV1Api, Exec, KubeConfig, KubernetesObjectApi, Log, makeInformer, PatchStrategy, PortForward, setHeaderOptions, Watch, type V1ConfigMap, type V1Status } from "@kubernetes/client-node";

const NAMESPACE = "flows-js";
const FLOW_MS = 120_000;
const WAIT_MS = 90_000;
const config = new KubeConfig();
config.loadFromFile(process.argv[2] as string);
const core = config.makeApiClient(CoreV1Api);
const apps = config.makeApiClient(AppsV1Api);
const objects = KubernetesObjectApi.makeApiClient(config);
const inPlace = { namespace: NAMESPACE };

const aMap = (name: string, data: Record<string, string>): V1ConfigMap => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: NAMESPACE }, data });

function expectEqual(what: string, seen: unknown, wanted: unknown): void {
  if (JSON.stringify(seen) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(seen)} instead of ${JSON.stringify(wanted)}`);
}

async function until(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  for (; Date.now() < deadline; await Bun.sleep(100)) if (await probe()) return;
  throw new Error(`${what}: not within ${WAIT_MS / 1000} s`);
}

const apply = (manager: string, value: string, force = false): Promise<V1ConfigMap> => objects.patch<V1ConfigMap>(aMap("applied", { key: value }), undefined, undefined, manager, force, PatchStrategy.ServerSideApply);

const FLOWS: Readonly<Record<string, () => Promise<void>>> = {
  async list() {
    for (const name of ["a", "b", "c"]) await core.createNamespacedConfigMap({ ...inPlace, body: { metadata: { name, labels: { flow: "list" } } } });
    const first = await core.listNamespacedConfigMap({ ...inPlace, labelSelector: "flow=list", limit: 2 });
    // Both names are the client's.
    // oxlint-disable-next-line no-underscore-dangle
    const second = await core.listNamespacedConfigMap({ ...inPlace, labelSelector: "flow=list", limit: 2, _continue: first.metadata?._continue as string });
    expectEqual("names", [...first.items, ...second.items].map(({ metadata }) => metadata?.name), ["a", "b", "c"]);
  },

  async watch() {
    const seen: string[] = [];
    const { metadata } = await core.listNamespacedConfigMap(inPlace);
    const watching = await new Watch(config).watch(`/api/v1/namespaces/${NAMESPACE}/configmaps`, { resourceVersion: metadata?.resourceVersion as string, allowWatchBookmarks: true }, (type: string, object: V1ConfigMap) => void (type !== "BOOKMARK" && seen.push(`${type} ${object.metadata?.name}`)), () => {});
    await core.createNamespacedConfigMap({ ...inPlace, body: aMap("watched", {}) });
    await core.replaceNamespacedConfigMap({ ...inPlace, name: "watched", body: aMap("watched", { a: "1" }) });
    await core.deleteNamespacedConfigMap({ ...inPlace, name: "watched" });
    await until("three events", () => seen.length === 3);
    watching.abort();
    expectEqual("events", seen, ["ADDED watched", "MODIFIED watched", "DELETED watched"]);
  },

  async informer() {
    const informer = makeInformer<V1ConfigMap>(config, `/api/v1/namespaces/${NAMESPACE}/configmaps`, () => core.listNamespacedConfigMap({ ...inPlace, labelSelector: "flow=list" }), "flow=list");
    const seen: string[] = [];
    for (const verb of ["add", "update", "delete"] as const) informer.on(verb, ({ metadata }) => void seen.push(`${verb} ${metadata?.name}`));
    await informer.start();
    await until("the list", () => informer.list(NAMESPACE)?.length === 3);
    await core.deleteNamespacedConfigMap({ ...inPlace, name: "c" });
    await until("the deletion", () => seen.includes("delete c") && informer.get("c", NAMESPACE) === undefined);
    await informer.stop();
  },

  async patch() {
    await apps.createNamespacedDeployment({ ...inPlace, body: { metadata: { name: "patched" }, spec: { replicas: 0, selector: { matchLabels: { app: "p" } }, template: { metadata: { labels: { app: "p" } }, spec: { containers: [{ name: "one", image: "x" }] } } } } });
    const patched = (type: PatchStrategy, body: unknown): Promise<unknown> => apps.patchNamespacedDeployment({ ...inPlace, name: "patched", body }, setHeaderOptions("Content-Type", type));
    await patched(PatchStrategy.JsonPatch, [{ op: "add", path: "/metadata/labels", value: { json: "yes" } }]);
    await patched(PatchStrategy.MergePatch, { metadata: { labels: { merge: "yes" } } });
    await patched(PatchStrategy.StrategicMergePatch, { spec: { template: { spec: { containers: [{ name: "two", image: "y" }] } } } });
    const { metadata, spec } = await apps.readNamespacedDeployment({ ...inPlace, name: "patched" });
    expectEqual("labels", metadata?.labels, { json: "yes", merge: "yes" });
    expectEqual("containers", spec?.template.spec?.containers.map(({ name }) => name).toSorted(), ["one", "two"]);
  },

  async apply() {
    await apply("one", "1");
    const refused = await apply("two", "2").catch((error: { code?: number }) => error.code);
    expectEqual("the conflict", refused, 409);
    const forced = await apply("two", "2", true);
    expectEqual("data", forced.data, { key: "2" });
    expectEqual("managers", forced.metadata?.managedFields?.map(({ manager }) => manager), ["two"]);
  },

  async pod() {
    await core.createNamespacedPod({ ...inPlace, body: { metadata: { name: "shell" }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "web", image: "minik8s/hello:1", ports: [{ containerPort: 8080 }], readinessProbe: { httpGet: { port: 8080 }, periodSeconds: 1 } }] } } });
    await until("the pod to answer", async () => (await core.readNamespacedPod({ ...inPlace, name: "shell" })).status?.containerStatuses?.[0]?.ready === true);
  },

  async exec() {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const said = { stdout: "", stderr: "" };
    stdout.on("data", (chunk: Buffer) => void (said.stdout += chunk.toString()));
    stderr.on("data", (chunk: Buffer) => void (said.stderr += chunk.toString()));
    let status: V1Status | undefined;
    await new Exec(config).exec(NAMESPACE, "shell", "web", ["sh", "-c", "read line; echo out $line; echo err >&2; exit 3"], stdout, stderr, stdin, false, (told) => void (status = told));
    stdin.write("in\n");
    await until("the exit code", () => status !== undefined);
    expectEqual("output", said, { stdout: "out in\n", stderr: "err\n" });
    expectEqual("the exit code", status?.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message, "3");
  },

  async log() {
    await new Promise<void>((resolve, reject) => {
      const done = (status: V1Status): void => (status.status === "Success" ? resolve() : reject(new Error(JSON.stringify(status))));
      new Exec(config).exec(NAMESPACE, "shell", "web", ["sh", "-c", "echo to-the-log > /proc/1/fd/1"], new PassThrough(), new PassThrough(), null, false, done).catch(reject);
    });
    const following = new PassThrough();
    let text = "";
    // Ending it is an error to this client.
    following.on("error", () => {});
    following.on("data", (chunk: Buffer) => void (text += chunk.toString()));
    const stop = await new Log(config).log(NAMESPACE, "shell", "web", following, { follow: true, tailLines: 10 });
    await until("the line", () => text.includes("to-the-log"));
    stop.abort();
    expectEqual("the whole log", (await core.readNamespacedPodLog({ ...inPlace, name: "shell" })).includes("to-the-log"), true);
  },

  async portForward() {
    const [output, input] = [new PassThrough(), new PassThrough()];
    let text = "";
    output.on("data", (chunk: Buffer) => void (text += chunk.toString()));
    const socket = await new PortForward(config).portForward(NAMESPACE, "shell", [8080], output, null, input);
    input.write("GET / HTTP/1.0\r\n\r\n");
    await until("the page", () => text.includes("hello from shell"));
    if ("close" in socket) socket.close();
  },

  async delete() {
    await core.deleteCollectionNamespacedConfigMap({ ...inPlace, labelSelector: "flow=list" });
    expectEqual("what is left", (await core.listNamespacedConfigMap({ ...inPlace, labelSelector: "flow=list" })).items.length, 0);
    await core.deleteNamespacedPod({ ...inPlace, name: "shell" });
    await until("the pod to go", async () => (await core.listNamespacedPod(inPlace)).items.length === 0);
    await core.deleteNamespace({ name: NAMESPACE });
  },
};

await core.createNamespace({ body: { metadata: { name: NAMESPACE } } });
await until("the namespace's account", async () => (await core.listNamespacedServiceAccount(inPlace)).items.length === 1);
for (const [name, flow] of Object.entries(FLOWS)) {
  process.stderr.write(`running ${name}\n`);
  await Promise.race([flow(), Bun.sleep(FLOW_MS).then(() => Promise.reject(new Error(`${name} hangs`)))]);
  process.stdout.write(`${name}\n`);
}
// Keep-alive connections would hold the process.
process.exit(0);

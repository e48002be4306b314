import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LOCAL_PATH_FINALIZER, LOCAL_PATH_NODE } from "../../api/localpath.ts";
import { builtinKind } from "../../api/registry.ts";
import type { KubeObject } from "../../api/types.ts";
import { eventually, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { discover, questionsOf, startPlane, textOf, type Answer, type Asker, type Question, type TestPlane } from "./testing.ts";

/** Two nodes that are called `mine` and `theirs`, as is everything that belongs to one of them. */
const OWNERS = ["mine", "theirs"] as const;

let plane: TestPlane;
let root: Asker;
let node: Asker;
let answers: Map<Question, Answer>;

beforeAll(async () => {
  plane = await startPlane();
  await make("", "v1", "Namespace", { metadata: { name: "team" } });
  await make("storage.k8s.io", "v1", "CSIDriver", { metadata: { name: "csi.example.org" }, spec: { tokenRequests: [{ audience: "csi" }], volumeLifecycleModes: ["Ephemeral"] } });
  for (const owner of OWNERS) await belongings(owner);
  root = await plane.as("root", "system:masters");
  node = await plane.as("system:node:mine", "system:nodes");
  await eventually("the right", async () => (await node.request("GET", "/api/v1/namespaces/team/secrets/mine")).status === 200);
  answers = new Map();
  for (const question of questionsOf(await discover(root), { namespaces: ["team", "kube-node-lease"], names: OWNERS })) answers.set(question, await ask(question));
}, TEST_TIMEOUT_MS);
afterAll(() => plane.stop());

async function make(group: string, version: string, kindName: string, object: KubeObject & Record<string, unknown>): Promise<KubeObject> {
  return plane.admin.create(builtinKind(group, version, kindName), object);
}

/** A node, a pod on it, and everything a pod can refer to. */
async function belongings(owner: string): Promise<void> {
  const metadata = { name: owner, namespace: "team" };
  await make("", "v1", "Node", { metadata: { name: owner } });
  await make("coordination.k8s.io", "v1", "Lease", { metadata: { name: owner, namespace: "kube-node-lease" } });
  await make("storage.k8s.io", "v1", "CSINode", { metadata: { name: owner }, spec: { drivers: [] } });
  for (const kind of ["Secret", "ConfigMap", "ServiceAccount"]) await make("", "v1", kind, { metadata });
  const size = { storage: "1Gi" };
  await make("", "v1", "PersistentVolume", {
    metadata: { name: owner, labels: { [LOCAL_PATH_NODE]: owner }, finalizers: [LOCAL_PATH_FINALIZER] },
    spec: { capacity: size, accessModes: ["ReadWriteOnce"], hostPath: { path: `/x/${owner}` }, claimRef: { namespace: "team", name: owner } },
  });
  await make("", "v1", "PersistentVolumeClaim", { metadata, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: size }, volumeName: owner } });
  await make("storage.k8s.io", "v1", "VolumeAttachment", { metadata: { name: owner }, spec: { attacher: "a.example.org", nodeName: owner, source: { persistentVolumeName: owner } } });
  await make("resource.k8s.io", "v1", "ResourceClaim", { metadata, spec: {} });
  await make("resource.k8s.io", "v1", "ResourceSlice", { metadata: { name: owner }, spec: { driver: "d.example.org", nodeName: owner, pool: { name: owner, generation: 1, resourceSliceCount: 1 }, devices: [] } });
  await make("", "v1", "Pod", {
    metadata, spec: {
      nodeName: owner, serviceAccountName: owner, resourceClaims: [{ name: "c", resourceClaimName: owner }],
      containers: [{ name: "c", image: "i", envFrom: [{ secretRef: { name: owner } }, { configMapRef: { name: owner } }] }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: owner } }, { name: "i", csi: { driver: "csi.example.org" } }],
    },
  });
}

/** As the node; what is put is what is there, so that only the right to it can be missing. */
async function ask(question: Question): Promise<Answer> {
  if (question.verb !== "update") return node.ask(question);
  const current = await root.request("GET", question.path.replace(/\?.*/, ""));
  return current.status === 200 && current.body.startsWith("{") ? node.request("PUT", question.path, { body: JSON.parse(current.body) as unknown }) : node.ask(question);
}

function allowed(isWanted: (question: Question) => boolean): string[] {
  return [...answers].filter(([question, { status }]) => isWanted(question) && status !== 403 && status !== 401).map(([question]) => textOf(question)).toSorted();
}

describe("of every verb on every resource a node may", () => {
  test("touch nothing by the name of another node's things but what names nobody's", () => {
    expect(allowed(({ name }) => name === "theirs")).toEqual([
      // The proxy's and every node's: what all nodes share.
      "get core/endpoints kube-node-lease theirs", "get core/endpoints team theirs", "get core/nodes - theirs", "get core/services kube-node-lease theirs", "get core/services team theirs",
      // There is no such pod, which whoever asks is told.
      "create core/pods/eviction kube-node-lease theirs", "delete core/pods kube-node-lease theirs", "patch core/pods/status kube-node-lease theirs", "update core/pods/status kube-node-lease theirs",
      "get certificates.k8s.io/certificatesigningrequests - theirs", "get node.k8s.io/runtimeclasses - theirs", "get storage.k8s.io/csidrivers - theirs",
      ...["events.k8s.io", "core"].flatMap((group) => ["patch", "update"].flatMap((verb) => ["kube-node-lease", "team"].map((namespace) => `${verb} ${group}/events ${namespace} theirs`))),
    ].toSorted());
  });

  test("of its own things touch its own objects, read what its pods refer to, and say how its pods are", () => {
    const shared = allowed(({ name }) => name === "theirs").map((text) => text.replace("theirs", "mine"));
    expect(allowed(({ name }) => name === "mine").filter((text) => !shared.includes(text))).toEqual([
      "patch core/nodes - mine", "update core/nodes - mine", "patch core/nodes/status - mine", "update core/nodes/status - mine",
      ...["get", "patch", "update", "delete"].flatMap((verb) => [`${verb} coordination.k8s.io/leases kube-node-lease mine`, `${verb} storage.k8s.io/csinodes - mine`, `${verb} resource.k8s.io/resourceslices - mine`]),
      "get core/secrets team mine", "get core/configmaps team mine", "get core/serviceaccounts team mine",
      "get core/persistentvolumeclaims team mine", "patch core/persistentvolumeclaims/status team mine", "update core/persistentvolumeclaims/status team mine",
      "get core/persistentvolumes - mine", "get storage.k8s.io/volumeattachments - mine", "get resource.k8s.io/resourceclaims team mine",
      "get core/pods team mine", "delete core/pods team mine", "patch core/pods/status team mine", "update core/pods/status team mine", "create core/pods/eviction team mine",
    ].toSorted());
  });

  test("list and watch what all nodes share, and make what it reports with", () => {
    const everywhere = ["", " kube-node-lease", " team"];
    const within = everywhere.slice(1);
    const read = (what: string, places = [""]): string[] => places.flatMap((place) => [`list ${what}${place}`, `watch ${what}${place}`]);
    expect(allowed(({ name }) => name === "")).toEqual([
      ...read("core/nodes"), ...read("core/namespaces"), ...read("core/services", everywhere), ...read("core/endpoints", everywhere), ...read("discovery.k8s.io/endpointslices", everywhere),
      ...read("networking.k8s.io/networkpolicies", everywhere), ...read("networking.k8s.io/servicecidrs"), ...read("node.k8s.io/runtimeclasses"), ...read("storage.k8s.io/csidrivers"), ...read("certificates.k8s.io/certificatesigningrequests"),
      // What is to bear the node's own name is refused here, where it has none.
      "create certificates.k8s.io/certificatesigningrequests",
      "create authentication.k8s.io/selfsubjectreviews", "create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/selfsubjectaccessreviews", "create authorization.k8s.io/selfsubjectrulesreviews", "create authorization.k8s.io/subjectaccessreviews",
      ...within.flatMap((place) => [`create authorization.k8s.io/localsubjectaccessreviews${place}`, `create core/events${place}`, `create events.k8s.io/events${place}`]),
    ].toSorted());
  });
});

describe("a node", () => {
  const refused = async (method: string, path: string, body?: unknown): Promise<string> => {
    const { status, message } = await node.request(method, path, { ...(body !== undefined && { body, contentType: method === "PATCH" ? "application/merge-patch+json" : "application/json" }) });
    expect([path, status]).toEqual([path, 403]);
    return message;
  };

  test("makes nothing in another node's name", async () => {
    const theirs = { metadata: { name: "theirs2" } };
    await refused("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", ...theirs });
    await refused("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", { apiVersion: "coordination.k8s.io/v1", kind: "Lease", ...theirs });
    await refused("POST", "/apis/storage.k8s.io/v1/csinodes", { apiVersion: "storage.k8s.io/v1", kind: "CSINode", ...theirs, spec: { drivers: [] } });
    await refused("POST", "/apis/resource.k8s.io/v1/resourceslices", { apiVersion: "resource.k8s.io/v1", kind: "ResourceSlice", ...theirs, spec: { driver: "d.example.org", nodeName: "theirs", pool: { name: "p", generation: 1, resourceSliceCount: 1 }, devices: [] } });
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "m", namespace: "team", annotations: { "kubernetes.io/config.mirror": "x" } }, spec: { nodeName: "theirs", containers: [{ name: "c", image: "i" }] } };
    await refused("POST", "/api/v1/namespaces/team/pods", pod);
    await refused("POST", "/api/v1/namespaces/team/pods", { ...pod, metadata: { name: "m" }, spec: { ...pod.spec, nodeName: "mine" } });
  });

  test("lists pods by its own name only, its pods' objects by theirs only, and everybody's pods as the policy's account only", async () => {
    const list = async (path: string): Promise<number> => (await node.request("GET", path)).status;
    expect(await list("/api/v1/pods?fieldSelector=spec.nodeName%3Dmine")).toBe(200);
    expect(await list("/api/v1/pods?fieldSelector=spec.nodeName%3Dtheirs")).toBe(403);
    expect(await list("/api/v1/pods?fieldSelector=spec.nodeName!%3Dtheirs")).toBe(403);
    expect(await list("/api/v1/namespaces/team/secrets?fieldSelector=metadata.name%3Dmine")).toBe(200);
    expect(await list("/api/v1/namespaces/team/secrets?fieldSelector=metadata.name%3Dtheirs")).toBe(403);
    expect(await list("/api/v1/secrets?fieldSelector=metadata.name%3Dmine")).toBe(403);
    expect(await list(`/api/v1/persistentvolumes?labelSelector=${encodeURIComponent(`${LOCAL_PATH_NODE}=mine`)}`)).toBe(200);
    expect(await list(`/api/v1/persistentvolumes?labelSelector=${encodeURIComponent(`${LOCAL_PATH_NODE}=theirs`)}`)).toBe(403);
    expect(await list(`/api/v1/persistentvolumes?labelSelector=${encodeURIComponent(`${LOCAL_PATH_NODE} in (mine,theirs)`)}`)).toBe(403);
    const asPolicy = async (method: string, path: string): Promise<number> => (await node.request(method, path, { headers: { "impersonate-user": "system:serviceaccount:kube-system:minik8s-network-policy" } })).status;
    await eventually("the right", async () => (await asPolicy("GET", "/api/v1/pods")) === 200);
    expect(await asPolicy("GET", "/api/v1/namespaces/team/pods/theirs")).toBe(403);
    expect(await asPolicy("GET", "/api/v1/secrets")).toBe(403);
    expect((await node.request("GET", "/api/v1/pods", { headers: { "impersonate-user": "system:serviceaccount:kube-system:default" } })).status).toBe(403);
    expect((await node.request("GET", "/api/v1/pods", { headers: { "impersonate-user": "system:node:theirs" } })).status).toBe(403);
  });

  test("asks for tokens of its own pods only, for audiences they name", async () => {
    const pods = await Promise.all(OWNERS.map((name) => plane.admin.get(builtinKind("", "v1", "Pod"), { namespace: "team", name })));
    const ask = (account: string, spec: object): Promise<string> => refused("POST", `/api/v1/namespaces/team/serviceaccounts/${account}/token`, { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec });
    const bound = (index: number): object => ({ boundObjectRef: { apiVersion: "v1", kind: "Pod", name: OWNERS[index], uid: pods[index]?.metadata.uid } });
    const granted = (spec: object): Promise<Answer> => node.request("POST", "/api/v1/namespaces/team/serviceaccounts/mine/token", { body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec } });
    expect((await granted(bound(0))).status).toBe(201);
    expect((await granted({ ...bound(0), audiences: ["csi"] })).status).toBe(201);
    expect(await ask("theirs", bound(1))).toContain("no relationship found between node 'mine' and this object");
    expect(await ask("mine", {})).toContain("node requested token not bound to a pod");
    expect(await ask("mine", bound(1))).toContain("node requested token bound to a pod scheduled on a different node");
    expect(await ask("mine", { ...bound(0), audiences: ["vault"] })).toContain("is not authorized to request tokens for this audience");
  });

  test("changes nothing of a volume of its own but the finalizer, and that only once it is being deleted", async () => {
    const patch = (name: string, metadata: object): Promise<Answer> => node.request("PATCH", `/api/v1/persistentvolumes/${name}`, { body: { metadata }, contentType: "application/merge-patch+json" });
    expect((await patch("mine", { finalizers: [] })).status).toBe(403);
    await plane.admin.delete(builtinKind("", "v1", "PersistentVolume"), { name: "mine" });
    await plane.admin.delete(builtinKind("", "v1", "PersistentVolume"), { name: "theirs" });
    expect((await patch("mine", { labels: { x: "y" } })).status).toBe(403);
    expect((await node.request("PATCH", "/api/v1/persistentvolumes/mine", { body: { spec: { capacity: { storage: "9Gi" } } }, contentType: "application/merge-patch+json" })).status).toBe(403);
    expect((await patch("theirs", { finalizers: [] })).status).toBe(403);
    const { metadata } = await plane.admin.get(builtinKind("", "v1", "PersistentVolume"), { name: "mine" });
    expect((await patch("mine", { finalizers: (metadata.finalizers ?? []).filter((finalizer) => finalizer !== LOCAL_PATH_FINALIZER) })).status).toBe(200);
  });

  test("labels itself as upstream lets it, taints nothing, and asks for certificates in its own name", async () => {
    const patch = (body: object, code: number): Promise<void> => node.request("PATCH", "/api/v1/nodes/mine", { body, contentType: "application/merge-patch+json" }).then(({ status }) => expect([body, status]).toEqual([body, code]));
    await patch({ metadata: { labels: { "node.kubernetes.io/x": "y", zone: "1" } } }, 200);
    await patch({ metadata: { labels: { "node-restriction.kubernetes.io/x": "y" } } }, 403);
    await patch({ metadata: { labels: { "node-role.kubernetes.io/control-plane": "" } } }, 403);
    await patch({ spec: { taints: [{ key: "a", effect: "NoSchedule" }] } }, 403);
  });
});

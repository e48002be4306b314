// What the controllers of volumes do, seen with kubectl on hollow nodes: claims that grow, claims of pods, attachments, classes in use.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { HollowCluster, type Wire } from "./hollow.suite.ts";
import { eventually } from "./support.ts";

const cluster = new HollowCluster();
const { kubectl } = cluster;
const CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims";
const ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments";

beforeAll(async () => {
  await cluster.start();
  await cluster.addNodes("node", 2);
}, TEST_TIMEOUT_MS);
afterAll(() => cluster.stop(), TEST_TIMEOUT_MS);

const claim = (name: string, spec: string): string => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } }, ${spec} }
`;
const podWith = (name: string, volume: string, spec = ""): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 0
  ${spec}
  containers: [{ name: c, image: i, volumeMounts: [{ name: v, mountPath: /v }] }]
  volumes: [{ name: v, ${volume} }]
`;
const resize = (name: string, storage: string): ReturnType<typeof kubectl.attempt> => kubectl.attempt("patch", "pvc", name, "-p", JSON.stringify({ spec: { resources: { requests: { storage } } } }));

describe("a claim that asks for more", () => {
  test("has it at once where volumes have no size of their own, in its volume too", async () => {
    await kubectl.apply(claim("grows", "storageClassName: local-path") + "---" + podWith("user", "persistentVolumeClaim: { claimName: grows }"));
    await kubectl.run("wait", "--for=condition=Ready", "pod/user", "--timeout=120s");
    expect((await resize("grows", "3Gi")).exitCode).toBe(0);
    await eventually("the claim has grown", async () => (await kubectl.value("{.status.capacity.storage}", "pvc", "grows")) === "3Gi");
    expect(await kubectl.value("{.spec.capacity.storage}", "pv", await kubectl.value("{.spec.volumeName}", "pvc", "grows"))).toBe("3Gi");
    await eventually("it is told", async () => (await cluster.events("grows")).includes("VolumeResizeSuccessful: Resize volume succeeded"));
    expect((await resize("grows", "2Gi")).stderr).toContain("field can not be less than status.capacity");
  }, TEST_TIMEOUT_MS);

  test("waits for its driver where somebody else grows volumes, and is refused where the class does not let it", async () => {
    const classOf = (name: string, allow: boolean): string => `\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: { name: ${name} }\nprovisioner: disk.example.com\nallowVolumeExpansion: ${allow}\n---`;
    const volumeOf = (name: string): string => `\napiVersion: v1\nkind: PersistentVolume\nmetadata: { name: ${name} }\nspec: { capacity: { storage: 1Gi }, accessModes: [ReadWriteOnce], storageClassName: ${name}, hostPath: { path: /tmp/none } }\n---`;
    await kubectl.apply(["driven", "fixed"].map((name) => classOf(name, name === "driven") + volumeOf(name) + claim(name, `storageClassName: ${name}`)).join("---"));
    await eventually("both are bound", async () => (await kubectl.value("{.items[?(@.status.phase==\"Bound\")].metadata.name}", "pvc")).includes("driven fixed"));
    expect((await resize("driven", "2Gi")).exitCode).toBe(0);
    await eventually("it is told who is waited for", async () => (await cluster.events("driven")).includes("ExternalExpanding: waiting for an external controller to expand this PVC"));
    expect(await kubectl.value("{.status.capacity.storage}", "pvc", "driven")).toBe("1Gi");
    expect((await resize("fixed", "2Gi")).stderr).toContain("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
  }, TEST_TIMEOUT_MS);
});

test("a claim of a CSI driver keeps what the driver's side-car says of its growth, and who must act next", async () => {
  await kubectl.apply(`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: csi-grow }
provisioner: csi.example.com
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolume
metadata: { name: csi-grown, annotations: { pv.kubernetes.io/provisioned-by: csi.example.com } }
spec: { capacity: { storage: 1Gi }, accessModes: [ReadWriteOnce], storageClassName: csi-grow, csi: { driver: csi.example.com, volumeHandle: h1 }, claimRef: { namespace: default, name: by-csi } }
---${claim("by-csi", "storageClassName: csi-grow")}`);
  await eventually("it is bound", async () => (await kubectl.value("{.status.phase}", "pvc", "by-csi")) === "Bound");
  expect((await resize("by-csi", "2Gi")).exitCode).toBe(0);
  await eventually("the side-car is waited for", async () => (await cluster.events("by-csi")).includes("ExternalExpanding: waiting for an external controller to expand this PVC"));
  const path = "/api/v1/namespaces/default/persistentvolumeclaims/by-csi";
  const pending = { type: "FileSystemResizePending", status: "True", message: "Waiting for user to (re-)start a pod to finish file system resize of volume on node." };
  await kubectl.run("patch", "pv", "csi-grown", "-p", '{"spec":{"capacity":{"storage":"2Gi"}}}');
  await cluster.setStatus(path, { allocatedResources: { storage: "2Gi" }, allocatedResourceStatuses: { storage: "NodeResizePending" }, conditions: [pending] });
  // Nobody takes it for done before the node says so.
  expect((await cluster.get(path)).status).toMatchObject({ phase: "Bound", capacity: { storage: "1Gi" }, allocatedResourceStatuses: { storage: "NodeResizePending" }, conditions: [pending] });
  await cluster.setStatus(path, { capacity: { storage: "2Gi" }, allocatedResourceStatuses: null, conditions: null });
  expect(await kubectl.value("{.status.capacity.storage} {.status.conditions}", "pvc", "by-csi")).toBe("2Gi ");
}, 120_000);

describe("the claim of a pod's own volume", () => {
  const own = "ephemeral: { volumeClaimTemplate: { metadata: { labels: { from: template } }, spec: { accessModes: [ReadWriteOnce], storageClassName: local-path, resources: { requests: { storage: 1Mi } } } } }";

  test("is made from the template, belongs to the pod, and goes with it", async () => {
    await kubectl.apply(podWith("owner", own));
    await kubectl.run("wait", "--for=condition=Ready", "pod/owner", "--timeout=120s");
    const [made, pod] = await Promise.all([cluster.get(`${CLAIMS}/owner-v`), cluster.get("/api/v1/namespaces/default/pods/owner")]);
    expect(made.metadata).toMatchObject({ labels: { from: "template" }, ownerReferences: [{ kind: "Pod", name: "owner", uid: pod.metadata.uid, controller: true, blockOwnerDeletion: true }] });
    await kubectl.run("delete", "pod", "owner");
    await eventually("the claim is gone", async () => (await kubectl.attempt("get", "pvc", "owner-v")).stderr.includes("NotFound"));
  }, TEST_TIMEOUT_MS);

  test("is never somebody else's of the same name: the pod waits and says why", async () => {
    await kubectl.apply(claim("clash-v", "storageClassName: local-path") + "---" + podWith("clash", own));
    await eventually("the clash is told", async () => (await cluster.events("clash")).includes("FailedBinding: ephemeral volume v: PVC default/clash-v was not created for pod default/clash (pod is not owner)"));
    expect(await kubectl.value("{.spec.nodeName}", "pod", "clash")).toBe("");
    await kubectl.run("delete", "pod", "clash");
  }, TEST_TIMEOUT_MS);
});

test("a class of attributes stays while a claim names it, and goes when none does", async () => {
  await kubectl.apply("apiVersion: storage.k8s.io/v1\nkind: VolumeAttributesClass\nmetadata: { name: fast }\ndriverName: disk.example.com\nparameters: { iops: '100' }\n---" + claim("tuned", "storageClassName: none, volumeAttributesClassName: fast"));
  const path = "/apis/storage.k8s.io/v1/volumeattributesclasses/fast";
  await eventually("it is protected", async () => (await cluster.get(path)).metadata.finalizers?.includes("kubernetes.io/vac-protection"));
  await cluster.request("DELETE", path);
  await eventually("it is asked to go", async () => (await cluster.get(path)).metadata.deletionTimestamp);
  await kubectl.run("delete", "pvc", "tuned");
  await eventually("it is gone", () => cluster.get(path).then(() => false, (error: Error) => error.message.includes("not found")));
}, TEST_TIMEOUT_MS);

describe("a volume that a driver attaches", () => {
  const driver = "disk.example.com";
  const inUse = `kubernetes.io/csi/${driver}^h-1`;
  const attachments = async (): Promise<Wire[]> => (await cluster.get(ATTACHMENTS)).items;
  const user = (name: string, node: string): string => podWith(name, "persistentVolumeClaim: { claimName: disk }", `nodeName: ${node}`);

  /** As the driver's side-car does. */
  async function attach(): Promise<Wire> {
    const found = await eventually("an attachment is asked for", async () => (await attachments()).find(({ status }) => !status?.attached));
    return cluster.setStatus(`${ATTACHMENTS}/${found.metadata.name}`, { attached: true });
  }

  test("is asked to be attached where the pod is, the node is told, and it is detached with the last pod", async () => {
    await kubectl.apply(`apiVersion: v1\nkind: PersistentVolume\nmetadata: { name: disk }\nspec: { capacity: { storage: 1Gi }, accessModes: [ReadWriteOnce], storageClassName: csi, csi: { driver: ${driver}, volumeHandle: h-1 } }\n---${claim("disk", "storageClassName: csi, volumeName: disk")}---${user("first", "node-0")}`);
    expect((await attach()).spec).toMatchObject({ attacher: driver, nodeName: "node-0", source: { persistentVolumeName: "disk" } });
    await eventually("the node may mount it", async () => (await kubectl.value("{.status.volumesAttached[*].name}", "node", "node-0")) === inUse);
    await eventually("the pod is told", async () => (await cluster.events("first")).includes('SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "disk" '));
    await kubectl.apply(user("second", "node-1"));
    await eventually("another node's pod is told who has it", async () => (await cluster.events("second")).includes('FailedAttachVolume: Multi-Attach error for volume "disk" Volume is already used by pod(s) first'));
    await kubectl.run("delete", "pod", "first");
    await eventually("it moves", async () => (await attachments()).map(({ spec }) => spec.nodeName).join() === "node-1");
    await eventually("the first node is told", async () => (await kubectl.value("{.status.volumesAttached}", "node", "node-0")) === "");
  }, TEST_TIMEOUT_MS);

  test("that a dead node still holds is taken from it when the node is said to be out of service", async () => {
    await attach();
    await cluster.setStatus("/api/v1/nodes/node-1", { volumesInUse: [inUse] });
    await kubectl.run("delete", "pod", "second");
    await eventually("the pod is gone", async () => (await kubectl.attempt("get", "pod", "second")).stderr.includes("NotFound"));
    // What a node says is in use is not pulled away under it.
    await Bun.sleep(1000);
    expect((await attachments()).length).toBe(1);
    await kubectl.run("taint", "node", "node-1", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute");
    await eventually("it is detached", async () => (await attachments()).length === 0);
  }, TEST_TIMEOUT_MS);
});

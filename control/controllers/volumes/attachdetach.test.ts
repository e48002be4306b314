import { afterEach, beforeEach, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { CSIDriver, Node, PersistentVolume, PersistentVolumeClaim, Pod, VolumeAttachment } from "../../../api/types.ts";
import { becomes, TestCluster } from "../cluster.suite.ts";
import { NODE, PERSISTENT_VOLUME as PV, PERSISTENT_VOLUME_CLAIM as PVC, POD } from "../kinds.ts";
import { attachDetachController, attachmentName } from "./attachdetach.ts";

const ATTACHMENT = builtinKind("storage.k8s.io", "v1", "VolumeAttachment");
const DRIVER = builtinKind("storage.k8s.io", "v1", "CSIDriver");
const driver = "disk.example.com";
const ON_A = attachmentName({ handle: "h-1", driver, node: "a" });

let cluster: TestCluster;
beforeEach(async () => {
  cluster = new TestCluster();
  await cluster.start(attachDetachController);
  for (const name of ["a", "b"]) await cluster.create<Node>(NODE, { metadata: { name, annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" } }, status: { conditions: [{ type: "Ready", status: "True" }] } });
  await cluster.create<PersistentVolumeClaim>(PVC, { metadata: { name: "data", namespace: "default" }, spec: { volumeName: "pv" } });
});
afterEach(() => cluster.stop());

const volume = (accessModes = ["ReadWriteOnce"]): Promise<unknown> => cluster.create<PersistentVolume>(PV, { metadata: { name: "pv" }, spec: { accessModes, csi: { driver, volumeHandle: "h-1" }, claimRef: { name: "data", namespace: "default" } } });
const podOn = (nodeName: string, name = `on-${nodeName}`): Promise<unknown> => cluster.create<Pod>(POD, { metadata: { name, namespace: "default" }, spec: { nodeName, containers: [{ name: "c", image: "i" }], volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] } });
const attachments = async (): Promise<unknown[]> => (await cluster.list<VolumeAttachment>(ATTACHMENT)).map(({ metadata, spec }) => [metadata.name, spec.attacher, spec.nodeName, spec.source.persistentVolumeName]);
const finish = (name: string): Promise<unknown> => cluster.change<Pod>(POD, name, (pod) => { pod.status = { phase: "Succeeded" }; }, "status");
const attach = (name: string): Promise<unknown> => cluster.change<VolumeAttachment>(ATTACHMENT, name, (found) => { found.status = { attached: true }; }, "status");

test("a pod's volume is asked to be attached to its node, which is told, and detached when the pod is done", async () => {
  await volume();
  await podOn("a");
  await becomes(attachments, [[ON_A, driver, "a", "pv"]]);
  await attach(ON_A);
  await becomes(async () => (await cluster.get<Node>(NODE, "a")).status?.volumesAttached, [{ name: `kubernetes.io/csi/${driver}^h-1`, devicePath: "" }]);
  await becomes(() => cluster.events, ['SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "pv" ']);
  await finish("on-a");
  await becomes(attachments, []);
  await becomes(async () => (await cluster.get<Node>(NODE, "a")).status?.volumesAttached, []);
});

test("a volume that one node has to itself is not attached to another before it comes free", async () => {
  await volume();
  await podOn("a");
  await becomes(async () => (await attachments()).length, 1);
  await podOn("b");
  await becomes(() => cluster.events, ['FailedAttachVolume: Multi-Attach error for volume "pv" Volume is already used by pod(s) on-a']);
  await finish("on-a");
  await becomes(attachments, [[attachmentName({ handle: "h-1", driver, node: "b" }), driver, "b", "pv"]]);
});

test("a volume for many is attached wherever its pods are", async () => {
  await volume(["ReadWriteMany"]);
  await podOn("a");
  await podOn("b");
  await becomes(async () => (await attachments()).length, 2);
});

test("a volume its node still uses stays attached", async () => {
  await volume();
  await podOn("a");
  await becomes(async () => (await attachments()).length, 1);
  const useBy = (volumesInUse: string[]): Promise<unknown> => cluster.change<Node>(NODE, "a", (node) => { node.status = { ...node.status, volumesInUse }; }, "status");
  await useBy([`kubernetes.io/csi/${driver}^h-1`]);
  await finish("on-a");
  await Bun.sleep(20);
  expect((await attachments()).length).toBe(1);
  await useBy([]);
  await becomes(attachments, []);
});

test("what needs no attaching, and what others attach, is left alone", async () => {
  await cluster.create<CSIDriver>(DRIVER, { metadata: { name: driver }, spec: { attachRequired: false } });
  await cluster.create<VolumeAttachment>(ATTACHMENT, { metadata: { name: "by-hand" }, spec: { attacher: "x", nodeName: "a", source: { persistentVolumeName: "pv" } } });
  await volume();
  await podOn("a");
  await Bun.sleep(20);
  expect((await attachments()).length).toBe(1);
});

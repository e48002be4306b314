// Every kind goes through the life every client may lead it through: the same steps for all of them.
import { afterAll, beforeAll, expect, test } from "bun:test";
// What reads certificates needs it first.
// oxlint-disable-next-line import/no-unassigned-import
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import { isNotFound } from "../../../api/errors.ts";
import { KINDS, type KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { TestServer } from "../testing.ts";
import { startKindServer } from "./testing.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const template = { metadata: { labels: { app: "a" } }, spec: { containers: [{ name: "c", image: "busybox" }] } };
const selector = { matchLabels: { app: "a" } };
const meta = (name = "x"): object => ({ metadata: { name } });
const webhook = { name: "w.example.com", clientConfig: { url: "https://example.com" }, sideEffects: "None", admissionReviewVersions: ["v1"] };
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
const request = Buffer.from((await Pkcs10CertificateRequestGenerator.create({ name: "CN=x", keys, signingAlgorithm: algorithm })).toString("pem")).toString("base64");

/** The least that each kind accepts. */
const LEAST: Readonly<Record<string, object>> = {
  "/ConfigMap": meta(), "/Endpoints": meta(), "/LimitRange": { ...meta(), spec: { limits: [] } }, "/Namespace": meta(), "/Node": meta(),
  "/Event": { ...meta(), involvedObject: { namespace: "default", kind: "Pod", name: "p" } },
  "/PersistentVolumeClaim": { ...meta(), spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } },
  "/PersistentVolume": { ...meta(), spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/x" } } },
  "/Pod": { ...meta(), spec: template.spec }, "/PodTemplate": { ...meta(), template }, "/ResourceQuota": { ...meta(), spec: {} }, "/Secret": meta(), "/ServiceAccount": meta(),
  "/ReplicationController": { ...meta(), spec: { selector: { app: "a" }, template } }, "/Service": { ...meta(), spec: { ports: [{ port: 80 }] } },
  "apps/ControllerRevision": { ...meta(), revision: 1, data: { a: 1 } }, "apps/DaemonSet": { ...meta(), spec: { selector, template } }, "apps/Deployment": { ...meta(), spec: { selector, template } },
  "apps/ReplicaSet": { ...meta(), spec: { selector, template } }, "apps/StatefulSet": { ...meta(), spec: { selector, template, serviceName: "s" } },
  "batch/Job": { ...meta(), spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } },
  "batch/CronJob": { ...meta(), spec: { schedule: "@daily", jobTemplate: { spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } } } },
  "autoscaling/HorizontalPodAutoscaler": { ...meta(), spec: { maxReplicas: 2, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "d" } } },
  "policy/PodDisruptionBudget": { ...meta(), spec: { selector } },
  "networking.k8s.io/IngressClass": { ...meta(), spec: { controller: "example.com/c" } }, "networking.k8s.io/Ingress": { ...meta(), spec: { defaultBackend: { service: { name: "s", port: { number: 80 } } } } },
  "networking.k8s.io/IPAddress": { ...meta("10.96.77.77"), spec: { parentRef: { resource: "services", name: "s", namespace: "default" } } }, "networking.k8s.io/NetworkPolicy": { ...meta(), spec: {} },
  "networking.k8s.io/ServiceCIDR": { ...meta(), spec: { cidrs: ["10.98.0.0/24"] } },
  "discovery.k8s.io/EndpointSlice": { ...meta(), addressType: "IPv4", endpoints: [] }, "coordination.k8s.io/Lease": { ...meta(), spec: {} },
  "events.k8s.io/Event": { ...meta(), regarding: { namespace: "default", kind: "Pod", name: "p" }, eventTime: "2026-01-01T00:00:00.000000Z", reportingController: "example.com/c", reportingInstance: "i", action: "a", reason: "r", type: "Normal" },
  "node.k8s.io/RuntimeClass": { ...meta(), handler: "h" }, "scheduling.k8s.io/PriorityClass": { ...meta(), value: 1 },
  "storage.k8s.io/CSIDriver": { ...meta(), spec: {} }, "storage.k8s.io/CSINode": { ...meta(), spec: { drivers: [] } }, "storage.k8s.io/CSIStorageCapacity": { ...meta(), storageClassName: "s" },
  "storage.k8s.io/StorageClass": { ...meta(), provisioner: "p" }, "storage.k8s.io/VolumeAttachment": { ...meta(), spec: { attacher: "a", nodeName: "n", source: { persistentVolumeName: "v" } } },
  "storage.k8s.io/VolumeAttributesClass": { ...meta(), driverName: "d", parameters: { a: "b" } },
  "rbac.authorization.k8s.io/ClusterRole": { ...meta(), rules: [] }, "rbac.authorization.k8s.io/Role": { ...meta(), rules: [] },
  "rbac.authorization.k8s.io/ClusterRoleBinding": { ...meta(), roleRef: { kind: "ClusterRole", name: "x" } }, "rbac.authorization.k8s.io/RoleBinding": { ...meta(), roleRef: { kind: "Role", name: "x" } },
  "certificates.k8s.io/CertificateSigningRequest": { ...meta(), spec: { request, signerName: "example.com/s", usages: ["client auth"] } },
  "admissionregistration.k8s.io/MutatingAdmissionPolicy": { ...meta(), spec: { matchConstraints: { resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }] }, reinvocationPolicy: "Never", mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: "[]" } }] } },
  "admissionregistration.k8s.io/ValidatingAdmissionPolicy": { ...meta(), spec: { matchConstraints: { resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }] }, validations: [{ expression: "true" }] } },
  "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding": { ...meta(), spec: { policyName: "p" } }, "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": { ...meta(), spec: { policyName: "p", validationActions: ["Deny"] } },
  "admissionregistration.k8s.io/MutatingWebhookConfiguration": { ...meta(), webhooks: [webhook] }, "admissionregistration.k8s.io/ValidatingWebhookConfiguration": { ...meta(), webhooks: [webhook] },
  "apiextensions.k8s.io/CustomResourceDefinition": { ...meta("foos.example.com"), spec: { group: "example.com", scope: "Namespaced", names: { plural: "foos", kind: "Foo", singular: "foo", listKind: "FooList" }, versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }] } },
  "apiregistration.k8s.io/APIService": { ...meta("v1.x.example.com"), spec: { group: "x.example.com", version: "v1", groupPriorityMinimum: 1, versionPriority: 1 } },
  "flowcontrol.apiserver.k8s.io/FlowSchema": { ...meta(), spec: { priorityLevelConfiguration: { name: "x" } } },
  "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": { ...meta(), spec: { type: "Limited", limited: { limitResponse: { type: "Reject" } } } },
  "resource.k8s.io/DeviceClass": { ...meta(), spec: {} }, "resource.k8s.io/ResourceClaim": { ...meta(), spec: {} }, "resource.k8s.io/ResourceClaimTemplate": { ...meta(), spec: { spec: {} } },
  "resource.k8s.io/ResourceSlice": { ...meta(), spec: { driver: "d", pool: { name: "p", generation: 1, resourceSliceCount: 1 }, allNodes: true } },
};

const stored = KINDS.filter(({ verbs }) => verbs.includes("create") && verbs.includes("list"));

for (const kind of stored) {
  test(`${kind.group}/${kind.version} ${kind.kind} is created, read, listed, patched, updated, given a status and deleted`, async () => {
    const least = LEAST[`${kind.group}/${kind.kind}`] as AnyObject;
    expect(least).toBeDefined();
    await live(kind, { ...least, metadata: { ...least.metadata, labels: { life: "whole" }, ...(kind.namespaced && { namespace: "default" }) } });
  });
}

async function live(kind: KindInfo, object: AnyObject): Promise<void> {
  const { client } = server;
  const at = { name: object.metadata.name as string, ...(kind.namespaced && { namespace: "default" }) };
  const created = await client.create(kind, object);
  expect(await client.get<AnyObject>(kind, at)).toEqual(created);
  // Nothing that an unchanged object says may be refused, nor change it.
  expect((await client.update(kind, created)).metadata.resourceVersion).toBe(created.metadata.resourceVersion);
  const listed = await client.list(kind, { labelSelector: "life=whole" });
  expect(listed.items.map(({ metadata }) => metadata.uid)).toEqual([created.metadata.uid]);
  const patched = await client.patch<AnyObject>(kind, at, { metadata: { labels: { patched: "yes" } } }, { type: "merge" });
  expect(patched.metadata.labels).toMatchObject({ life: "whole", patched: "yes" });
  const updated = await client.update(kind, { ...patched, metadata: { ...patched.metadata, annotations: { ...patched.metadata.annotations, updated: "yes" } } });
  expect(updated.metadata.annotations).toMatchObject({ updated: "yes" });
  expect(updated.metadata.uid).toBe(created.metadata.uid);
  if (kind.subresources["status"]) {
    const before = await client.get<AnyObject>(kind, at);
    const after = await client.update(kind, before, { subresource: "status" });
    expect(after["spec"]).toEqual(before["spec"]);
  }
  await finish(kind, at);
}

/** Deletes, and grants what finalizers and grace periods wait for. */
async function finish(kind: KindInfo, at: { name: string; namespace?: string }): Promise<void> {
  const { client } = server;
  await client.delete(kind, at, { gracePeriodSeconds: 0 });
  const left = await client.get<AnyObject>(kind, at).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (!left) return;
  expect(left.metadata.deletionTimestamp).toBeDefined();
  if (kind.kind === "Namespace") await client.update(kind, { ...left, spec: { finalizers: [] } }, { subresource: "finalize" });
  else await client.update(kind, { ...left, metadata: { ...left.metadata, finalizers: [] } });
  await expect(client.get(kind, at)).rejects.toThrow("not found");
}

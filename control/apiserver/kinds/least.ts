// The least that each kind accepts, for tests that go through all of them.
// What reads certificates needs it first.
// oxlint-disable-next-line import/no-unassigned-import
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";

const template = { metadata: { labels: { app: "a" } }, spec: { containers: [{ name: "c", image: "busybox" }] } };
const selector = { matchLabels: { app: "a" } };
const meta = (name = "x"): object => ({ metadata: { name } });
const webhook = { name: "w.example.com", clientConfig: { url: "https://example.com" }, sideEffects: "None", admissionReviewVersions: ["v1"] };
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
const request = Buffer.from((await Pkcs10CertificateRequestGenerator.create({ name: "CN=x", keys, signingAlgorithm: algorithm })).toString("pem")).toString("base64");

/** By group and kind. */
export const LEAST: Readonly<Record<string, object>> = {
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

// The objects of the Kubernetes API as they travel: plain JSON, timestamps as RFC 3339 strings.
// Shapes come from the published client models; `Wire` undoes what that client's generator renames.
import type * as k8s from "@kubernetes/client-node";

/** A client model as JSON on the wire: dates are strings, `_from`-style names lose their underscore. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Key in keyof T as Key extends `_${infer Bare}` ? Bare : Key]: Wire<T[Key]> | OptionalMark<T, Key> }
      : T;

/** Optional fields may also be spelled `undefined`, so that spreading partial objects type-checks. */
type OptionalMark<T, Key extends keyof T> = undefined extends T[Key] ? undefined : never;

export type ObjectMeta = Wire<k8s.V1ObjectMeta>;
export type OwnerReference = Wire<k8s.V1OwnerReference>;
export type ManagedFieldsEntry = Wire<k8s.V1ManagedFieldsEntry>;
export type LabelSelector = Wire<k8s.V1LabelSelector>;
export type IntOrString = number | string;

/** What every stored object has; `name`, `uid` and `resourceVersion` are set once it is stored. */
export interface KubeObject {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ObjectMeta;
}

/** An object of a kind the code at hand knows nothing about. */
export interface AnyObject extends KubeObject {
  // A wire boundary: fields of arbitrary kinds, custom resources included.
  // oxlint-disable-next-line no-explicit-any
  [field: string]: any;
}

/** An object as read from the API: its metadata's server-set fields are there. */
export type Stored<T extends KubeObject> = T & {
  metadata: ObjectMeta & { name: string; uid: string; resourceVersion: string; creationTimestamp: string };
};

/** A list as the API returns it. */
export interface KubeList<T> {
  apiVersion: string;
  kind: string;
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: T[];
}

/** One event of a watch; `BOOKMARK` carries only a resourceVersion. */
export type WatchEvent<T> =
  | { type: "ADDED" | "MODIFIED" | "DELETED"; object: T }
  | { type: "BOOKMARK"; object: { apiVersion: string; kind: string; metadata: ObjectMeta } };

type Model<T extends { metadata?: k8s.V1ObjectMeta }> = Omit<Wire<T>, "metadata"> & KubeObject;

export type Binding = Model<k8s.V1Binding>;
export type ComponentStatus = Model<k8s.V1ComponentStatus>;
export type ConfigMap = Model<k8s.V1ConfigMap>;
export type Endpoints = Model<k8s.V1Endpoints>;
export type Event = Model<k8s.CoreV1Event>;
export type LimitRange = Model<k8s.V1LimitRange>;
export type Namespace = Model<k8s.V1Namespace>;
export type Node = Model<k8s.V1Node>;
export type PersistentVolumeClaim = Model<k8s.V1PersistentVolumeClaim>;
export type PersistentVolume = Model<k8s.V1PersistentVolume>;
export type Pod = Model<k8s.V1Pod>;
export type PodTemplate = Model<k8s.V1PodTemplate>;
export type ReplicationController = Model<k8s.V1ReplicationController>;
export type ResourceQuota = Model<k8s.V1ResourceQuota>;
export type Secret = Model<k8s.V1Secret>;
export type ServiceAccount = Model<k8s.V1ServiceAccount>;
export type Service = Model<k8s.V1Service>;
export type ControllerRevision = Model<k8s.V1ControllerRevision>;
export type DaemonSet = Model<k8s.V1DaemonSet>;
export type Deployment = Model<k8s.V1Deployment>;
export type ReplicaSet = Model<k8s.V1ReplicaSet>;
export type StatefulSet = Model<k8s.V1StatefulSet>;
export type CronJob = Model<k8s.V1CronJob>;
export type Job = Model<k8s.V1Job>;
export type HorizontalPodAutoscaler = Model<k8s.V2HorizontalPodAutoscaler>;
export type HorizontalPodAutoscalerV1 = Model<k8s.V1HorizontalPodAutoscaler>;
export type PodDisruptionBudget = Model<k8s.V1PodDisruptionBudget>;
export type IngressClass = Model<k8s.V1IngressClass>;
export type Ingress = Model<k8s.V1Ingress>;
export type IPAddress = Model<k8s.V1IPAddress>;
export type NetworkPolicy = Model<k8s.V1NetworkPolicy>;
export type ServiceCIDR = Model<k8s.V1ServiceCIDR>;
export type EndpointSlice = Model<k8s.V1EndpointSlice>;
export type Lease = Model<k8s.V1Lease>;
export type EventsEvent = Model<k8s.EventsV1Event>;
export type RuntimeClass = Model<k8s.V1RuntimeClass>;
export type PriorityClass = Model<k8s.V1PriorityClass>;
export type CSIDriver = Model<k8s.V1CSIDriver>;
export type CSINode = Model<k8s.V1CSINode>;
export type CSIStorageCapacity = Model<k8s.V1CSIStorageCapacity>;
export type StorageClass = Model<k8s.V1StorageClass>;
export type VolumeAttachment = Model<k8s.V1VolumeAttachment>;
export type VolumeAttributesClass = Model<k8s.V1VolumeAttributesClass>;
export type ClusterRoleBinding = Model<k8s.V1ClusterRoleBinding>;
export type ClusterRole = Model<k8s.V1ClusterRole>;
export type RoleBinding = Model<k8s.V1RoleBinding>;
export type Role = Model<k8s.V1Role>;
export type SelfSubjectReview = Model<k8s.V1SelfSubjectReview>;
export type TokenReview = Model<k8s.V1TokenReview>;
export type LocalSubjectAccessReview = Model<k8s.V1LocalSubjectAccessReview>;
export type SelfSubjectAccessReview = Model<k8s.V1SelfSubjectAccessReview>;
export type SelfSubjectRulesReview = Model<k8s.V1SelfSubjectRulesReview>;
export type SubjectAccessReview = Model<k8s.V1SubjectAccessReview>;
export type CertificateSigningRequest = Model<k8s.V1CertificateSigningRequest>;
export type MutatingAdmissionPolicy = Model<k8s.V1MutatingAdmissionPolicy>;
export type MutatingAdmissionPolicyBinding = Model<k8s.V1MutatingAdmissionPolicyBinding>;
export type MutatingWebhookConfiguration = Model<k8s.V1MutatingWebhookConfiguration>;
export type ValidatingAdmissionPolicy = Model<k8s.V1ValidatingAdmissionPolicy>;
export type ValidatingAdmissionPolicyBinding = Model<k8s.V1ValidatingAdmissionPolicyBinding>;
export type ValidatingWebhookConfiguration = Model<k8s.V1ValidatingWebhookConfiguration>;
export type CustomResourceDefinition = Model<k8s.V1CustomResourceDefinition>;
export type APIService = Model<k8s.V1APIService>;
export type FlowSchema = Model<k8s.V1FlowSchema>;
export type PriorityLevelConfiguration = Model<k8s.V1PriorityLevelConfiguration>;
export type DeviceClass = Model<k8s.V1DeviceClass>;
export type ResourceClaim = Model<k8s.ResourceV1ResourceClaim>;
export type ResourceClaimTemplate = Model<k8s.V1ResourceClaimTemplate>;
export type ResourceSlice = Model<k8s.V1ResourceSlice>;

export type PodSpec = Wire<k8s.V1PodSpec>;
export type PodStatus = Wire<k8s.V1PodStatus>;
export type PodTemplateSpec = Wire<k8s.V1PodTemplateSpec>;
export type PodCondition = Wire<k8s.V1PodCondition>;
export type Container = Wire<k8s.V1Container>;
export type ContainerStatus = Wire<k8s.V1ContainerStatus>;
export type ContainerState = Wire<k8s.V1ContainerState>;
export type EphemeralContainer = Wire<k8s.V1EphemeralContainer>;
export type Volume = Wire<k8s.V1Volume>;
export type VolumeMount = Wire<k8s.V1VolumeMount>;
export type EnvVar = Wire<k8s.V1EnvVar>;
export type Probe = Wire<k8s.V1Probe>;
export type Lifecycle = Wire<k8s.V1Lifecycle>;
export type LifecycleHandler = Wire<k8s.V1LifecycleHandler>;
export type SecurityContext = Wire<k8s.V1SecurityContext>;
export type PodSecurityContext = Wire<k8s.V1PodSecurityContext>;
export type ResourceRequirements = Wire<k8s.V1ResourceRequirements>;
export type Affinity = Wire<k8s.V1Affinity>;
export type NodeAffinity = Wire<k8s.V1NodeAffinity>;
export type NodeSelector = Wire<k8s.V1NodeSelector>;
export type NodeSelectorTerm = Wire<k8s.V1NodeSelectorTerm>;
export type NodeSelectorRequirement = Wire<k8s.V1NodeSelectorRequirement>;
export type Toleration = Wire<k8s.V1Toleration>;
export type Taint = Wire<k8s.V1Taint>;
export type TopologySpreadConstraint = Wire<k8s.V1TopologySpreadConstraint>;
export type NodeAddress = Wire<k8s.V1NodeAddress>;
export type NodeCondition = Wire<k8s.V1NodeCondition>;
export type NodeStatus = Wire<k8s.V1NodeStatus>;
export type NodeSpec = Wire<k8s.V1NodeSpec>;
export type ServiceSpec = Wire<k8s.V1ServiceSpec>;
export type ServicePort = Wire<k8s.V1ServicePort>;
export type Endpoint = Wire<k8s.V1Endpoint>;
export type ObjectReference = Wire<k8s.V1ObjectReference>;
export type LocalObjectReference = Wire<k8s.V1LocalObjectReference>;
export type SecretProjection = Wire<k8s.V1SecretProjection>;
export type DeploymentSpec = Wire<k8s.V1DeploymentSpec>;
export type DeploymentStatus = Wire<k8s.V1DeploymentStatus>;
export type ReplicaSetStatus = Wire<k8s.V1ReplicaSetStatus>;
export type StatefulSetStatus = Wire<k8s.V1StatefulSetStatus>;
export type DaemonSetStatus = Wire<k8s.V1DaemonSetStatus>;
export type JobStatus = Wire<k8s.V1JobStatus>;
export type JobSpec = Wire<k8s.V1JobSpec>;
export type JobCondition = Wire<k8s.V1JobCondition>;
export type LeaseSpec = Wire<k8s.V1LeaseSpec>;
export type PolicyRule = Wire<k8s.V1PolicyRule>;
export type RoleRef = Wire<k8s.V1RoleRef>;
export type ContainerPort = Wire<k8s.V1ContainerPort>;
export type VolumeProjection = Wire<k8s.V1VolumeProjection>;
export type KeyToPath = Wire<k8s.V1KeyToPath>;
export type HTTPGetAction = Wire<k8s.V1HTTPGetAction>;
export type ExecAction = Wire<k8s.V1ExecAction>;
export type TCPSocketAction = Wire<k8s.V1TCPSocketAction>;
export type GRPCAction = Wire<k8s.V1GRPCAction>;
export type LabelSelectorRequirement = Wire<k8s.V1LabelSelectorRequirement>;
export type PodAffinityTerm = Wire<k8s.V1PodAffinityTerm>;
export type EndpointSubset = Wire<k8s.V1EndpointSubset>;
export type EndpointAddress = Wire<k8s.V1EndpointAddress>;
export type Subject = Wire<k8s.RbacV1Subject>;
export type Scale = Model<k8s.V1Scale>;
export type Eviction = Model<k8s.V1Eviction>;
export type TokenRequest = Model<k8s.AuthenticationV1TokenRequest>;
export type Status = Wire<k8s.V1Status>;
export type DeleteOptions = Wire<k8s.V1DeleteOptions>;

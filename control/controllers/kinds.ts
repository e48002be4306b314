// The built-in kinds controllers work on, by short name.
import type { InformerScope } from "../../api/client/informer.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { builtinKind } from "../../api/registry.ts";

export const NAMESPACE = builtinKind("", "v1", "Namespace");
export const NODE = builtinKind("", "v1", "Node");
export const POD = builtinKind("", "v1", "Pod");
export const SERVICE = builtinKind("", "v1", "Service");
export const ENDPOINTS = builtinKind("", "v1", "Endpoints");
export const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
export const SECRET = builtinKind("", "v1", "Secret");
export const SERVICE_ACCOUNT = builtinKind("", "v1", "ServiceAccount");
export const REPLICATION_CONTROLLER = builtinKind("", "v1", "ReplicationController");
export const RESOURCE_QUOTA = builtinKind("", "v1", "ResourceQuota");
export const PERSISTENT_VOLUME = builtinKind("", "v1", "PersistentVolume");
export const PERSISTENT_VOLUME_CLAIM = builtinKind("", "v1", "PersistentVolumeClaim");
export const REPLICA_SET = builtinKind("apps", "v1", "ReplicaSet");
export const DEPLOYMENT = builtinKind("apps", "v1", "Deployment");
export const STATEFUL_SET = builtinKind("apps", "v1", "StatefulSet");
export const DAEMON_SET = builtinKind("apps", "v1", "DaemonSet");
export const CONTROLLER_REVISION = builtinKind("apps", "v1", "ControllerRevision");
export const JOB = builtinKind("batch", "v1", "Job");
export const CRON_JOB = builtinKind("batch", "v1", "CronJob");
export const ENDPOINT_SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");
export const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
export const POD_DISRUPTION_BUDGET = builtinKind("policy", "v1", "PodDisruptionBudget");
export const HORIZONTAL_POD_AUTOSCALER = builtinKind("autoscaling", "v2", "HorizontalPodAutoscaler");
export const STORAGE_CLASS = builtinKind("storage.k8s.io", "v1", "StorageClass");
export const CLUSTER_ROLE = builtinKind("rbac.authorization.k8s.io", "v1", "ClusterRole");
export const CERTIFICATE_SIGNING_REQUEST = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");

/** How those watch a kind who need no more than the metadata: kinds somebody looks into are cached whole for all, and only once. */
export function metadataScope({ group, plural, isCustom }: KindInfo): InformerScope {
  return isCustom || (group === "" && plural === "configmaps") ? { metadataOnly: true } : {};
}

// The table of kinds: every resource the API serves, one row each, as data both sides read.
// Behaviour (defaults, validation, columns) belongs to the strategy of a kind, schema to `api/schema`.

/** A verb of the resource API, as RBAC and discovery spell it. */
export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

/** A group, version and kind; the core group is the empty string. */
export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** One subresource of a kind, such as `status`; `gvk` names the kind of its body. */
export interface SubresourceInfo {
  readonly name: string;
  readonly gvk: GroupVersionKind;
  readonly verbs: readonly Verb[];
}

/** One served resource in one version. */
export interface KindInfo extends GroupVersionKind {
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  /** What discovery says instead: of a kind that is going away, those verbs that still make sense. */
  readonly listedVerbs?: readonly Verb[];
  readonly subresources: Readonly<Record<string, SubresourceInfo>>;
  /** Where objects are stored when it is not this row: the same object served under two group-versions. */
  readonly storedAs?: { readonly group: string; readonly version: string };
  /** What a list of these calls itself, where it is not the kind and `List`. */
  readonly listKind?: string;
  /** Added at run time: what is stored may be of another version or older than the schema, and is made what is served when read. */
  readonly isCustom?: boolean;
}

/** The kind of a list of these. */
export function listKindOf({ kind, listKind }: Pick<KindInfo, "kind" | "listKind">): string {
  return listKind ?? `${kind}List`;
}

/** What a row may say beyond its name; everything left out is derived. */
interface RowOptions {
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly verbs?: readonly Verb[];
  readonly singular?: string;
  readonly subresources?: Readonly<Record<string, { readonly as?: readonly [string, string, string]; readonly verbs?: readonly Verb[] }>>;
  readonly storedAs?: readonly [string, string];
}

const ALL_VERBS: readonly Verb[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const SUBRESOURCE_VERBS: readonly Verb[] = ["get", "patch", "update"];
const namespaced = true;
const cluster = false;

/** Every built-in resource of Kubernetes 1.36's stable group-versions, in discovery order. */
export const KINDS: readonly KindInfo[] = [
  // v1
  row("", "v1", "bindings", "Binding", namespaced, { verbs: ["create"] }),
  row("", "v1", "componentstatuses", "ComponentStatus", cluster, { shortNames: ["cs"], verbs: ["get", "list"] }),
  row("", "v1", "configmaps", "ConfigMap", namespaced, { shortNames: ["cm"] }),
  row("", "v1", "endpoints", "Endpoints", namespaced, { shortNames: ["ep"] }),
  row("", "v1", "events", "Event", namespaced, { shortNames: ["ev"] }),
  row("", "v1", "limitranges", "LimitRange", namespaced, { shortNames: ["limits"] }),
  row("", "v1", "namespaces", "Namespace", cluster, { shortNames: ["ns"], verbs: ["create", "delete", "get", "list", "patch", "update", "watch"], subresources: { finalize: { verbs: ["update"] }, status: {} } }),
  row("", "v1", "nodes", "Node", cluster, { shortNames: ["no"], subresources: { proxy: { as: ["", "v1", "NodeProxyOptions"], verbs: ["create", "delete", "get", "patch", "update"] }, status: {} } }),
  row("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced, { shortNames: ["pvc"], subresources: { status: {} } }),
  row("", "v1", "persistentvolumes", "PersistentVolume", cluster, { shortNames: ["pv"], subresources: { status: {} } }),
  row("", "v1", "pods", "Pod", namespaced, { shortNames: ["po"], categories: ["all"], subresources: { attach: { as: ["", "v1", "PodAttachOptions"], verbs: ["create", "get"] }, binding: { as: ["", "v1", "Binding"], verbs: ["create"] }, ephemeralcontainers: {}, eviction: { as: ["policy", "v1", "Eviction"], verbs: ["create"] }, exec: { as: ["", "v1", "PodExecOptions"], verbs: ["create", "get"] }, log: { verbs: ["get"] }, portforward: { as: ["", "v1", "PodPortForwardOptions"], verbs: ["create", "get"] }, proxy: { as: ["", "v1", "PodProxyOptions"], verbs: ["create", "delete", "get", "patch", "update"] }, resize: {}, status: {} } }),
  row("", "v1", "podtemplates", "PodTemplate", namespaced),
  row("", "v1", "replicationcontrollers", "ReplicationController", namespaced, { shortNames: ["rc"], categories: ["all"], subresources: { scale: { as: ["autoscaling", "v1", "Scale"] }, status: {} } }),
  row("", "v1", "resourcequotas", "ResourceQuota", namespaced, { shortNames: ["quota"], subresources: { status: {} } }),
  row("", "v1", "secrets", "Secret", namespaced),
  row("", "v1", "serviceaccounts", "ServiceAccount", namespaced, { shortNames: ["sa"], subresources: { token: { as: ["authentication.k8s.io", "v1", "TokenRequest"], verbs: ["create"] } } }),
  row("", "v1", "services", "Service", namespaced, { shortNames: ["svc"], categories: ["all"], subresources: { proxy: { as: ["", "v1", "ServiceProxyOptions"], verbs: ["create", "delete", "get", "patch", "update"] }, status: {} } }),

  // apps/v1
  row("apps", "v1", "controllerrevisions", "ControllerRevision", namespaced),
  row("apps", "v1", "daemonsets", "DaemonSet", namespaced, { shortNames: ["ds"], categories: ["all"], subresources: { status: {} } }),
  row("apps", "v1", "deployments", "Deployment", namespaced, { shortNames: ["deploy"], categories: ["all"], subresources: { scale: { as: ["autoscaling", "v1", "Scale"] }, status: {} } }),
  row("apps", "v1", "replicasets", "ReplicaSet", namespaced, { shortNames: ["rs"], categories: ["all"], subresources: { scale: { as: ["autoscaling", "v1", "Scale"] }, status: {} } }),
  row("apps", "v1", "statefulsets", "StatefulSet", namespaced, { shortNames: ["sts"], categories: ["all"], subresources: { scale: { as: ["autoscaling", "v1", "Scale"] }, status: {} } }),

  // batch/v1
  row("batch", "v1", "cronjobs", "CronJob", namespaced, { shortNames: ["cj"], categories: ["all"], subresources: { status: {} } }),
  row("batch", "v1", "jobs", "Job", namespaced, { categories: ["all"], subresources: { status: {} } }),

  // autoscaling/v2
  row("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", namespaced, { shortNames: ["hpa"], categories: ["all"], subresources: { status: {} } }),

  // autoscaling/v1
  row("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", namespaced, { storedAs: ["autoscaling", "v2"], shortNames: ["hpa"], categories: ["all"], subresources: { status: {} } }),

  // policy/v1
  row("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced, { shortNames: ["pdb"], subresources: { status: {} } }),

  // networking.k8s.io/v1
  row("networking.k8s.io", "v1", "ingressclasses", "IngressClass", cluster),
  row("networking.k8s.io", "v1", "ingresses", "Ingress", namespaced, { shortNames: ["ing"], subresources: { status: {} } }),
  row("networking.k8s.io", "v1", "ipaddresses", "IPAddress", cluster, { shortNames: ["ip"] }),
  row("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", namespaced, { shortNames: ["netpol"] }),
  row("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", cluster, { subresources: { status: {} } }),

  // discovery.k8s.io/v1
  row("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced),

  // coordination.k8s.io/v1
  row("coordination.k8s.io", "v1", "leases", "Lease", namespaced),

  // events.k8s.io/v1
  row("events.k8s.io", "v1", "events", "Event", namespaced, { storedAs: ["", "v1"], shortNames: ["ev"] }),

  // node.k8s.io/v1
  row("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", cluster),

  // scheduling.k8s.io/v1
  row("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", cluster, { shortNames: ["pc"] }),

  // storage.k8s.io/v1
  row("storage.k8s.io", "v1", "csidrivers", "CSIDriver", cluster),
  row("storage.k8s.io", "v1", "csinodes", "CSINode", cluster),
  row("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity", namespaced),
  row("storage.k8s.io", "v1", "storageclasses", "StorageClass", cluster, { shortNames: ["sc"] }),
  row("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", cluster, { subresources: { status: {} } }),
  row("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", cluster, { shortNames: ["vac"] }),

  // rbac.authorization.k8s.io/v1
  row("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", cluster),
  row("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", cluster),
  row("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", namespaced),
  row("rbac.authorization.k8s.io", "v1", "roles", "Role", namespaced),

  // authentication.k8s.io/v1
  row("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", cluster, { verbs: ["create"] }),
  row("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", cluster, { verbs: ["create"] }),

  // authorization.k8s.io/v1
  row("authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced, { verbs: ["create"] }),
  row("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", cluster, { verbs: ["create"] }),
  row("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", cluster, { verbs: ["create"] }),
  row("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", cluster, { verbs: ["create"] }),

  // certificates.k8s.io/v1
  row("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", cluster, { shortNames: ["csr"], subresources: { approval: {}, status: {} } }),

  // admissionregistration.k8s.io/v1
  row("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", cluster, { categories: ["api-extensions"] }),
  row("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", cluster, { categories: ["api-extensions"] }),
  row("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", cluster, { categories: ["api-extensions"] }),
  row("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", cluster, { categories: ["api-extensions"], subresources: { status: {} } }),
  row("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", cluster, { categories: ["api-extensions"] }),
  row("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", cluster, { categories: ["api-extensions"] }),

  // apiextensions.k8s.io/v1
  row("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", cluster, { shortNames: ["crd", "crds"], categories: ["api-extensions"], subresources: { status: {} } }),

  // apiregistration.k8s.io/v1
  row("apiregistration.k8s.io", "v1", "apiservices", "APIService", cluster, { categories: ["api-extensions"], subresources: { status: {} } }),

  // flowcontrol.apiserver.k8s.io/v1
  row("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", cluster, { subresources: { status: {} } }),
  row("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", cluster, { subresources: { status: {} } }),

  // resource.k8s.io/v1
  row("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", cluster),
  row("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", namespaced, { subresources: { status: {} } }),
  row("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate", namespaced),
  row("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", cluster),
];

/** `apps/v1`, or just `v1` for the core group. */
export function apiVersionOf(gv: { readonly group: string; readonly version: string }): string {
  return gv.group === "" ? gv.version : `${gv.group}/${gv.version}`;
}

/** Splits an `apiVersion`; the core group comes back as the empty string. */
export function parseApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? { group: "", version: apiVersion } : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** `deployments.apps`, or just `pods` for the core group, as upstream writes a GroupResource in messages. */
export function groupResourceOf(kind: { readonly group: string; readonly plural: string }): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}

/** Builds one row; also how custom resources make theirs at run time. */
// One row is one line of the table above; names for each part would hide the table.
// oxlint-disable-next-line max-params
export function row(group: string, version: string, plural: string, kind: string, isNamespaced: boolean, options: RowOptions = {}): KindInfo {
  const subresources: Record<string, SubresourceInfo> = {};
  for (const [name, sub] of Object.entries(options.subresources ?? {})) {
    const [subGroup, subVersion, subKind] = sub.as ?? [group, version, kind];
    subresources[name] = { name, gvk: { group: subGroup, version: subVersion, kind: subKind }, verbs: sub.verbs ?? SUBRESOURCE_VERBS };
  }
  return {
    group, version, kind, plural, namespaced: isNamespaced, subresources,
    singular: options.singular ?? kind.toLowerCase(),
    shortNames: options.shortNames ?? [],
    categories: options.categories ?? [],
    verbs: options.verbs ?? ALL_VERBS,
    ...(options.storedAs && { storedAs: { group: options.storedAs[0], version: options.storedAs[1] } }),
  };
}

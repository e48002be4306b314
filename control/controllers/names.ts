// What `--controllers` takes: upstream's names and its older ones, `*`, and `-name`; and which of them that turns on.
// What the names stand for is `index.ts`'s business. Rules: k8s.io/controller-manager, kube-controller-manager/names.

/** Older names upstream goes on taking. */
const ALIASES: Readonly<Record<string, string>> = {
  daemonset: "daemonset-controller", statefulset: "statefulset-controller", replicaset: "replicaset-controller", deployment: "deployment-controller",
  horizontalpodautoscaling: "horizontal-pod-autoscaler-controller", job: "job-controller", cronjob: "cronjob-controller",
  bootstrapsigner: "bootstrap-signer-controller", tokencleaner: "token-cleaner-controller",
  csrsigning: "certificatesigningrequest-signing-controller", csrapproving: "certificatesigningrequest-approving-controller", csrcleaner: "certificatesigningrequest-cleaner-controller",
  "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
  service: "service-lb-controller", route: "node-route-controller", "cloud-node-lifecycle": "cloud-node-lifecycle-controller",
  nodeipam: "node-ipam-controller", nodelifecycle: "node-lifecycle-controller", "persistentvolume-binder": "persistentvolume-binder-controller",
  attachdetach: "persistentvolume-attach-detach-controller", "persistentvolume-expander": "persistentvolume-expander-controller",
  "ephemeral-volume": "ephemeral-volume-controller", endpoint: "endpoints-controller", replicationcontroller: "replicationcontroller-controller",
  podgc: "pod-garbage-collector-controller", resourcequota: "resourcequota-controller", namespace: "namespace-controller", serviceaccount: "serviceaccount-controller",
  ttl: "ttl-controller", garbagecollector: "garbage-collector-controller", "pvc-protection": "persistentvolumeclaim-protection-controller", "pv-protection": "persistentvolume-protection-controller",
  "ttl-after-finished": "ttl-after-finished-controller", "legacy-service-account-token-cleaner": "legacy-serviceaccount-token-cleaner-controller",
  "storage-version-gc": "storageversion-garbage-collector-controller", endpointslice: "endpointslice-controller", endpointslicemirroring: "endpointslice-mirroring-controller",
  disruption: "disruption-controller", "clusterrole-aggregation": "clusterrole-aggregation-controller", "resource-claim-controller": "resourceclaim-controller",
  "serviceaccount-token": "serviceaccount-token-controller", svm: "storage-version-migrator-controller",
};

/** Upstream's, of which nothing runs here: off by default there too, done elsewhere here, or a cloud's. A list may name them all the same. */
export const WITHOUT_WORK: readonly string[] = [
  "podcertificaterequest-cleaner-controller", "podgroup-protection-controller", "service-ca-certificate-publisher-controller", "kube-apiserver-serving-clustertrustbundle-publisher-controller",
  "storageversion-garbage-collector-controller", "resourcepoolstatusrequest-controller",
  "validatingadmissionpolicy-status-controller", "storage-version-migrator-controller", "selinux-warning-controller",
  "service-lb-controller", "node-route-controller", "cloud-node-lifecycle-controller",
];

/** What is wrong with a list, in upstream's words; undefined for one that can be meant. */
export function unknownController(list: readonly string[], known: readonly string[]): string | undefined {
  const all = new Set([...known, ...WITHOUT_WORK]);
  const unknown = list.find((name) => name !== "*" && !all.has(canonical(unsigned(name))));
  return unknown === undefined ? undefined : `${JSON.stringify(unsigned(unknown))} is not in the list of known controllers`;
}

/** Whether a list turns a controller on: the first word about it counts, else whether there is a `*`. */
export function isControllerOn(name: string, list: readonly string[]): boolean {
  const word = list.find((each) => canonical(unsigned(each)) === name);
  return word === undefined ? list.includes("*") : !word.startsWith("-");
}

/** Every older name of a controller. */
export function aliasesOf(name: string): string[] {
  return Object.keys(ALIASES).filter((alias) => ALIASES[alias] === name);
}

function unsigned(name: string): string {
  return name.replace(/^-/, "");
}

function canonical(name: string): string {
  return ALIASES[name] ?? name;
}

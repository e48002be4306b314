// Gives every namespace what pods in it take for granted: a default ServiceAccount and the authority to trust.
import { keyOf } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from "../../api/errors.ts";
import type { ConfigMap, Namespace, ServiceAccount, Stored } from "../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { CONFIG_MAP, NAMESPACE, SERVICE_ACCOUNT } from "./kinds.ts";
import { isSame } from "./template.ts";

const DEFAULT = "default";
const ROOT_CA = "kube-root-ca.crt";
const ROOT_CA_ANNOTATIONS = {
  "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
};

/** Makes the ServiceAccount `default` wherever it is missing. */
export function serviceAccountController(deps: ControllerDeps): Controller {
  const name = "serviceaccount-controller";
  const client = deps.clientFor(name);
  const queue = new WorkQueue({ clock: deps.clock });
  const namespaces = deps.informers.for<Namespace>(NAMESPACE);
  const accounts = deps.informers.for<ServiceAccount>(SERVICE_ACCOUNT);
  const enqueue = (namespace: Stored<Namespace>): void => queue.add(keyOf(namespace));
  namespaces.addHandler({ add: enqueue, update: enqueue });
  accounts.addHandler({ delete: ({ metadata }) => (metadata.name === DEFAULT ? queue.add(metadata.namespace ?? "") : undefined) });

  const reconcile = async (namespace: string): Promise<void> => {
    if (!isLive(namespaces.lister.get(namespace)) || accounts.lister.get(`${namespace}/${DEFAULT}`)) return;
    await tolerant(client.create<ServiceAccount>(SERVICE_ACCOUNT, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: DEFAULT, namespace } }));
  };
  return controllerOf({ name, queue, informers: deps.informers, workers: 1, reconcile, subject: telling(deps, name, namespaces) });
}

/** Keeps the ConfigMap `kube-root-ca.crt` of every namespace as it should be. */
export function rootCaPublisher(deps: ControllerDeps): Controller {
  const name = "root-ca-certificate-publisher-controller";
  const client = deps.clientFor(name);
  const queue = new WorkQueue({ clock: deps.clock });
  const namespaces = deps.informers.for<Namespace>(NAMESPACE);
  const maps = deps.informers.for<ConfigMap>(CONFIG_MAP, { fieldSelector: `metadata.name=${ROOT_CA}` });
  const enqueue = (namespace: Stored<Namespace>): void => queue.add(keyOf(namespace));
  const enqueueNamespaceOf = ({ metadata }: Stored<ConfigMap>): void => queue.add(metadata.namespace ?? "");
  namespaces.addHandler({ add: enqueue, update: enqueue });
  maps.addHandler({ update: enqueueNamespaceOf, delete: enqueueNamespaceOf });

  const reconcile = async (namespace: string): Promise<void> => {
    if (!isLive(namespaces.lister.get(namespace))) return;
    const current = maps.lister.get(`${namespace}/${ROOT_CA}`);
    const data = { "ca.crt": deps.settings.clusterCaPem };
    const annotations = { ...current?.metadata.annotations, ...ROOT_CA_ANNOTATIONS };
    if (!current) {
      await tolerant(client.create<ConfigMap>(CONFIG_MAP, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: ROOT_CA, namespace, annotations }, data }));
    } else if (!isSame(current.data, data) || !isSame(current.metadata.annotations, annotations)) {
      await client.update<ConfigMap>(CONFIG_MAP, { ...current, metadata: { ...current.metadata, annotations }, data });
    }
  };
  return controllerOf({ name, queue, informers: deps.informers, workers: 1, reconcile, subject: telling(deps, name, namespaces) });
}

function isLive(namespace: Stored<Namespace> | undefined): boolean {
  return namespace !== undefined && namespace.status?.phase !== "Terminating" && !namespace.metadata.deletionTimestamp;
}

/** Another may have made it first, or the namespace may be going away: both are fine. */
async function tolerant(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isAlreadyExists(error) && !isNotFound(error) && !isNamespaceTerminating(error)) throw error;
  }
}

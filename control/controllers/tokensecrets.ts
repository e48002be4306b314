// Fills Secrets of type service-account-token with a token of the ServiceAccount they name, and removes those whose account is gone.
// Signing is the owner's setting; without it such Secrets stay as they are.
import { keyOf } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { orAbsent } from "../../api/errors.ts";
import type { Secret, ServiceAccount, Stored } from "../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { SECRET, SERVICE_ACCOUNT } from "./kinds.ts";

const TYPE = "kubernetes.io/service-account-token";
const ACCOUNT_NAME = "kubernetes.io/service-account.name";
const ACCOUNT_UID = "kubernetes.io/service-account.uid";

/** Keeps a token, the namespace and the cluster's authority in every token Secret. */
export function tokenSecretController(deps: ControllerDeps): Controller {
  const name = "serviceaccount-token-controller";
  const client = deps.clientFor(name);
  const queue = new WorkQueue({ clock: deps.clock });
  const secrets = deps.informers.for<Secret>(SECRET, { fieldSelector: `type=${TYPE}` });
  const accounts = deps.informers.for<ServiceAccount>(SERVICE_ACCOUNT);
  const enqueue = (secret: Stored<Secret>): void => queue.add(keyOf(secret));
  secrets.addHandler({ add: enqueue, update: enqueue });
  const enqueueSecretsOf = ({ metadata }: Stored<ServiceAccount>): void => {
    for (const secret of secrets.lister.inNamespace(metadata.namespace ?? "")) if (secret.metadata.annotations?.[ACCOUNT_NAME] === metadata.name) enqueue(secret);
  };
  accounts.addHandler({ delete: enqueueSecretsOf });

  const reconcile = async (key: string): Promise<void> => {
    const secret = secrets.lister.get(key);
    const issue = deps.settings.issueLegacyToken;
    if (!secret || secret.type !== TYPE || secret.metadata.deletionTimestamp || !issue) return;
    const account = await liveAccount(secret);
    const { namespace, name: secretName, uid } = secret.metadata;
    if (!account) return void (await orAbsent(client.delete(SECRET, { namespace, name: secretName }, { preconditions: { uid } })));
    const wanted = filled(secret, account, { issue, clusterCaPem: deps.settings.clusterCaPem });
    if (wanted) await client.update<Secret>(SECRET, wanted);
  };

  /** Asked anew before a Secret is deleted, because the cache may not have heard of its account yet. */
  async function liveAccount({ metadata: { namespace, annotations } }: Stored<Secret>): Promise<Stored<ServiceAccount> | undefined> {
    const wanted = annotations?.[ACCOUNT_NAME] ?? "";
    const isTheOne = (account: Stored<ServiceAccount> | undefined): boolean => account !== undefined && (annotations?.[ACCOUNT_UID] ?? account.metadata.uid) === account.metadata.uid;
    const cached = accounts.lister.get(`${namespace}/${wanted}`);
    if (isTheOne(cached)) return cached;
    const live = await orAbsent(client.get<ServiceAccount>(SERVICE_ACCOUNT, { namespace, name: wanted }));
    return isTheOne(live) ? live : undefined;
  }
  return controllerOf({ name, queue, informers: deps.informers, workers: 2, reconcile, subject: telling(deps, name, secrets) });
}

/** The Secret with what it lacks; undefined when it lacks nothing. */
function filled(secret: Stored<Secret>, account: Stored<ServiceAccount>, { issue, clusterCaPem }: { issue: (account: Stored<ServiceAccount>, secretName: string) => string; clusterCaPem: string }): Stored<Secret> | undefined {
  const { data = {}, metadata } = secret;
  const ca = base64(clusterCaPem);
  if (data["token"] && data["namespace"] && data["ca.crt"] === ca && metadata.annotations?.[ACCOUNT_UID]) return undefined;
  return {
    ...secret,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [ACCOUNT_UID]: account.metadata.uid } },
    data: { ...data, "ca.crt": ca, namespace: data["namespace"] || base64(metadata.namespace ?? ""), token: data["token"] || base64(issue(account, metadata.name)) },
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

// Takes away tokens that were once made for every ServiceAccount and that nobody uses: marked invalid after a year, deleted a year later.
// Rules: k8s.io/kubernetes/pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go. Tokens made by hand, which no account lists, stay.
import { isConflict, isNotFound, orAbsent } from "../../api/errors.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import type { ConfigMap, Pod, Secret, ServiceAccount, Stored } from "../../api/types.ts";
import { logger } from "../../lib/log.ts";
import { controllerOf, type Controller, type ControllerDeps } from "./controller.ts";
import { CONFIG_MAP, POD, SECRET, SERVICE_ACCOUNT } from "./kinds.ts";

const log = logger("legacy-serviceaccount-token-cleaner-controller");
const TYPE = "kubernetes.io/service-account-token";
const TRACKING = { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" };
const LAST_USED = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since";
const DAY_MS = 24 * 3_600_000;
const CLEAN_UP_MS = 365 * DAY_MS;
const ROUND = "all";

/** Looks at all tokens now and once a day. */
export function legacyTokenCleaner(deps: ControllerDeps): Controller {
  const name = "legacy-serviceaccount-token-cleaner-controller";
  const client = deps.clientFor("legacy-service-account-token-cleaner");
  const queue = new WorkQueue({ clock: deps.clock });
  const secrets = deps.informers.for<Secret>(SECRET, { fieldSelector: `type=${TYPE}` });
  const accounts = deps.informers.for<ServiceAccount>(SERVICE_ACCOUNT);
  const pods = deps.informers.for<Pod>(POD);
  const periodMs = deps.settings.legacyTokenCleanUpMs ?? CLEAN_UP_MS;
  queue.add(ROUND);

  const reconcile = async (): Promise<void> => {
    queue.addAfter(ROUND, DAY_MS);
    const now = deps.clock.now();
    const tracked = await orAbsent(client.get<ConfigMap>(CONFIG_MAP, TRACKING));
    const since = dayOf(tracked?.data?.["since"]);
    // Uses are known from the day after on which they began to be written down.
    if (since === undefined || now < since + DAY_MS + periodMs) return;
    for (const secret of secrets.lister.list()) {
      const fate = fateOf(secret, { account: accountOf(secret), keepFrom: now - periodMs });
      if (!fate || isMounted(secret)) continue;
      await carryOut(fate, secret, now);
    }
  };

  function accountOf({ metadata: { namespace, annotations } }: Stored<Secret>): Stored<ServiceAccount> | undefined {
    const account = accounts.lister.get(`${namespace}/${annotations?.["kubernetes.io/service-account.name"] ?? ""}`);
    const uid = annotations?.["kubernetes.io/service-account.uid"];
    return account && (!uid || uid === account.metadata.uid) ? account : undefined;
  }

  function isMounted({ metadata: { namespace, name: secretName } }: Stored<Secret>): boolean {
    return pods.lister.inNamespace(namespace ?? "").some((pod) => namesSecret(pod.spec, secretName));
  }

  async function carryOut(fate: Fate, { metadata: { namespace, name: secretName, uid, resourceVersion } }: Stored<Secret>, now: number): Promise<void> {
    try {
      if (fate === "mark") await client.patch<Secret>(SECRET, { namespace, name: secretName }, { metadata: { uid, labels: { [INVALID_SINCE]: textOf(now) } } }, { type: "merge" });
      else await client.delete(SECRET, { namespace, name: secretName }, { preconditions: { resourceVersion } });
      log.info({ secret: `${namespace}/${secretName}` }, fate === "mark" ? "a token nobody uses is marked invalid" : "a token that was invalid long enough is deleted");
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }
  return controllerOf({ name, queue, informers: deps.informers, workers: 1, reconcile });
}

type Fate = "mark" | "delete";

/** What becomes of a token; `keepFrom` is the moment since which it may have been made, used or marked to stay as it is. */
export function fateOf({ metadata }: Stored<Secret>, { account, keepFrom }: { account: Stored<ServiceAccount> | undefined; keepFrom: number }): Fate | undefined {
  const { labels = {}, creationTimestamp, deletionTimestamp, name } = metadata;
  const keepFromDay = textOf(keepFrom);
  const lastUsed = labels[LAST_USED];
  if (deletionTimestamp || Date.parse(creationTimestamp) >= keepFrom) return undefined;
  if (lastUsed !== undefined && (dayOf(lastUsed) === undefined || lastUsed >= keepFromDay)) return undefined;
  // Whether it was made for the account or by hand shows only there.
  if (!account?.secrets?.some((reference) => reference.name === name)) return undefined;
  const invalidSince = labels[INVALID_SINCE];
  if (dayOf(invalidSince) === undefined) return "mark";
  return (invalidSince as string) >= keepFromDay ? undefined : "delete";
}

/** Whether a pod names a Secret in its volumes, its environment or for its images. */
function namesSecret(spec: Pod["spec"], name: string): boolean {
  const { volumes = [], containers = [], initContainers = [], ephemeralContainers = [], imagePullSecrets = [] } = spec ?? { containers: [] };
  const inVolumes = volumes.some(({ secret, projected, ...others }) => secret?.secretName === name || projected?.sources?.some((source) => source.secret?.name === name) || Object.values(others).some((source) => isReference(source, name)));
  const inContainers = [...containers, ...initContainers, ...ephemeralContainers].some(({ env = [], envFrom = [] }) => env.some(({ valueFrom }) => valueFrom?.secretKeyRef?.name === name) || envFrom.some(({ secretRef }) => secretRef?.name === name));
  return inVolumes || inContainers || imagePullSecrets.some((reference) => reference.name === name);
}

/** Other kinds of volumes name theirs in one of these. */
function isReference(source: unknown, name: string): boolean {
  const { secretRef, nodePublishSecretRef, secretName } = (source ?? {}) as { secretRef?: { name?: string }; nodePublishSecretRef?: { name?: string }; secretName?: string };
  return secretRef?.name === name || nodePublishSecretRef?.name === name || secretName === name;
}

function textOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** The first moment of a day; undefined for what names none. */
function dayOf(text: string | undefined): number | undefined {
  const ms = text !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

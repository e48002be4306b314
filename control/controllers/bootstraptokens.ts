// Bootstrap tokens over their life: they sign what joining nodes read before they trust anybody, and are deleted when expired.
// Format: k8s.io/cluster-bootstrap; the signature is a detached JWS (RFC 7515, appendix F).
import { createHmac } from "node:crypto";
import { keyOf } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { orAbsent } from "../../api/errors.ts";
import type { ConfigMap, Secret, Stored } from "../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { CONFIG_MAP, SECRET } from "./kinds.ts";
import { isSame } from "./template.ts";

const TOKEN_TYPE = "bootstrap.kubernetes.io/token";
const TOKEN_SCOPE = { namespace: "kube-system", fieldSelector: `type=${TOKEN_TYPE}` };
const CLUSTER_INFO = { namespace: "kube-public", name: "cluster-info" };
const SIGNATURE_PREFIX = "jws-kubeconfig-";

/** Deletes bootstrap tokens when their time is up. */
export function tokenCleanerController(deps: ControllerDeps): Controller {
  const name = "token-cleaner-controller";
  const client = deps.clientFor("token-cleaner");
  const queue = new WorkQueue({ clock: deps.clock });
  const tokens = deps.informers.for<Secret>(SECRET, TOKEN_SCOPE);
  const enqueue = (secret: Stored<Secret>): void => queue.add(keyOf(secret));
  tokens.addHandler({ add: enqueue, update: enqueue });
  const reconcile = async (key: string): Promise<void> => {
    const secret = tokens.lister.get(key);
    const left = secret && millisecondsLeft(secret, deps.clock.now());
    if (!secret || left === undefined) return;
    if (left > 0) return queue.addAfter(key, left);
    const { name: secretName, namespace, uid } = secret.metadata;
    await orAbsent(client.delete(SECRET, { name: secretName, namespace }, { preconditions: { uid } }));
  };
  return controllerOf({ name, queue, informers: deps.informers, workers: 1, reconcile, subject: telling(deps, name, tokens) });
}

/** Signs the public `cluster-info` with every token that may sign. */
export function bootstrapSignerController(deps: ControllerDeps): Controller {
  const name = "bootstrap-signer-controller";
  const client = deps.clientFor("bootstrap-signer");
  const queue = new WorkQueue({ clock: deps.clock });
  const tokens = deps.informers.for<Secret>(SECRET, TOKEN_SCOPE);
  const infos = deps.informers.for<ConfigMap>(CONFIG_MAP, { namespace: CLUSTER_INFO.namespace, fieldSelector: `metadata.name=${CLUSTER_INFO.name}` });
  const enqueue = (): void => queue.add(`${CLUSTER_INFO.namespace}/${CLUSTER_INFO.name}`);
  tokens.addHandler({ add: enqueue, update: enqueue, delete: enqueue });
  infos.addHandler({ add: enqueue, update: enqueue });
  const reconcile = async (key: string): Promise<void> => {
    const info = infos.lister.get(key);
    const content = info?.data?.["kubeconfig"];
    if (!info || content === undefined) return;
    const unsigned = Object.entries(info.data ?? {}).filter(([field]) => !field.startsWith(SIGNATURE_PREFIX));
    const signatures = tokens.lister.list().flatMap((secret) => {
      const token = signingToken(secret, deps.clock.now());
      return token ? [[SIGNATURE_PREFIX + token.id, detachedSignature(content, token)] as const] : [];
    });
    const data = Object.fromEntries([...unsigned, ...signatures]);
    if (!isSame(data, info.data)) await client.update<ConfigMap>(CONFIG_MAP, { ...info, data });
  };
  return controllerOf({ name, queue, informers: deps.informers, workers: 1, reconcile, subject: telling(deps, name, infos) });
}

/** `header..signature`, HS256 with the token's secret as key. */
export function detachedSignature(content: string, { id, secret }: { id: string; secret: string }): string {
  const header = Buffer.from(JSON.stringify({ alg: "HS256", kid: id })).toString("base64url");
  const signature = createHmac("sha256", secret).update(`${header}.${Buffer.from(content).toString("base64url")}`).digest("base64url");
  return `${header}..${signature}`;
}

function signingToken(secret: Stored<Secret>, now: number): { id: string; secret: string } | undefined {
  const id = field(secret, "token-id");
  const key = field(secret, "token-secret");
  const isUsable = id !== undefined && key !== undefined && secret.metadata.name === `bootstrap-token-${id}` && field(secret, "usage-bootstrap-signing") === "true";
  return isUsable && (millisecondsLeft(secret, now) ?? 1) > 0 ? { id, secret: key } : undefined;
}

/** Undefined for a token that never expires; a date nobody can read has passed. */
function millisecondsLeft(secret: Secret, now: number): number | undefined {
  const expiration = field(secret, "expiration");
  if (expiration === undefined) return undefined;
  const at = Date.parse(expiration);
  return Number.isNaN(at) ? 0 : Math.max(0, at - now);
}

function field(secret: Secret, name: string): string | undefined {
  const value = secret.data?.[name];
  return value ? Buffer.from(value, "base64").toString("utf8") : undefined;
}

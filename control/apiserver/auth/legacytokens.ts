// Tokens that live in Secrets: on which day each was last used, so that those nobody uses can be found and taken away.
// Labels and ConfigMap: k8s.io/kubernetes/pkg/serviceaccount/legacy.go and pkg/controlplane/controller/legacytokentracking.
import type { Client } from "../../../api/client/client.ts";
import { isAlreadyExists } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { ConfigMap, Secret, Stored } from "../../../api/types.ts";
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { BoundedMap } from "./bounded.ts";

const SECRET = builtinKind("", "v1", "Secret");
const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const LAST_USED = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since";
const TRACKING = "kube-apiserver-legacy-service-account-token-tracking";
const MAX_SECRETS = 10_000;
const log = logger("auth");

/** Why a Secret's token does not count any more; undefined while it does. */
export function invalidation({ metadata }: Stored<Secret>, account: string): string | undefined {
  if (!metadata.labels?.[INVALID_SINCE]) return undefined;
  return `the token in secret ${metadata.namespace}/${metadata.name} for service account ${account} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '${INVALID_SINCE}' label from the secret to temporarily allow use of this token`;
}

/** Writes down the day a Secret's token was last used, once a day and never in the way of the request. */
export class LegacyTokenUse {
  readonly #noted = new BoundedMap<string, string>(MAX_SECRETS);

  constructor(private readonly client: () => Client, private readonly clock: Clock) {}

  note({ metadata }: Stored<Secret>): void {
    const today = dayOf(this.clock.now());
    if (metadata.labels?.[LAST_USED] === today || this.#noted.get(metadata.uid) === today) return;
    this.#noted.set(metadata.uid, today);
    this.#write(metadata, today).catch((error: unknown) => log.warn({ err: error, secret: `${metadata.namespace}/${metadata.name}` }, "the day a token was last used could not be written down"));
  }

  async #write({ name, namespace, uid }: Stored<Secret>["metadata"], today: string): Promise<void> {
    await this.client().patch<Secret>(SECRET, { name, namespace }, { metadata: { uid, labels: { [LAST_USED]: today } } }, { type: "merge" });
  }
}

/** Says since when uses are written down. */
export async function publishTracking(client: Client, clock: Clock): Promise<void> {
  try {
    await client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: TRACKING, namespace: "kube-system" }, data: { since: dayOf(clock.now()) } });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

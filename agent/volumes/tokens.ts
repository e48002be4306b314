// Service account tokens for pods: asked of the API, kept while fresh, renewed at 80% of their life.
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, TokenRequest } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";

const SERVICE_ACCOUNT = builtinKind("", "v1", "ServiceAccount");
const RENEW_AT = 0.8;
const MAX_AGE_MS = 24 * 3_600_000;

interface Token {
  readonly text: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

export class Tokens {
  readonly #tokens = new Map<string, Map<string, Token>>();

  constructor(readonly client: Client, readonly clock: Clock) {}

  /** A token bound to the pod; an old one that is still valid when a new one cannot be had. */
  async get(pod: Pod, options: { readonly audience: string | undefined; readonly expirationSeconds: number }): Promise<string> {
    const uid = pod.metadata.uid ?? "";
    const key = `${options.audience ?? ""}/${options.expirationSeconds}`;
    const known = this.#tokens.get(uid)?.get(key);
    const now = this.clock.now();
    if (known && now < known.renewAt) return known.text;
    try {
      const token = await this.#request(pod, options);
      const ofPod = this.#tokens.get(uid) ?? new Map<string, Token>();
      ofPod.set(key, token);
      this.#tokens.set(uid, ofPod);
      return token.text;
    } catch (error) {
      if (known && now < known.expiresAt) return known.text;
      throw new Error(`failed to fetch token: ${(error as Error).message}`, { cause: error });
    }
  }

  forget(uid: string): void {
    this.#tokens.delete(uid);
  }

  async #request(pod: Pod, { audience, expirationSeconds }: { audience: string | undefined; expirationSeconds: number }): Promise<Token> {
    const { name, namespace, uid } = pod.metadata;
    const body = {
      apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest",
      spec: { audiences: audience ? [audience] : [], expirationSeconds, boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } },
    };
    const account = { name: pod.spec?.serviceAccountName || "default", namespace };
    const { status } = await this.client.post<unknown, TokenRequest>(SERVICE_ACCOUNT, account, "token", body);
    if (!status?.token) throw new Error(`no token was issued for service account ${namespace}/${account.name}`);
    const now = this.clock.now();
    const expiresAt = Date.parse(status.expirationTimestamp ?? "");
    return { text: status.token, expiresAt, renewAt: Math.min(now + (expiresAt - now) * RENEW_AT, now + MAX_AGE_MS) };
  }
}

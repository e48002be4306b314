// Programs that know registry credentials (CredentialProviderConfig): asked for images they match, their answers kept as long as they say.
// The protocol is credentialprovider.kubelet.k8s.io: a request on standard input, a response on standard output.
import { join } from "node:path";
import type { Pod, ServiceAccount } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { durationMs } from "../../lib/duration.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import type { CredentialProvider } from "./credentialproviders.ts";
import { matchesImage, matching, repositoryOf, type Credential, type CredentialSource, type Entries } from "./credentials.ts";

const log = logger("credential-plugins");
const TIMEOUT_MS = 60_000;
const MAX_CACHED = 1_000;
/** What the API gives a token that names no life. */
const TOKEN_SECONDS = 3_600;

export interface CredentialPluginsOptions {
  readonly providers: readonly CredentialProvider[];
  readonly binDir: string;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly serviceAccount: (namespace: string, name: string) => Promise<ServiceAccount>;
  readonly token: (pod: Pod, options: { readonly audience: string; readonly expirationSeconds: number }) => Promise<string>;
}

interface Response {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly cacheKeyType?: "Image" | "Registry" | "Global";
  readonly cacheDuration?: string | null;
  readonly auth?: Readonly<Record<string, { readonly username?: string; readonly password?: string }>> | null;
}

interface Cached {
  readonly entries: Entries;
  readonly expiresAt: number;
}

/** On whose behalf a program is asked. */
interface Account {
  readonly token: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly key: string;
  readonly source: CredentialSource;
}

export class CredentialPlugins {
  readonly #cache = new Map<string, Cached>();
  readonly #running = new Map<string, Promise<Entries>>();

  constructor(readonly options: CredentialPluginsOptions) {}

  /** What the programs that match the image say; one that fails is logged and gives nothing. */
  async credentials(pod: Pod, reference: string): Promise<Credential[]> {
    const asked = this.options.providers.filter((provider) => provider.matchImages.some((pattern) => matchesImage(pattern, reference)));
    const answers = await Promise.all(asked.map((provider) => this.#provide(provider, pod, reference).catch((error: unknown) => {
      log.error({ err: error, provider: provider.name, image: reference }, "a credential provider failed");
      return [];
    })));
    return answers.flat();
  }

  async #provide(provider: CredentialProvider, pod: Pod, reference: string): Promise<Credential[]> {
    const image = repositoryOf(reference);
    const account = await this.#account(provider, pod);
    if (account === "none") return [];
    const accountKey = account ? account.key : "";
    const registry = image.split("/")[0] as string;
    const now = this.options.clock.now();
    for (const key of [image, registry, "<global>"]) {
      const cached = this.#cache.get(cacheKey(provider, key, accountKey));
      if (cached && now <= cached.expiresAt) return matching(reference, cached.entries, account?.source);
    }
    const flight = cacheKey(provider, image, accountKey);
    let running = this.#running.get(flight);
    if (!running) {
      running = this.#ask(provider, image, account).finally(() => this.#running.delete(flight));
      this.#running.set(flight, running);
    }
    return matching(reference, await running, account?.source);
  }

  /** undefined where the program wants no service account, "none" where it wants one that the pod cannot give. */
  async #account({ tokenAttributes }: CredentialProvider, pod: Pod): Promise<Account | "none" | undefined> {
    if (!tokenAttributes) return undefined;
    const { namespace = "" } = pod.metadata;
    const name = pod.spec?.serviceAccountName ?? "";
    if (name === "") return tokenAttributes.requireServiceAccount ? "none" : undefined;
    const { metadata } = await this.options.serviceAccount(namespace, name);
    const annotations: Record<string, string> = {};
    for (const key of tokenAttributes.requiredServiceAccountAnnotationKeys ?? []) {
      const value = metadata.annotations?.[key];
      if (value === undefined) return "none";
      annotations[key] = value;
    }
    for (const key of tokenAttributes.optionalServiceAccountAnnotationKeys ?? []) {
      const value = metadata.annotations?.[key];
      if (value !== undefined) annotations[key] = value;
    }
    const token = await this.options.token(pod, { audience: tokenAttributes.serviceAccountTokenAudience, expirationSeconds: TOKEN_SECONDS });
    const parts = [namespace, name, metadata.uid, annotations, ...(tokenAttributes.cacheType === "Token" ? [new Bun.CryptoHasher("sha256").update(token).digest("hex")] : [])];
    return { token, annotations, key: JSON.stringify(parts), source: { kind: "serviceAccount", uid: metadata.uid ?? "", namespace, name } };
  }

  async #ask(provider: CredentialProvider, image: string, account: Account | undefined): Promise<Entries> {
    const response = await this.#run(provider, image, account);
    const auth = Object.entries(response.auth ?? {});
    if (account && provider.tokenAttributes?.cacheType !== "Token" && auth.some(([, { password }]) => password === account.token)) throw new Error("credential provider plugin returned the service account token as the password which is not allowed when service account cache type is not set to 'Token'");
    const keys = { Image: image, Registry: image.split("/")[0] as string, Global: "<global>" };
    const key = response.cacheKeyType && keys[response.cacheKeyType];
    if (!key) throw new Error(`credential provider plugin did not return a valid cacheKeyType: ${response.cacheKeyType ?? ""}`);
    const entries = auth.map(([registry, { username = "", password = "" }]) => [registry, { username, password }] as const);
    const keepMs = response.cacheDuration === undefined || response.cacheDuration === null ? provider.defaultCacheMs : (durationMs(response.cacheDuration) ?? 0);
    if (keepMs > 0) this.#keep(cacheKey(provider, key, account?.key ?? ""), { entries, expiresAt: this.options.clock.now() + keepMs });
    return entries;
  }

  #keep(key: string, cached: Cached): void {
    const now = this.options.clock.now();
    for (const [other, { expiresAt }] of this.#cache) if (expiresAt < now) this.#cache.delete(other);
    const [oldest] = this.#cache.keys();
    if (this.#cache.size >= MAX_CACHED && oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(key, cached);
  }

  async #run({ name, apiVersion, args, env }: CredentialProvider, image: string, account: Account | undefined): Promise<Response> {
    const request = { kind: "CredentialProviderRequest", apiVersion, image, ...(account && { serviceAccountToken: account.token, serviceAccountAnnotations: account.annotations }) };
    const { exitCode, stdout, stderr } = await this.options.exec([join(this.options.binDir, name), ...args], { stdin: JSON.stringify(request), timeoutMs: TIMEOUT_MS, env });
    if (exitCode !== 0) throw new Error(`error execing credential provider plugin ${name} for image ${image}: exit status ${exitCode}: ${stderr.trim()}`);
    let response: Response;
    try {
      response = JSON.parse(stdout) as Response;
    } catch {
      // What it wrote may hold credentials, so it is not told.
      throw new Error("error decoding credential provider plugin response from stdout");
    }
    if (response.apiVersion !== apiVersion || response.kind !== "CredentialProviderResponse") throw new Error(`apiVersion from credential plugin response did not match expected apiVersion:${apiVersion}, actual apiVersion:${response.apiVersion ?? ""}`);
    return response;
  }
}

function cacheKey({ name }: CredentialProvider, key: string, account: string): string {
  return JSON.stringify([name, key, account]);
}

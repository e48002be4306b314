// The file that names programs which know registry credentials: a CredentialProviderConfig, read and checked.
// Asking the programs is `credentialplugins.ts`'s.
import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse as parseYaml } from "yaml";
import { durationMs } from "../../lib/duration.ts";

const GROUP = "credentialprovider.kubelet.k8s.io";
const VERSIONS = [`${GROUP}/v1`, `${GROUP}/v1beta1`, `${GROUP}/v1alpha1`];
const CONFIG_VERSIONS = ["v1", "v1beta1", "v1alpha1"].map((version) => `kubelet.config.k8s.io/${version}`);

/** One program of the configuration file. */
export interface CredentialProvider {
  readonly name: string;
  readonly apiVersion: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly tokenAttributes?: TokenAttributes | undefined;
}

/** What a program wants to know of the pod an image is for. */
export interface TokenAttributes {
  readonly serviceAccountTokenAudience: string;
  readonly requireServiceAccount: boolean;
  readonly cacheType: "Token" | "ServiceAccount";
  readonly requiredServiceAccountAnnotationKeys?: readonly string[];
  readonly optionalServiceAccountAnnotationKeys?: readonly string[];
}

/** The configuration cannot be used; the message names the field. */
export class CredentialProviderError extends Error {
  override readonly name = "CredentialProviderError";
}

/** Reads and checks the file, and that every program is there; throws CredentialProviderError. */
export function readCredentialProviders(path: string, binDir: string): CredentialProvider[] {
  const fail = (problem: string, cause?: unknown): never => {
    throw new CredentialProviderError(`credential provider configuration ${path}: ${problem}`, { cause });
  };
  const document = readDocument(path, fail);
  if (document.kind !== "CredentialProviderConfig" || !CONFIG_VERSIONS.includes(document.apiVersion ?? "")) fail(`must be a CredentialProviderConfig of ${CONFIG_VERSIONS[0]}, not ${document.kind} of ${document.apiVersion}`);
  const raw = document.providers ?? [];
  if (raw.length === 0) fail("providers: Required value: at least 1 item in plugins is required");
  const names = new Set<string>();
  return raw.map((provider, index) => {
    const problem = problemOf(provider) ?? (names.has(provider.name ?? "") ? `name: Duplicate value: "${provider.name}"` : undefined);
    if (problem) fail(`providers[${index}].${problem}`);
    names.add(provider.name ?? "");
    try {
      accessSync(join(binDir, provider.name ?? ""), constants.X_OK);
    } catch (error) {
      fail(`plugin binary executable ${join(binDir, provider.name ?? "")} did not exist`, error);
    }
    return toProvider(provider);
  });
}

interface RawProvider {
  readonly name?: string;
  readonly apiVersion?: string;
  readonly matchImages?: readonly string[];
  readonly defaultCacheDuration?: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly tokenAttributes?: TokenAttributes;
}

interface RawConfig {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly providers?: readonly RawProvider[];
}

function readDocument(path: string, fail: (problem: string, cause?: unknown) => never): RawConfig {
  try {
    return (parseYaml(readFileSync(path, "utf8")) ?? {}) as RawConfig;
  } catch (error) {
    return fail((error as Error).message, error);
  }
}

function problemOf({ name = "", apiVersion, matchImages = [], defaultCacheDuration, tokenAttributes }: RawProvider): string | undefined {
  if (name === "" || name === "." || name === ".." || /[\s/]/.test(name)) return `name: Invalid value: "${name}": must be a file name without spaces`;
  if (!apiVersion) return "apiVersion: Required value";
  if (!VERSIONS.includes(apiVersion)) return `apiVersion: Unsupported value: "${apiVersion}": supported values: ${VERSIONS.map((one) => `"${one}"`).join(", ")}`;
  if (matchImages.length === 0) return "matchImages: Required value: at least 1 item in matchImages is required";
  if (defaultCacheDuration === undefined) return "defaultCacheDuration: Required value";
  if (durationMs(defaultCacheDuration) === undefined) return `defaultCacheDuration: Invalid value: "${defaultCacheDuration}": must be a duration, such as 10m`;
  if (!tokenAttributes) return undefined;
  if (apiVersion !== VERSIONS[0]) return `tokenAttributes: Forbidden: tokenAttributes is only supported for ${VERSIONS[0]} API version`;
  if (!tokenAttributes.serviceAccountTokenAudience) return "tokenAttributes.serviceAccountTokenAudience: Required value";
  if (typeof tokenAttributes.requireServiceAccount !== "boolean") return "tokenAttributes.requireServiceAccount: Required value";
  if (!["Token", "ServiceAccount"].includes(tokenAttributes.cacheType)) return `tokenAttributes.cacheType: Unsupported value: "${tokenAttributes.cacheType ?? ""}": supported values: "ServiceAccount", "Token"`;
  if (!tokenAttributes.requireServiceAccount && (tokenAttributes.requiredServiceAccountAnnotationKeys ?? []).length > 0) return "tokenAttributes.requiredServiceAccountAnnotationKeys: Forbidden: requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set";
  return undefined;
}

function toProvider({ name = "", apiVersion = "", matchImages = [], defaultCacheDuration = "", args = [], env = [], tokenAttributes }: RawProvider): CredentialProvider {
  return { name, apiVersion, matchImages, defaultCacheMs: durationMs(defaultCacheDuration) ?? 0, args, env: Object.fromEntries(env.map((one) => [one.name, one.value])), tokenAttributes };
}

// Who may use an image without pulling it: a record of the credentials each image was pulled with, kept over restarts.
// Files and their format are upstream's, below `image_manager`, so that a node can change its kubelet.
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nanoid } from "nanoid";
import { timestamp, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { Credential } from "./credentials.ts";

const log = logger("pull-records");

/** Which present images need a credential before a pod may use them. */
export interface VerificationPolicy {
  readonly policy: "NeverVerify" | "NeverVerifyPreloadedImages" | "NeverVerifyAllowlistedImages" | "AlwaysVerify";
  /** For the allow-list: names without tag or digest, or prefixes that end with `/*`. */
  readonly preloadedImages: readonly string[];
}

export const DEFAULT_VERIFICATION: VerificationPolicy = { policy: "NeverVerifyPreloadedImages", preloadedImages: [] };

interface Holder {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

interface PullCredentials {
  readonly kubernetesSecrets?: readonly (Holder & { readonly credentialHash: string })[];
  readonly kubernetesServiceAccounts?: readonly Holder[];
  readonly nodePodsAccessible?: boolean;
}

interface PulledRecord {
  readonly kind: "ImagePulledRecord";
  readonly apiVersion: "kubelet.config.k8s.io/v1beta1";
  readonly lastUpdatedTime: string;
  readonly imageRef: string;
  readonly credentialMapping: Readonly<Record<string, PullCredentials>>;
}

/** Credentials remembered per image; a record beyond that is of no use to anybody. */
const MAX_SECRETS = 100;

export interface PullRecordsOptions {
  /** The kubelet's directory. */
  readonly directory: string;
  readonly clock: Clock;
  readonly verification: VerificationPolicy;
}

export class PullRecords {
  readonly #pulling = new Map<string, number>();

  constructor(readonly options: PullRecordsOptions) {}

  /** Whether a present image must be pulled again to prove that the pod may use it. */
  async mustPull(reference: string, imageId: string, credentials: () => Promise<readonly Credential[]>): Promise<boolean> {
    const record = await this.#read(imageId);
    const isKnown = record !== undefined || this.#pulling.has(reference) || (await exists(this.#intentFile(reference)));
    if (!needsVerification(this.options.verification, reference, isKnown)) return false;
    const known = record?.credentialMapping[bareName(reference)];
    if (!known) return true;
    if (known.nodePodsAccessible) return false;
    const holders = [...(known.kubernetesSecrets ?? []), ...(known.kubernetesServiceAccounts ?? [])];
    if (holders.length === 0) return true;
    for (const credential of await credentials()) {
      const match = matchOf(known, credential);
      if (match === undefined) continue;
      if (match === "changed") await this.pulled(reference, imageId, credential);
      return false;
    }
    return true;
  }

  /** Before a pull: whatever comes of it, this image is one that the node pulled. */
  async begin(reference: string): Promise<void> {
    const others = this.#pulling.get(reference) ?? 0;
    this.#pulling.set(reference, others + 1);
    if (others > 0) return;
    await this.#write("pulling", reference, { kind: "ImagePullIntent", apiVersion: "kubelet.config.k8s.io/v1beta1", image: reference });
  }

  async failed(reference: string): Promise<void> {
    const left = (this.#pulling.get(reference) ?? 1) - 1;
    if (left > 0) {
      this.#pulling.set(reference, left);
      return;
    }
    this.#pulling.delete(reference);
    await rm(this.#intentFile(reference), { force: true });
  }

  /** After a pull, with the credential that worked; undefined when none was needed. */
  async succeeded(reference: string, imageId: string, credential: Credential | undefined): Promise<void> {
    await this.pulled(reference, imageId, credential);
    await this.failed(reference);
  }

  async pulled(reference: string, imageId: string, credential: Credential | undefined): Promise<void> {
    const before = await this.#read(imageId);
    const name = bareName(reference);
    const merged = merge(before?.credentialMapping[name], credential);
    if (before && Bun.deepEquals(merged, before.credentialMapping[name])) return;
    const record: PulledRecord = { kind: "ImagePulledRecord", apiVersion: "kubelet.config.k8s.io/v1beta1", lastUpdatedTime: timestamp(this.options.clock.now()), imageRef: imageId, credentialMapping: { ...before?.credentialMapping, [name]: merged } };
    await this.#write("pulled", imageId, record);
  }

  /** Forgets images that are gone. */
  async prune(imageIds: ReadonlySet<string>): Promise<void> {
    const directory = this.#directory("pulled");
    for (const file of await readdir(directory).catch(() => [])) {
      const record = await readJson<PulledRecord>(join(directory, file));
      if (record && !imageIds.has(record.imageRef)) await rm(join(directory, file), { force: true });
    }
  }

  #read(imageId: string): Promise<PulledRecord | undefined> {
    return readJson(join(this.#directory("pulled"), fileName(imageId)));
  }

  async #write(kind: "pulling" | "pulled", key: string, content: object): Promise<void> {
    const path = join(this.#directory(kind), fileName(key));
    try {
      await mkdir(this.#directory(kind), { recursive: true, mode: 0o700 });
      const draft = `${path}.${nanoid(6)}.tmp`;
      await writeFile(draft, JSON.stringify(content), { mode: 0o600 });
      await rename(draft, path);
    } catch (error) {
      // Without the record the next pod pulls again, which is safe.
      log.warn({ err: error, path }, "an image's record could not be written");
    }
  }

  #intentFile(reference: string): string {
    return join(this.#directory("pulling"), fileName(reference));
  }

  #directory(kind: "pulling" | "pulled"): string {
    return join(this.options.directory, "image_manager", kind);
  }
}

/** Whether the policy asks for proof; `isKnown`: this node pulled the image itself, so it was not preloaded. */
export function needsVerification({ policy, preloadedImages }: VerificationPolicy, reference: string, isKnown: boolean): boolean {
  if (policy === "NeverVerify") return false;
  if (policy === "AlwaysVerify") return true;
  if (policy === "NeverVerifyPreloadedImages") return isKnown;
  const name = bareName(reference);
  return !preloadedImages.some((pattern) => (pattern.endsWith("/*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
}

/** The reference without tag and digest. */
export function bareName(reference: string): string {
  const bare = reference.split("@")[0] as string;
  const tag = bare.indexOf(":", bare.lastIndexOf("/") + 1);
  return tag < 0 ? bare : bare.slice(0, tag);
}

function matchOf(known: PullCredentials, { hash, source }: Credential): "same" | "changed" | undefined {
  if (!source) return undefined;
  const isHolder = (one: Holder): boolean => one.uid === source.uid && one.namespace === source.namespace && one.name === source.name;
  if (source.kind === "serviceAccount") return known.kubernetesServiceAccounts?.some(isHolder) ? "same" : undefined;
  const secrets = known.kubernetesSecrets ?? [];
  if (secrets.some((secret) => isHolder(secret) && secret.credentialHash === hash)) return "same";
  return secrets.some((secret) => isHolder(secret) || secret.credentialHash === hash) ? "changed" : undefined;
}

function merge(before: PullCredentials | undefined, credential: Credential | undefined): PullCredentials {
  const source = credential?.source;
  if (!source || before?.nodePodsAccessible) return { nodePodsAccessible: true };
  const { uid, namespace, name } = source;
  const others = <T extends Holder>(list: readonly T[] = []): T[] => list.filter((one) => one.uid !== uid || one.namespace !== namespace || one.name !== name).slice(-MAX_SECRETS + 1);
  if (source.kind === "serviceAccount") return { ...before, kubernetesServiceAccounts: [...others(before?.kubernetesServiceAccounts), { uid, namespace, name }] };
  return { ...before, kubernetesSecrets: [...others(before?.kubernetesSecrets), { uid, namespace, name, credentialHash: credential.hash }] };
}

function fileName(key: string): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(key).digest("hex")}`;
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as T;
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return Bun.file(path).exists();
}

// The admin kubeconfig: written by the control plane, printed or merged into the user's own.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { parse as parseYaml, stringify as toYaml } from "yaml";
import type { KeyPair } from "../control/pki/certificates.ts";
import { writeFileAtomic } from "../lib/files.ts";
import { DEFAULT_DATA_DIR, type Invocation } from "./commands.ts";

const NAME = "minik8s";
const SYSTEM_PATH = "/etc/minik8s/admin.conf";

interface Named {
  readonly name: string;
}

interface Kubeconfig {
  apiVersion: "v1";
  kind: "Config";
  clusters: (Named & { cluster: Record<string, unknown> })[];
  users: (Named & { user: Record<string, unknown> })[];
  contexts: (Named & { context: Record<string, unknown> })[];
  "current-context": string;
}

/** A kubeconfig with one cluster, one user and one context. */
export function kubeconfigText(options: { server: string; authorityPem: string; client: KeyPair; user?: string }): string {
  const { server, authorityPem, client, user = "kubernetes-admin" } = options;
  const config: Kubeconfig = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: NAME, cluster: { server, "certificate-authority-data": base64(authorityPem) } }],
    users: [{ name: user, user: { "client-certificate-data": base64(client.certPem), "client-key-data": base64(client.keyPem) } }],
    contexts: [{ name: NAME, context: { cluster: NAME, user } }],
    "current-context": NAME,
  };
  return toYaml(config);
}

/** A kubeconfig that says where the cluster is and whose word to take, and is nobody's. */
export function discoveryText({ server, authorityPem }: { server: string; authorityPem: string }): string {
  const config: Kubeconfig = { apiVersion: "v1", kind: "Config", clusters: [{ name: "", cluster: { server, "certificate-authority-data": base64(authorityPem) } }], users: [], contexts: [], "current-context": "" };
  return toYaml(config);
}

/** Writes the admin kubeconfig beside the data and, for the machine's ordinary cluster, where users look for it; readable by root only. */
export function writeAdminKubeconfig(dataDir: string, text: string): void {
  writeFileAtomic(join(dataDir, "admin.conf"), text, 0o600);
  if (dataDir === DEFAULT_DATA_DIR) writeFileAtomic(SYSTEM_PATH, text, 0o600);
}

/** Where the admin kubeconfig is; throws with the way to get one when there is none. */
export function adminKubeconfigPath(dataDir: string): string {
  const path = [join(dataDir, "admin.conf"), SYSTEM_PATH].find((candidate) => existsSync(candidate));
  if (!path) throw new Error(`no admin kubeconfig in ${dataDir} or ${SYSTEM_PATH}; start a control plane here first: minik8s up --detach`);
  return path;
}

export async function runKubeconfig({ values }: Invocation): Promise<number> {
  const text = readFileSync(adminKubeconfigPath(values["data-dir"] as string), "utf8");
  if (!values["merge"]) {
    process.stdout.write(text);
    return 0;
  }
  const target = process.env["KUBECONFIG"]?.split(":")[0] || join(homedir(), ".kube", "config");
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const existing = existsSync(target) ? (parseYaml(readFileSync(target, "utf8")) as Partial<Kubeconfig> | null) : null;
  writeFileAtomic(target, toYaml(merge(existing ?? {}, parseYaml(text) as Kubeconfig)), 0o600);
  process.stdout.write(`context ${NAME} is current in ${target}\n`);
  return 0;
}

/** `added` wins where names are equal; everything else of `existing` stays as it is. */
export function merge(existing: Partial<Kubeconfig>, added: Kubeconfig): Partial<Kubeconfig> {
  return {
    ...existing, apiVersion: "v1", kind: "Config",
    clusters: replaceNamed(existing.clusters, added.clusters),
    users: replaceNamed(existing.users, added.users),
    contexts: replaceNamed(existing.contexts, added.contexts),
    "current-context": added["current-context"],
  };
}

function replaceNamed<T extends Named>(existing: readonly T[] | undefined, added: readonly T[]): T[] {
  return [...(existing ?? []).filter(({ name }) => !added.some((one) => one.name === name)), ...added];
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

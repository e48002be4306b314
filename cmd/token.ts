// Join tokens from the command line.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse as parseYaml } from "yaml";
import { fingerprint } from "../lib/fingerprint.ts";
import { readRoots } from "../control/pki/pki.ts";
import { readClusterConfig } from "./clusterconfig.ts";
import { createControlToken } from "./controltoken.ts";
import { withAdmin } from "./connect.ts";
import { adminKubeconfigPath } from "./kubeconfig.ts";
import { createJoinToken, deleteJoinToken, listJoinTokens } from "./jointoken.ts";
import type { Invocation } from "./commands.ts";
import { UsageError, type Values } from "./flags.ts";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export async function runToken({ values, positionals }: Invocation): Promise<number> {
  const [action, id] = positionals;
  if (action === "create") return create(values);
  if (action === "list") return list(values);
  if (action === "delete" && id) {
    await withAdmin(values, (client) => deleteJoinToken(client, id));
    process.stdout.write(`token ${id.split(".")[0]} deleted\n`);
    return 0;
  }
  throw new UsageError(action === "delete" ? "token delete: name the token's ID; `minik8s token list` shows them" : `token ${action ?? ""}: say what to do: create, list or delete ID`);
}

/** Milliseconds of a duration such as `24h` or `1h30m`; throws UsageError for anything else. */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+)(ms|[smhd])/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) throw new UsageError(`${text}: must be a duration such as 24h, 1h30m or 0`);
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS_MS[unit as string] as number), 0);
}

async function create(values: Values): Promise<number> {
  const ttlMs = parseDuration(values["ttl"] as string);
  const options = { ttlMs, authoritySha256: pinnedAuthority(values), description: `made by minik8s token create${values["control-plane"] ? " for a control plane" : ""}` };
  const token = await withAdmin(values, async (client) => {
    if (!values["control-plane"]) return createJoinToken(client, options);
    const roots = readRoots(join(values["data-dir"] as string, "pki"));
    return createControlToken(client, { roots, config: await readClusterConfig(client) }, options);
  });
  process.stdout.write(`${token}\n`);
  return 0;
}

async function list(values: Values): Promise<number> {
  const tokens = await withAdmin(values, (client) => listJoinTokens(client));
  const rows = [["ID", "EXPIRES", "DESCRIPTION"], ...tokens.map(({ id, expiration, description }) => [id, expiration || "never", description])];
  for (const [id, expires, description] of rows) process.stdout.write(`${id?.padEnd(8)}  ${expires?.padEnd(24)}  ${description}\n`);
  return 0;
}

/** SHA-256 of the authority the kubeconfig trusts. */
function pinnedAuthority(values: Values): string {
  const config = parseYaml(readFileSync(values["kubeconfig"] ?? adminKubeconfigPath(values["data-dir"] as string), "utf8")) as { clusters: { cluster: { "certificate-authority-data": string } }[] };
  const pem = Buffer.from(config.clusters[0]?.cluster["certificate-authority-data"] ?? "", "base64").toString("utf8");
  return fingerprint(pem);
}

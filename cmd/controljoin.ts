// A further control plane of a cluster: takes over the cluster's keys and settings once, and starts from what it kept afterwards.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HttpClient } from "../api/client/http.ts";
import { fingerprint } from "../lib/fingerprint.ts";
import { saveRoots } from "../control/pki/pki.ts";
import { writeFileAtomic } from "../lib/files.ts";
import { logger } from "../lib/log.ts";
import type { ClusterConfig } from "./clusterconfig.ts";
import { fetchClusterKeys, parseControlToken } from "./controltoken.ts";
import { isShared } from "./datastore.ts";
import { UsageError, type Values } from "./flags.ts";

const log = logger("control");

/** The flags to start with: those given, with the cluster's own settings in place of defaults. Without `--join` they stay as they are. */
export async function joinControlPlane(values: Values): Promise<Values> {
  const server = values["join"];
  if (!server) return values;
  if (!isShared(values)) throw new UsageError(`--datastore ${values["datastore"]}: control planes share one store; pass the cluster's etcd://...`);
  const directory = join(values["data-dir"] as string, "pki");
  const settings = join(directory, "cluster.json");
  if (!existsSync(settings)) await takeOver(server, values, { directory, settings });
  const { clusterCidr, serviceCidr, clusterDomain } = JSON.parse(readFileSync(settings, "utf8")) as ClusterConfig;
  return { ...values, "cluster-cidr": clusterCidr, "service-cidr": serviceCidr, "cluster-domain": clusterDomain };
}

async function takeOver(server: string, values: Values, { directory, settings }: { directory: string; settings: string }): Promise<void> {
  if (!values["token"]) throw new UsageError("--token: joining takes what `minik8s token create --control-plane` prints on a control plane that runs");
  if (existsSync(join(directory, "ca.key"))) throw new UsageError(`--join: ${directory} holds the keys of another cluster; choose another --data-dir`);
  const token = parseControlToken(values["token"]);
  const { fetchTrustedAuthority } = await import("../agent/kubelet/join.ts");
  const caPem = await fetchTrustedAuthority({ server, caSha256: token.authoritySha256, signal: new AbortController().signal });
  const client = new HttpClient({ server, caPem, token: () => token.bearer, userAgent: "minik8s-control" });
  try {
    const { roots, config } = await fetchClusterKeys(client, token);
    if (fingerprint(roots.authority.certPem) !== token.authoritySha256) throw new Error("the keys found are not those of the authority in the join token; make a new token");
    saveRoots(directory, roots);
    // Last: whoever finds this file finds everything.
    writeFileAtomic(settings, JSON.stringify(config), 0o644);
    log.info({ server }, "took over the cluster's keys");
  } finally {
    await client.close();
  }
}

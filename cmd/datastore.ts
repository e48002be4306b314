// The store a control plane is told to use: a file of its own, memory, or an etcd that several control planes share.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EtcdTls } from "../control/store/etcd/connection.ts";
import type { Store } from "../control/store/store.ts";
import { logger } from "../lib/log.ts";
import { UsageError, type Values } from "./flags.ts";

const log = logger("control");
const ETCD = "etcd://";
const ETCD_PORT = "2379";

/** Whether other control planes may use the same store. */
export function isShared({ datastore }: Values): boolean {
  return datastore?.startsWith(ETCD) ?? false;
}

/** Opens what `--datastore` names; throws UsageError for what it does not know. */
export async function openDatastore(values: Values): Promise<Store> {
  const datastore = values["datastore"] as string;
  if (datastore === "memory") return (await import("../control/store/memory.ts")).openMemoryStore();
  if (datastore === "leveldb") return (await import("../control/store/level.ts")).openLevelStore(join(values["data-dir"] as string, "store"));
  if (isShared(values)) return openEtcd(values);
  throw new UsageError(`--datastore ${datastore}: must be leveldb, memory or etcd://host:2379,...`);
}

/** Host and port of every member, and what goes before every key. */
export function parseEtcdUrl(datastore: string): { endpoints: string[]; prefix: string } {
  const [hosts = "", ...path] = datastore.slice(ETCD.length).split("/");
  const endpoints = hosts.split(",").filter(Boolean).map((host) => (/:\d+$/.test(host) ? host : `${host}:${ETCD_PORT}`));
  if (endpoints.length === 0) throw new UsageError(`--datastore ${datastore}: name the members: etcd://host:2379,host:2379`);
  return { endpoints, prefix: `/${path.filter(Boolean).join("/") || "minik8s"}` };
}

async function openEtcd(values: Values): Promise<Store> {
  const { endpoints, prefix } = parseEtcdUrl(values["datastore"] as string);
  // Loaded only where it is used: other stores need no gRPC.
  const [{ openEtcdStore }, { EtcdUnavailable }] = await Promise.all([import("../control/store/etcd.ts"), import("../control/store/etcd/connection.ts")]);
  try {
    return await openEtcdStore(endpoints, { prefix, tls: tlsOf(values), onLost: exitBecause });
  } catch (cause) {
    if (!(cause instanceof EtcdUnavailable)) throw cause;
    const hint = values["datastore-cafile"] ? "" : "; where it demands TLS, pass --datastore-cafile, --datastore-certfile and --datastore-keyfile";
    throw new Error(`${cause.message}: start it, or correct --datastore${hint}`, { cause });
  }
}

function tlsOf(values: Values): EtcdTls | undefined {
  const read = (flag: string): string | undefined => {
    const path = values[flag];
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      throw new UsageError(`--${flag} ${path}: ${(cause as Error).message}`, { cause });
    }
  };
  const tls = { caPem: read("datastore-cafile"), certPem: read("datastore-certfile"), keyPem: read("datastore-keyfile") };
  if ((tls.certPem === undefined) !== (tls.keyPem === undefined)) throw new UsageError("--datastore-certfile and --datastore-keyfile: pass both or neither");
  return Object.values(tls).some((text) => text !== undefined) ? tls : undefined;
}

/** What every cache holds is wrong from here on, and reading everything anew is what a start does. */
function exitBecause(error: Error): void {
  log.fatal({ err: error }, "the shared store moved on too far while it could not be read; stopping, so that a fresh start reads everything");
  process.exit(1);
}

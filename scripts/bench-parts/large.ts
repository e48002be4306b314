// A cluster of 5,000 nodes and 50,000 pods: what it takes to hold, and how long others wait while all of it is listed.
import { builtinKind } from "../../api/registry.ts";
import type { Namespace, Pod } from "../../api/types.ts";
import type { Control } from "./control.ts";
import { createNodes, nodeName } from "./nodes.ts";
import { aPod, createMany, namespaceFor, type Rate } from "./rates.ts";

const PODS = builtinKind("", "v1", "Pod");
const NAMESPACES = builtinKind("", "v1", "Namespace");
const ROUNDS = 3;
const PING_EVERY_MS = 1;

export interface BigList {
  readonly name: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Follows continue tokens to the end. */
  readonly isChunked?: boolean;
}

const TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1";
const PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** The ways a list of everything is asked for. */
export const LISTS: readonly BigList[] = [
  { name: "listed", query: "", headers: {} },
  { name: "listed and compressed", query: "", headers: { "accept-encoding": "gzip" } },
  { name: "as a Table", query: "", headers: { accept: TABLE } },
  { name: "as metadata", query: "", headers: { accept: PARTIAL } },
  { name: "selected by label", query: "labelSelector=app%3Dbench,tier!%3Ddb", headers: {} },
  { name: "selected by field", query: "fieldSelector=spec.nodeName!%3Dnone", headers: {} },
  { name: "in chunks of 500", query: "limit=500", headers: {}, isChunked: true },
];

/** Makes nodes, and pods that are on them from the start. */
export async function fillCluster(control: Control, { nodes, pods }: { nodes: number; pods: number }): Promise<Rate> {
  const namespace = await namespaceFor(control, "large");
  await createNodes(control, nodes);
  const [begin, before] = [performance.now(), control.cpuMicros()];
  await createMany(pods, (index) => {
    const pod = aPod(namespace);
    return control.client.create<Pod>(PODS, { ...pod, spec: { ...pod.spec!, nodeName: nodeName(index % nodes) } });
  });
  return { perSecond: pods / ((performance.now() - begin) / 1000), cpuMicros: (control.cpuMicros() - before) / pods };
}

/** Milliseconds the slowest of many small reads took while the list was served: of several times the best, for other programs pause us too. */
export async function longestPause(control: Control, list: BigList): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) best = Math.min(best, await pauseOnce(control, list));
  return best;
}

async function pauseOnce(control: Control, list: BigList): Promise<number> {
  const reader = Bun.spawn([process.execPath, new URL("large-reader.ts", import.meta.url).pathname, JSON.stringify({ url: `${control.url}/api/v1/pods`, token: control.token, list })], { stdout: "ignore", stderr: "inherit" });
  let longest = 0;
  while (reader.exitCode === null) {
    const begin = performance.now();
    await control.client.get<Namespace>(NAMESPACES, { name: "default" });
    longest = Math.max(longest, performance.now() - begin);
    await Bun.sleep(PING_EVERY_MS);
  }
  if (reader.exitCode !== 0) throw new Error(`the list ${list.name} could not be read`);
  return longest;
}

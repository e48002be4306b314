// As many watchers as nodes, each of the pods of one: what they cost whoever creates and binds a pod.
import type { HttpClient } from "../../api/client/http.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod } from "../../api/types.ts";
import type { Control } from "./control.ts";
import { nodeName } from "./nodes.ts";
import { aPod, createMany, namespaceFor, type Rate } from "./rates.ts";

const PODS = builtinKind("", "v1", "Pod");
const WATCHERS = 5000;
/** Kubelets have a connection each; two hundred and fifty watches share one here. */
const CLIENTS = 20;
const POD_COUNT = 5000;

/** Pods created on one node each, until the one watcher each concerns has heard of it. */
export async function watchNodes(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "node-watches");
  const { metadata } = await control.client.list<Pod>(PODS, { namespace });
  const aborter = new AbortController();
  const clients = Array.from({ length: CLIENTS }, () => control.connect());
  const heard = Array.from({ length: WATCHERS }, (_, index) => receive(clients[index % CLIENTS] as HttpClient, { fieldSelector: `spec.nodeName=${nodeName(index)}`, resourceVersion: metadata.resourceVersion, signal: aborter.signal }));
  await Bun.sleep(5000);
  const [begin, before] = [performance.now(), control.cpuMicros()];
  await createMany(POD_COUNT, (index) => {
    const pod = aPod(namespace);
    return control.client.create<Pod>(PODS, { ...pod, spec: { ...pod.spec!, nodeName: nodeName(index % WATCHERS) } });
  });
  await Promise.all(heard);
  const rate = { perSecond: POD_COUNT / ((performance.now() - begin) / 1000), cpuMicros: (control.cpuMicros() - before) / POD_COUNT };
  aborter.abort();
  await Promise.all(clients.map((client) => client.close()));
  return rate;
}

/** Resolves with the first event. */
async function receive(client: HttpClient, options: { fieldSelector: string; resourceVersion: string | undefined; signal: AbortSignal }): Promise<void> {
  for await (const event of client.watch<Pod>(PODS, options)) if (event.type === "ADDED") return;
}

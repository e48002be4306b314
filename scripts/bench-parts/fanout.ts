// One namespace, a thousand watchers of it, and how many events a second reach all of them.
import type { HttpClient } from "../../api/client/http.ts";
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap } from "../../api/types.ts";
import type { Control } from "./control.ts";
import { createMany, namespaceFor, type Rate } from "./rates.ts";

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const WATCHERS = 1000;
const OBJECTS = 100;
/** Programs that watch have a connection each; fifty watches share one here. */
const CLIENTS = 20;

/** Events delivered over all watchers. */
export async function fanOut(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "fan-out");
  const { metadata } = await control.client.list<ConfigMap>(CONFIG_MAPS, { namespace });
  const aborter = new AbortController();
  const clients = Array.from({ length: CLIENTS }, () => control.connect());
  const watchers = Array.from({ length: WATCHERS }, (_, index) => receive(clients[index % CLIENTS] as HttpClient, { namespace, resourceVersion: metadata.resourceVersion, signal: aborter.signal }));
  await Bun.sleep(2000);
  const [begin, before] = [performance.now(), control.cpuMicros()];
  await createMany(OBJECTS, () => control.client.create<ConfigMap>(CONFIG_MAPS, { metadata: { generateName: "fan-", namespace }, data: { key: "value" } }));
  await Promise.all(watchers);
  const seconds = (performance.now() - begin) / 1000;
  const events = WATCHERS * OBJECTS;
  const rate = { perSecond: events / seconds, cpuMicros: (control.cpuMicros() - before) / events };
  aborter.abort();
  await Promise.all(clients.map((client) => client.close()));
  return rate;
}

/** Resolves once all objects have been seen. */
async function receive(client: HttpClient, options: { namespace: string; resourceVersion: string; signal: AbortSignal }): Promise<void> {
  let seen = 0;
  for await (const event of client.watch<ConfigMap>(CONFIG_MAPS, options)) {
    if (event.type === "ADDED" && (event.object as ConfigMap).metadata.name?.startsWith("fan-") && ++seen === OBJECTS) return;
  }
}

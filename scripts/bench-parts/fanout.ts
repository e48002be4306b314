// One namespace, a thousand watchers of it, and how many events a second reach all of them.
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap } from "../../api/types.ts";
import type { Control } from "./control.ts";
import { createMany, namespaceFor } from "./rates.ts";

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const WATCHERS = 1000;
const OBJECTS = 100;

/** Events delivered a second over all watchers. */
export async function fanOut(control: Control): Promise<number> {
  const namespace = await namespaceFor(control, "fan-out");
  const { metadata } = await control.client.list<ConfigMap>(CONFIG_MAPS, { namespace });
  const aborter = new AbortController();
  const watchers = Array.from({ length: WATCHERS }, () => receive(control, { namespace, resourceVersion: metadata.resourceVersion, signal: aborter.signal }));
  await Bun.sleep(2000);
  const begin = performance.now();
  await createMany(OBJECTS, () => control.client.create<ConfigMap>(CONFIG_MAPS, { metadata: { generateName: "fan-", namespace }, data: { key: "value" } }));
  await Promise.all(watchers);
  const seconds = (performance.now() - begin) / 1000;
  aborter.abort();
  return (WATCHERS * OBJECTS) / seconds;
}

/** Resolves once all objects have been seen. */
async function receive(control: Control, options: { namespace: string; resourceVersion: string; signal: AbortSignal }): Promise<void> {
  let seen = 0;
  for await (const event of control.client.watch<ConfigMap>(CONFIG_MAPS, options)) {
    if (event.type === "ADDED" && (event.object as ConfigMap).metadata.name?.startsWith("fan-") && ++seen === OBJECTS) return;
  }
}

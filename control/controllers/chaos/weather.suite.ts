// Makes a client as bad as a network can be: calls fail before or after they were carried out, watches lag, break, end or expire.
// Seeded, so that a failure can be seen again.
import type { Client } from "../../../api/client/client.ts";
import { ApiError, gone, modifiedConflict } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import type { Clock } from "../../../lib/clock.ts";

export type Random = () => number;

/** A small deterministic generator (mulberry32). */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;

/** How bad it is; 0 is perfect, 0.2 means that one call in five goes wrong in one way or another. */
export interface Weather {
  trouble: number;
}

/** What passed through. */
export interface Traffic {
  /** Calls begun, watches aside. */
  calls: number;
  writes: number;
  inFlight: number;
  /** Anything at all that happened. */
  activity: number;
}

export interface WeatherOptions {
  readonly weather: Weather;
  readonly random: Random;
  readonly clock: Clock;
  readonly traffic: Traffic;
  /** Aborts when the process that uses the client dies: what it had not sent by then is never sent. */
  readonly life: AbortSignal;
}

const LONGEST_LAG_MS = 4000;
/** Shows every call of the controllers as it is carried out. */
const isTraced = process.env["MINIK8S_TRACE"] !== undefined;

/** `client` with trouble in it; what the test itself does should go past it. */
export function inBadWeather(client: Client, { weather, random, clock, traffic, life }: WeatherOptions): Client {
  const isStruck = (share = 1): boolean => weather.trouble > 0 && random() < weather.trouble * share;
  const lag = (): Promise<void> => clock.sleep(random() ** 3 * LONGEST_LAG_MS);
  const call = async <T>(verb: string, [kind, name]: readonly [KindInfo, string | undefined], act: () => Promise<T>): Promise<T> => {
    const isWrite = verb !== "get" && verb !== "list";
    traffic.calls++;
    traffic.activity++;
    if (isWrite) traffic.writes++;
    if (isStruck(0.3)) throw new Error("chaos: the connection was refused");
    if (isStruck(0.3)) throw new ApiError(500, "InternalError", "chaos: the server stumbled");
    if (isStruck()) await lag();
    if (isWrite && isStruck(0.3)) throw modifiedConflict({ group: "", plural: "things" }, "chaos");
    if (life.aborted) throw new Error("chaos: the process is dead");
    if (isTraced) console.log(new Date(clock.now()).toISOString().slice(11, 23), verb, kind.kind, name ?? "");
    traffic.inFlight++;
    const answer = await act().finally(() => {
      traffic.inFlight--;
      traffic.activity++;
    });
    if (isStruck(0.3)) await lag();
    if (isStruck(0.4)) throw new Error("chaos: the answer was lost");
    return answer;
  };
  const getScale = client.getScale?.bind(client);
  return {
    get: (kind, name) => call("get", [kind, name.name], () => client.get(kind, name)),
    list: (kind, options) => call("list", [kind, options?.namespace], () => client.list(kind, options)),
    create: (kind, object, options) => call("create", [kind, object.metadata.name ?? object.metadata.generateName], () => client.create(kind, object, options)),
    update: (kind, object, options) => call("update", [kind, object.metadata.name], () => client.update(kind, object, options)),
    patch: (kind, name, body, options) => call("patch", [kind, name.name], () => client.patch(kind, name, body, options)),
    delete: (kind, name, options) => call("delete", [kind, name.name], () => client.delete(kind, name, options)),
    deleteCollection: (kind, list, options) => call("deletecollection", [kind, list.namespace], () => client.deleteCollection(kind, list, options)),
    post: (kind, name, subresource, body) => call("post", [kind, name.name], () => client.post(kind, name, subresource, body)),
    ...(getScale && { getScale: (kind, name) => call("get", [kind, name.name], () => getScale(kind, name)) }),
    async *watch(kind, options) {
      if (isStruck(0.3)) throw new Error("chaos: the watch was refused");
      for await (const event of client.watch(kind, options)) {
        traffic.activity++;
        if (isStruck(0.1)) return;
        if (isStruck(0.1) && options.resourceVersion !== undefined) throw gone("chaos: too old resource version");
        if (isStruck(0.4)) await lag();
        if (options.signal.aborted || life.aborted) return;
        yield event as never;
      }
    },
  };
}

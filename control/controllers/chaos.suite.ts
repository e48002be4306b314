// Makes a client as bad as a network can be: calls fail before or after they were carried out, watches break or end.
// Seeded, so that a failure can be seen again.
import type { Client } from "../../api/client/client.ts";
import { modifiedConflict } from "../../api/errors.ts";

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

/** `client` with trouble in it; what the test itself does should go past it. */
export function inBadWeather(client: Client, weather: Weather, random: Random): Client {
  const isStruck = (): boolean => random() < weather.trouble;
  const call = async <T>(isWrite: boolean, act: () => Promise<T>): Promise<T> => {
    if (isStruck()) throw new Error("chaos: the connection was refused");
    if (random() < weather.trouble) await Bun.sleep(random() * 4);
    if (isWrite && random() < weather.trouble / 3) throw modifiedConflict({ group: "", plural: "things" }, "chaos");
    const answer = await act();
    if (isStruck()) throw new Error("chaos: the answer was lost");
    return answer;
  };
  return {
    get: (kind, name) => call(false, () => client.get(kind, name)),
    list: (kind, options) => call(false, () => client.list(kind, options)),
    create: (kind, object, options) => call(true, () => client.create(kind, object, options)),
    update: (kind, object, options) => call(true, () => client.update(kind, object, options)),
    patch: (kind, name, body, options) => call(true, () => client.patch(kind, name, body, options)),
    delete: (kind, name, options) => call(true, () => client.delete(kind, name, options)),
    deleteCollection: (kind, list, options) => call(true, () => client.deleteCollection(kind, list, options)),
    post: (kind, name, subresource, body) => call(true, () => client.post(kind, name, subresource, body)),
    async *watch(kind, options) {
      if (isStruck()) throw new Error("chaos: the watch was refused");
      for await (const event of client.watch(kind, options)) {
        if (random() < weather.trouble / 4) return;
        if (random() < weather.trouble / 4) await Bun.sleep(random() * 3);
        yield event as never;
      }
    },
  };
}

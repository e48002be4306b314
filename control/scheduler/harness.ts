// A scheduler over a cluster of plain objects, for tests: started, watched, and given turns to work.
// Never part of the product.
import { afterEach } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import type { Pod } from "../../api/types.ts";
import { FakeApi } from "./fakes.ts";
import { createScheduler, type Scheduler, type SchedulerOptions } from "./scheduler.ts";

/** One recorded event. */
export interface Seen {
  readonly object: string;
  readonly reason: string;
  readonly message: string;
}

let stop = new AbortController();
afterEach(() => stop.abort());

/** Starts a scheduler that ends with the test. */
export function start(options: Partial<SchedulerOptions> = {}): { api: FakeApi; clock: FakeClock; events: Seen[]; scheduler: Scheduler } {
  stop = new AbortController();
  const api = new FakeApi();
  const clock = new FakeClock(1_800_000_000_000);
  const events: Seen[] = [];
  const recorder: SchedulerOptions["recorder"] = { event: (object, _type, reason, message) => void events.push({ object: (object as Pod).metadata.name ?? "", reason, message }) };
  const scheduler = createScheduler({ client: api.client, informers: api, recorder, clock, random: () => 0.99, ...options });
  scheduler.start(stop.signal);
  return { api, clock, events, scheduler };
}

/** Lets slices, bindings and their events run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export const nodeOf = (pod: Pod): string | undefined => pod.spec?.nodeName;

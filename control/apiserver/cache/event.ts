// One change of one object as the watch cache remembers it: the version that came and the version that went.
import type { Entry } from "./entry.ts";

/** `entry` is the new version (for a removal: the last one, at the removal's revision); `previous` the one it replaced. */
export interface CacheEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly revision: number;
  readonly entry: Entry;
  readonly previous: Entry | undefined;
}

/** What one watcher is told: the event as its selectors see it. */
export interface Delivery {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly entry: Entry;
  readonly revision: number;
}

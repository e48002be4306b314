// What a request costs in seats: one, or more for lists that send much.
// Rules: k8s.io/apiserver, the estimate by size; how many objects a namespace has is known here.
import type { Entry } from "../cache/entry.ts";
import { cacheOf, type Engine } from "../engine.ts";
import type { Query, ResourceTarget } from "../http/target.ts";

const BYTES_PER_SEAT = 100_000;
/** More is sent piece by piece. */
const MOST_BYTES_AT_ONCE = 1_000_000;
const SAMPLES = 16;

/** Seats of a list, or of a watch that begins with one. */
export function seatsOf(engine: Engine, target: ResourceTarget, query: Query): number {
  if (target.verb !== "list" && target.verb !== "watch") return 1;
  if (target.name !== "" || (target.verb === "watch" && !beginsWithState(query))) return 1;
  const kind = engine.kinds.resource(target.group, target.version, target.plural);
  if (!kind) return 1;
  const stored = cacheOf(engine, kind).entries(kind.namespaced && target.namespace !== "" ? target.namespace : undefined);
  const limit = Number(query.get("limit") ?? 0);
  const listed = target.verb === "list" && limit > 0 ? Math.min(limit, stored.length) : stored.length;
  return Math.max(1, Math.ceil(Math.min(MOST_BYTES_AT_ONCE, listed * averageSize(stored)) / BYTES_PER_SEAT));
}

/** The average length of some entries in bytes. */
function averageSize(entries: readonly Entry[]): number {
  const step = Math.max(1, Math.floor(entries.length / SAMPLES));
  let [bytes, count] = [0, 0];
  for (let index = 0; index < entries.length; index += step) {
    bytes += (entries[index] as Entry).size;
    count++;
  }
  return count === 0 ? 0 : bytes / count;
}

function beginsWithState(query: Query): boolean {
  const version = query.get("resourceVersion") ?? "";
  return version === "" || version === "0" || query.get("sendInitialEvents") === "true";
}

// What a request costs in seats: one, or more for lists that send much.
// Rules: k8s.io/apiserver, the estimate by object count; what is listed is known here exactly, by namespace.
import { cacheOf, type Engine } from "../engine.ts";
import type { Query, ResourceTarget } from "../http/target.ts";

const OBJECTS_PER_SEAT = 100;
const MOST_SEATS = 10;

/** Seats of a list, or of a watch that begins with one. */
export function seatsOf(engine: Engine, target: ResourceTarget, query: Query): number {
  if (target.verb !== "list" && target.verb !== "watch") return 1;
  if (target.name !== "" || (target.verb === "watch" && !beginsWithState(query))) return 1;
  const kind = engine.kinds.resource(target.group, target.version, target.plural);
  if (!kind) return 1;
  const cache = cacheOf(engine, kind);
  if (cache.size <= OBJECTS_PER_SEAT) return 1;
  const stored = target.namespace === "" ? cache.size : cache.entries(target.namespace).length;
  const limit = Number(query.get("limit") ?? 0);
  const listed = target.verb === "list" && limit > 0 ? Math.min(limit, stored) : stored;
  return Math.min(MOST_SEATS, Math.max(1, Math.ceil(listed / OBJECTS_PER_SEAT)));
}

function beginsWithState(query: Query): boolean {
  const version = query.get("resourceVersion") ?? "";
  return version === "" || version === "0" || query.get("sendInitialEvents") === "true";
}

// Two connections made one, for protocols nobody here looks into.
import type { Duplex } from "node:stream";

/** Joins two connections until either ends; an end is passed on, an error ends both. */
export function join(a: Duplex, b: Duplex): void {
  for (const [from, to] of [[a, b], [b, a]] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

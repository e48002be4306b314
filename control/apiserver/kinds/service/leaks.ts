// Values that seem to be held by nobody: whoever takes one has it before anybody can see what for.
// Hence only what is seen three times in a row is leaked (k8s.io/kubernetes/pkg/registry/core/service: numRepairsBeforeLeakCleanup).

const SIGHTINGS = 3;

/** How often each was seen. */
export class Leaks {
  #seen = new Map<number, number>();

  /** Those of the values seen now that have leaked; the others are remembered, and all that is not seen is forgotten. */
  leaked(now: readonly number[]): number[] {
    const seen = new Map(now.map((value) => [value, (this.#seen.get(value) ?? 0) + 1]));
    const leaked = now.filter((value) => seen.get(value) === SIGHTINGS);
    for (const value of leaked) seen.delete(value);
    this.#seen = seen;
    return leaked;
  }
}

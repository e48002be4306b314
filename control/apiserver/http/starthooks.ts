// What must have been done once before the server is healthy, each a check of its own under upstream's name.
// Whoever does it says so; the order in which checks are reported is that in which they were named.
import type { HealthCheck } from "./health.ts";

/** Work of the start, by name: healthy once it has succeeded. */
export class StartHooks {
  readonly #done = new Set<string>();
  readonly checks: readonly HealthCheck[];

  /** Names as they are reported; a check in their midst stands where it is. */
  constructor(inOrder: readonly (string | HealthCheck)[]) {
    this.checks = inOrder.map((one) => (typeof one === "string" ? this.#checkOf(one) : one));
  }

  /** Resolves as `work` does; from then on its checks pass. */
  async run<T>(work: Promise<T> | T, ...names: readonly string[]): Promise<T> {
    const result = await work;
    for (const name of names) this.#done.add(name);
    return result;
  }

  #checkOf(name: string): HealthCheck {
    return {
      name, readinessOnly: name === "informer-sync",
      check: () => {
        if (!this.#done.has(name)) throw new Error("not finished");
      },
    };
  }
}

// The changes of the whole store as they come from etcd, handed to every watcher of this process in one turn.
// Also tells when a revision has been handed out, which is what a writer waits for.
import type { Change } from "../store.ts";
import { hand, type Watcher } from "../watchers.ts";

/** Fan-out of one stream of changes. */
export class Feed {
  readonly #watchers = new Set<Watcher>();
  readonly #waiting: { revision: number; resolve: () => void }[] = [];
  #revision: number;

  constructor(revision: number) {
    this.#revision = revision;
  }

  /** Everything up to here has been handed out. */
  get revision(): number {
    return this.#revision;
  }

  /** Starts handing out what comes after this turn and after `watcher.after`. */
  add(watcher: Watcher): void {
    if (watcher.signal.aborted) return;
    this.#watchers.add(watcher);
    watcher.signal.addEventListener("abort", () => this.#watchers.delete(watcher), { once: true });
  }

  deliver(changes: readonly Change[]): void {
    this.#revision = changes.at(-1)?.revision ?? this.#revision;
    for (const watcher of this.#watchers) hand(watcher, changes);
    const reached = this.#waiting.filter(({ revision }) => revision <= this.#revision);
    if (reached.length === 0) return;
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter(({ revision }) => revision > this.#revision));
    for (const { resolve } of reached) resolve();
  }

  /** Resolves once `revision` has been handed out. */
  reached(revision: number): Promise<void> {
    if (revision <= this.#revision) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ revision, resolve }));
  }
}

// The changes of the whole store as they come from etcd, handed to every watcher of this process in one turn.
// Also tells when a revision has been handed out, which is what a writer waits for.
import { logger } from "../../../lib/log.ts";
import type { Change } from "../store.ts";

export interface Watcher {
  readonly prefix: string;
  /** Changes up to this revision are not for it. */
  readonly after: number;
  readonly signal: AbortSignal;
  readonly onChanges: (changes: readonly Change[]) => void;
}

const log = logger("etcd");

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

/** Hands a watcher what concerns it; one that throws is not allowed to stop the others. */
export function hand(watcher: Watcher, changes: readonly Change[]): void {
  if (watcher.signal.aborted) return;
  const isWanted = (change: Change): boolean => change.revision > watcher.after && change.key.startsWith(watcher.prefix);
  const matching = watcher.prefix === "" && (changes[0]?.revision ?? 0) > watcher.after ? changes : changes.filter(isWanted);
  if (matching.length === 0) return;
  try {
    watcher.onChanges(matching);
  } catch (error) {
    log.error({ err: error, prefix: watcher.prefix }, "a watcher could not take changes");
  }
}

// Who is told of changes: each watcher first gets history, then live changes, with no gap and no repeat.
import type { Change } from "./store.ts";
import { logger } from "../../lib/log.ts";

export interface Watcher {
  readonly prefix: string;
  /** Changes up to this revision are not for it. */
  readonly after: number;
  readonly signal: AbortSignal;
  readonly onChanges: (changes: readonly Change[]) => void;
}

/** Reads committed changes with `after < revision <= upTo`, ascending. */
export type History = (after: number, upTo: number) => AsyncIterable<Change>;

const BATCH = 1000;
const log = logger("store");

/** The watchers of one store. */
export class Watchers {
  readonly #history: History;
  readonly #live = new Set<Watcher>();
  /** Watchers still reading history, with the live changes that wait for them. */
  readonly #catchingUp = new Map<Watcher, Change[]>();

  constructor(history: History) {
    this.#history = history;
  }

  /** Starts delivering; `current` is the newest committed revision right now. */
  add(watcher: Watcher, current: number): void {
    if (watcher.signal.aborted) return;
    watcher.signal.addEventListener("abort", () => this.#remove(watcher), { once: true });
    if (watcher.after >= current) {
      this.#live.add(watcher);
      return;
    }
    this.#catchingUp.set(watcher, []);
    void this.#catchUp(watcher, current);
  }

  /** Hands committed changes, in revision order, to everyone they concern, before it returns. */
  deliver(changes: readonly Change[]): void {
    for (const waiting of this.#catchingUp.values()) waiting.push(...changes);
    for (const watcher of this.#live) hand(watcher, changes);
  }

  async #catchUp(watcher: Watcher, upTo: number): Promise<void> {
    let batch: Change[] = [];
    try {
      for await (const change of this.#history(watcher.after, upTo)) {
        batch.push(change);
        if (batch.length >= BATCH) hand(watcher, batch.splice(0));
      }
    } catch (error) {
      log.error({ err: error, prefix: watcher.prefix }, "history could not be read for a watcher");
    }
    batch.push(...(this.#catchingUp.get(watcher) ?? []));
    this.#catchingUp.delete(watcher);
    if (watcher.signal.aborted) return;
    hand(watcher, batch);
    this.#live.add(watcher);
  }

  #remove(watcher: Watcher): void {
    this.#live.delete(watcher);
    this.#catchingUp.delete(watcher);
  }
}

/** Hands a watcher what concerns it; one that throws stops neither the others nor what is committed. */
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

// Tells a reader when looking at a growing file again is worth while: soon while it grows, as soon as it changes when it was quiet.
// Where to read and what for is the reader's.
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** A file that is written all the time has an event for every line, which costs more than a look now and then. */
const GROWING_MS = 20;

export interface ChangesOptions {
  /** In case a file system tells nothing of changes. */
  readonly recheckMs: number;
  /** The same where changes cannot be watched at all; `recheckMs` when left out. */
  readonly unwatchedMs?: number;
  /** Their aborting counts as a change. */
  readonly signals: readonly AbortSignal[];
}

/** A change between two calls of `next` is not lost. */
export class Changes {
  readonly #path: string;
  readonly #options: ChangesOptions;
  readonly #wakeUp = (): void => this.#changed();
  #watcher: FSWatcher | undefined;
  #hasChanged = false;
  #wake: (() => void) | undefined;

  constructor(path: string, options: ChangesOptions) {
    this.#path = path;
    this.#options = options;
    for (const signal of options.signals) signal.addEventListener("abort", this.#wakeUp);
  }

  /** Resolves when to look again; `hasGrown` says whether the last look found anything. */
  async next(hasGrown: boolean): Promise<void> {
    if (hasGrown) {
      this.#unwatch();
      await this.#wait(GROWING_MS);
    } else if (this.#watcher || !this.#watch()) {
      await this.#wait(this.#watcher ? this.#options.recheckMs : (this.#options.unwatchedMs ?? this.#options.recheckMs));
    }
  }

  close(): void {
    this.#unwatch();
    for (const signal of this.#options.signals) signal.removeEventListener("abort", this.#wakeUp);
    this.#changed();
  }

  async #wait(ms: number): Promise<void> {
    if (!this.#hasChanged) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => (clearTimeout(timer), resolve());
      });
    }
    this.#hasChanged = false;
    this.#wake = undefined;
  }

  /** What came before the watcher is for the next look, which is at once. */
  #watch(): boolean {
    const name = basename(this.#path);
    try {
      this.#watcher = watch(dirname(this.#path), (_event, file) => (file === null || file === name ? this.#changed() : undefined));
      this.#watcher.on("error", () => {});
      return true;
    } catch {
      return false;
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #changed(): void {
    this.#hasChanged = true;
    this.#wake?.();
  }
}

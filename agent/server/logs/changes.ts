// Tells a reader when looking at a growing file again is worth while.
// Where to read and what for is the reader's.
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** In case a file system tells nothing of changes. */
const RECHECK_MS = 1_000;

export interface ChangesDeps {
  /** Their aborting counts as a change. */
  readonly ended: AbortSignal;
  readonly signal: AbortSignal;
}

/** Tells when looking at the file again is worth while; a change between two calls of `next` is not lost. */
export class Changes {
  readonly #watcher: FSWatcher | undefined;
  readonly #deps: ChangesDeps;
  readonly #wakeUp = (): void => this.#changed();
  #hasChanged = true;
  #wake: (() => void) | undefined;

  constructor(path: string, deps: ChangesDeps) {
    this.#deps = deps;
    const name = basename(path);
    try {
      this.#watcher = watch(dirname(path), (_event, file) => (file === null || file === name ? this.#changed() : undefined));
      this.#watcher.on("error", () => {});
    } catch {
      // Without a watcher the recheck does the work.
    }
    deps.ended.addEventListener("abort", this.#wakeUp);
    deps.signal.addEventListener("abort", this.#wakeUp);
  }

  async next(): Promise<void> {
    if (!this.#hasChanged) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, RECHECK_MS);
        this.#wake = () => (clearTimeout(timer), resolve());
      });
    }
    this.#hasChanged = false;
    this.#wake = undefined;
  }

  close(): void {
    this.#watcher?.close();
    this.#deps.ended.removeEventListener("abort", this.#wakeUp);
    this.#deps.signal.removeEventListener("abort", this.#wakeUp);
    this.#wake?.();
  }

  #changed(): void {
    this.#hasChanged = true;
    this.#wake?.();
  }
}

// What the container runtime says of itself, in bounded time: one that hangs is told as down instead of being waited for.
// Never more than one question is open, however often it is asked.
import type { Clock } from "../../lib/clock.ts";
import type { ImageRecord, Runtime } from "../runtime/runtime.ts";

type Status = Awaited<ReturnType<Runtime["status"]>>;

/** Longer than a busy runtime takes, and well below the time after which a node's heartbeat is missed. */
const ANSWER_MS = 8_000;

/** Asks the runtime for its status and its images. */
export class RuntimeHealth {
  readonly #status: Bounded<Status>;
  readonly #images: Bounded<ImageRecord[]>;
  #version: string;
  #lastImages: readonly ImageRecord[] = [];

  constructor(readonly runtime: Runtime, clock: Clock) {
    this.#status = new Bounded(() => runtime.status(), clock);
    this.#images = new Bounded(() => runtime.images.list(), clock);
    this.#version = `${runtime.name}://`;
  }

  /** Never rejects: a runtime that fails or does not answer is one that is not ready. */
  async status(): Promise<Status> {
    try {
      const status = await this.#status.ask();
      this.#version = status.version;
      return status;
    } catch (error) {
      return { version: this.#version, runtimeReady: false, networkReady: false, message: (error as Error).message, cgroupDriver: "cgroupfs", handlers: [] };
    }
  }

  /** Those last seen when the runtime does not say. */
  async images(): Promise<readonly ImageRecord[]> {
    this.#lastImages = await this.#images.ask().catch(() => this.#lastImages);
    return this.#lastImages;
  }
}

/** One question at a time; whoever asks while it is open waits for the same answer, and nobody longer than `ANSWER_MS`. */
class Bounded<T> {
  #open: Promise<T> | undefined;
  #since = 0;

  constructor(readonly question: () => Promise<T>, readonly clock: Clock) {}

  async ask(): Promise<T> {
    if (!this.#open) {
      this.#since = this.clock.monotonic();
      const close = (): void => void (this.#open = undefined);
      this.#open = this.question();
      this.#open.then(close, close);
    }
    const timer = new AbortController();
    const timeout = this.clock.sleep(ANSWER_MS, timer.signal).then((): never => {
      throw new Error(`the runtime has not answered for ${Math.round((this.clock.monotonic() - this.#since) / 1000)} s`);
    });
    timeout.catch(() => undefined);
    try {
      return await Promise.race([this.#open, timeout]);
    } finally {
      timer.abort();
    }
  }
}

// How long the present turn of the event loop has been taking on requests.
// One thread serves everybody: a connection that brings a thousand requests at once must not keep the next one from being read.

/** What one turn may take on before the rest waits for the next, in milliseconds. */
export const TURN_BUDGET_MS = 10;

/** Measures from the first request of a turn to its end. */
export class Turn {
  #beganMs: number | undefined;
  readonly #end = (): void => {
    this.#beganMs = undefined;
  };

  constructor(private readonly budgetMs = TURN_BUDGET_MS) {}

  /** Whether what arrives now should wait for another turn. */
  isSpent(nowMs: number): boolean {
    if (this.#beganMs !== undefined) return nowMs - this.#beganMs > this.budgetMs;
    this.#beganMs = nowMs;
    setImmediate(this.#end);
    return false;
  }
}

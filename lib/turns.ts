// Long work in pieces, so that everything else in the process gets its turn in between.

/** A piece of long work takes no longer than about this. */
const PIECE_MS = 4;

const waiting: (() => void)[] = [];

/** Resolves in a turn of the event loop to come: of many who wait, one a turn, in order. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(serveOne);
  });
}

/** Tells long work when its piece is over. Asking is cheap enough for every step. */
export class Turn {
  #steps = 0;
  #endsAt = performance.now() + PIECE_MS;

  /** Whether others should get a turn now: looks at the clock every few steps only. */
  get isOver(): boolean {
    return (++this.#steps & 3) === 0 && performance.now() >= this.#endsAt;
  }

  /** Gives the turn away and resolves in the next one. */
  async next(): Promise<void> {
    await nextTurn();
    this.#endsAt = performance.now() + PIECE_MS;
  }
}

/** Runs a generator to its end in pieces: wherever it yields, it can be interrupted. Throws what it throws. */
export async function inPieces<T>(work: Generator<void, T>): Promise<T> {
  const turn = new Turn();
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
    if (turn.isOver) await turn.next();
  }
}

/** Runs a generator to its end at once. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

function serveOne(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(serveOne);
}

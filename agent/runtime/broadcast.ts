// One source of events, many readers, each with a bounded buffer.
// What an event means is the publisher's business; a reader that lags loses the oldest and is expected to look for itself.

const BUFFER = 4096;

/** Hands every published item to every reader that was subscribed before it. */
export class Broadcast<T> {
  readonly #readers = new Set<Reader<T>>();

  publish(item: T): void {
    for (const reader of this.#readers) reader.push(item);
  }

  /** Subscribes at once, not on the first `next()`; ends when the signal aborts. */
  subscribe(signal: AbortSignal): AsyncIterable<T> {
    const reader = new Reader<T>();
    const end = (): void => {
      this.#readers.delete(reader);
      signal.removeEventListener("abort", end);
      reader.end();
    };
    if (signal.aborted) reader.end();
    else {
      this.#readers.add(reader);
      signal.addEventListener("abort", end, { once: true });
    }
    return { [Symbol.asyncIterator]: () => ({ next: () => reader.next(), return: () => (end(), Promise.resolve({ done: true as const, value: undefined })) }) };
  }
}

class Reader<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  push(item: T): void {
    if (this.#items.length >= BUFFER) this.#items.shift();
    this.#items.push(item);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T>> {
    while (this.#items.length === 0 && !this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    const item = this.#items.shift();
    return item === undefined ? { done: true, value: undefined } : { done: false, value: item };
  }
}

// The beginning of a watch, which may be all there is: told piece by piece, as fast as the reader takes it.
// What happens meanwhile waits, so that the reader still hears everything in order.
import { ApiError, gone, internalError } from "../../../api/errors.ts";
import { nextTurn } from "../../../lib/turns.ts";
import type { Delivery } from "../cache/event.ts";
import type { WatchSink } from "./watch.ts";

/** Beginnings up to this many events are told at once. */
const AT_ONCE = 256;
/** A piece ends with the event that makes it this large. */
const PIECE_SIZE = 512 * 1024;
/** So many events may wait for a beginning to be told; a reader that is even slower has to start over. */
const MAX_HELD = 100_000;

/** Holds events back while the beginning is being told. */
export class Beginning implements WatchSink {
  #held: Delivery[] | undefined;
  #hasFailed = false;

  constructor(private readonly sink: WatchSink, private readonly signal: AbortSignal) {}

  events(deliveries: readonly Delivery[]): void {
    if (this.#hasFailed) return;
    if (!this.#held) return this.sink.events(deliveries);
    for (const delivery of deliveries) this.#held.push(delivery);
    if (this.#held.length > MAX_HELD) this.fail(gone("too old resource version: the reader does not keep up"));
  }

  bookmark(revision: number, initial: boolean): void {
    if ((initial || !this.#held) && !this.#hasFailed) this.sink.bookmark(revision, initial);
  }

  fail(error: ApiError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#held = undefined;
    this.sink.fail(error);
  }

  /** Tells a short beginning before it returns, a long one in the turns that follow; then `end` is called. */
  tell(deliveries: readonly Delivery[] | Promise<readonly Delivery[]>, end: () => void): void {
    if (!(deliveries instanceof Promise) && this.#pieceEnd(deliveries, 0) === deliveries.length) {
      if (deliveries.length > 0) this.sink.events(deliveries);
      return end();
    }
    this.#held = [];
    void this.#tellAll(deliveries, end).catch((error: unknown) => this.fail(error instanceof ApiError ? error : internalError(error)));
  }

  async #tellAll(pending: readonly Delivery[] | Promise<readonly Delivery[]>, end: () => void): Promise<void> {
    const deliveries = await pending;
    await this.#tellPieces(deliveries);
    if (this.#isOver) return;
    end();
    // What came meanwhile may be long as well, and more comes while it is told.
    for (let held = this.#held ?? []; held.length > AT_ONCE; held = this.#held ?? []) {
      this.#held = [];
      await this.#tellPieces(held);
    }
    if (this.#isOver) return;
    const last = this.#held ?? [];
    this.#held = undefined;
    if (last.length > 0) this.sink.events(last);
  }

  async #tellPieces(deliveries: readonly Delivery[]): Promise<void> {
    for (let at = 0; at < deliveries.length && !this.#isOver;) {
      const end = this.#pieceEnd(deliveries, at);
      this.sink.events(deliveries.slice(at, end));
      at = end;
      await this.sink.ready?.();
      await nextTurn();
    }
  }

  #pieceEnd(deliveries: readonly Delivery[], start: number): number {
    const last = Math.min(start + AT_ONCE, deliveries.length);
    let [end, size] = [start, 0];
    for (; end < last && size < PIECE_SIZE; end++) size += this.sink.sizeOf?.(deliveries[end] as Delivery) ?? 0;
    return end;
  }

  get #isOver(): boolean {
    return this.#hasFailed || this.signal.aborted;
  }
}

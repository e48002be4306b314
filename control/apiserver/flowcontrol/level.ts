// One priority level: its seats, the queues of those who wait for one, and whose turn is next.
// Fair queuing as in KEP-1040: every queue has a place in virtual time, which a request moves on by the seat-time it takes.
import { BoundedMap } from "../auth/bounded.ts";
import type { RefusalReason } from "./figures.ts";
import { DemandMeter } from "./demand.ts";
import { dealHand, hashOf } from "./hand.ts";
import type { Bounds } from "./limits.ts";
import type { Flow, LevelConfig, Queue, Seating, Share, Span, Waiter } from "./seating.ts";
import { LevelUse } from "./use.ts";

/** One of so many seats is never given to a flow that has all the others. */
const KEPT_FREE = 8;
const MAX_SHARES = 4096;
/** What a request is taken to last before it is known, in milliseconds. */
const GUESSED_MS = 3;

export class Level {
  config: LevelConfig;
  bounds: Bounds = { nominal: 0, lowest: 0, highest: 0 };
  /** Seats it has now, its own and borrowed. */
  limit = 0;
  seatsInUse = 0;
  waiting = 0;
  waitingSeats = 0;
  /** Gone from the configuration; ends with its last request. */
  isQuiescing = false;
  dispatched = 0;
  readonly refused: Record<RefusalReason, number> = { "concurrency-limit": 0, "queue-full": 0, "time-out": 0, cancelled: 0 };
  readonly running = new Set<Seating>();
  readonly demand: DemandMeter;
  readonly use: LevelUse;
  currentR = 0;
  /** The present in virtual time when a request started last, and that request's own place in it. */
  dispatchR = 0;
  latestS = 0;
  /** Over the queues looked at for the last start: where their oldest requests were in virtual time, and that less what they have under way. */
  nextS: Span = { min: 0, max: 0 };
  nextDiscountedS: Span = { min: 0, max: 0 };
  #queues: (Queue | undefined)[] = [];
  #busy = new Set<Queue>();
  readonly #shares = new BoundedMap<string, Share>(MAX_SHARES);
  #advancedMs: number;
  #turn = 0;

  constructor(config: LevelConfig, nowMs: number) {
    this.config = config;
    this.demand = new DemandMeter(nowMs);
    this.use = new LevelUse(nowMs);
    this.#advancedMs = nowMs;
  }

  get isIdle(): boolean {
    return this.running.size === 0 && this.waiting === 0;
  }

  /** The most one request may take. */
  get mostSeats(): number {
    const { queuing } = this.config;
    if (!queuing) return Number.MAX_SAFE_INTEGER;
    return Math.max(1, Math.min(Math.ceil(this.bounds.nominal * 0.15), Math.trunc(this.bounds.nominal / queuing.handSize)));
  }

  /** What flows of this name have in common, whichever requests they are. */
  shareOf(schema: string, distinguisher: string): Share {
    const { queuing } = this.config;
    const key = `${schema}\n${distinguisher}`;
    let share = this.#shares.get(key);
    if (!share) this.#shares.set(key, (share = { hand: queuing && queuing.queues > 1 ? dealHand(hashOf(schema, distinguisher), queuing.queues, queuing.handSize) : [0], seatsInUse: 0 }));
    return share;
  }

  /** Whether a request of this size could start now. One that is larger than the level starts when it is alone. */
  fits(seats: number): boolean {
    if (this.config.isExempt) return true;
    return seats > this.limit ? this.running.size === 0 : this.seatsInUse + seats <= this.limit;
  }

  /**
   * Whether a flow may take that many seats more. Where there are queues the last few seats are for others:
   * seats are held until replies are read, and whoever reads slowly would keep everybody out.
   */
  mayTake({ share }: Flow, seats: number): boolean {
    return !this.config.queuing || share.seatsInUse === 0 || share.seatsInUse + seats <= this.limit - Math.floor(this.limit / KEPT_FREE);
  }

  /** The queue a request of this flow would wait in: the least loaded of its hand. */
  queueFor(flow: Flow, nowMs: number): Queue | undefined {
    if (!this.config.queuing) return undefined;
    this.#advance(nowMs);
    const { hand } = flow.share;
    // Starting elsewhere each time spreads flows whose hands overlap.
    const offset = this.#turn++ % hand.length;
    if (this.waiting === 0) return this.#queueAt(hand[offset] as number);
    let best: Queue | undefined;
    for (let step = 0; step < hand.length; step++) {
      const queue = this.#queueAt(hand[(offset + step) % hand.length] as number);
      if (!best || queue.waitingSeats < best.waitingSeats) best = queue;
    }
    return best;
  }

  /** Whether no more may wait there. Those who wait for their turn only, not for a seat, come on top. */
  isFull(queue: Queue): boolean {
    const { queueLengthLimit = 0, handSize = 1 } = this.config.queuing ?? {};
    return queue.waiting.size >= queueLengthLimit + Math.max(0, this.limit - this.seatsInUse) / handSize;
  }

  /** Takes seats; the request runs from now. */
  start(seating: Seating, nowMs: number): void {
    const { queue, seats, flow: { figures, share } } = seating;
    seating.startedMs = nowMs;
    this.seatsInUse += seats;
    share.seatsInUse += seats;
    this.dispatched++;
    this.running.add(seating);
    this.demand.add(seats, nowMs);
    this.use.note(this, nowMs);
    figures.executing++;
    figures.seats += seats;
    if (!queue) return;
    this.#touch(queue);
    this.dispatchR = this.currentR;
    this.latestS = queue.nextR;
    queue.nextR += seats * GUESSED_MS;
    queue.executing++;
    queue.seatsInUse += seats;
  }

  /** Gives seats back. */
  finish(seating: Seating, nowMs: number): void {
    const { queue, seats, flow: { figures, share } } = seating;
    this.#advance(nowMs);
    this.seatsInUse -= seats;
    share.seatsInUse -= seats;
    this.running.delete(seating);
    this.demand.add(-seats, nowMs);
    this.use.note(this, nowMs);
    figures.executing--;
    figures.seats -= seats;
    if (!queue) return;
    queue.executing--;
    queue.seatsInUse -= seats;
    queue.nextR -= seats * (GUESSED_MS - (nowMs - seating.startedMs));
    this.#boundToArrival(queue);
    if (queue.executing === 0 && queue.waiting.size === 0) this.#busy.delete(queue);
  }

  enqueue(waiter: Waiter, nowMs: number): void {
    const { queue, seats, flow: { figures } } = waiter;
    if (!queue) return;
    this.#touch(queue);
    queue.waiting.add(waiter);
    queue.waitingSeats += seats;
    this.waiting++;
    this.waitingSeats += seats;
    this.demand.add(seats, nowMs);
    this.use.note(this, nowMs);
    figures.queued++;
    figures.queuedSeats += seats;
    figures.queueLength.observe(queue.waiting.size);
  }

  /** Takes a request out of its queue; false when it is not there any more. */
  dequeue(waiter: Waiter, nowMs: number): boolean {
    const { queue, seats, flow: { figures } } = waiter;
    if (!queue?.waiting.delete(waiter)) return false;
    queue.waitingSeats -= seats;
    this.waiting--;
    this.waitingSeats -= seats;
    this.demand.add(-seats, nowMs);
    this.use.note(this, nowMs);
    figures.queued--;
    figures.queuedSeats -= seats;
    if (queue.executing === 0 && queue.waiting.size === 0) this.#busy.delete(queue);
    return true;
  }

  /** Lets the request start that would be done first if all queues were served at once; false when none can. */
  dispatchNext(nowMs: number): boolean {
    if (this.waiting === 0) return false;
    this.#advance(nowMs);
    const waiter = this.#next();
    if (!waiter) return false;
    if (!this.fits(waiter.seats)) {
      waiter.flow.figures.noAccommodation++;
      return false;
    }
    this.dequeue(waiter, nowMs);
    this.start(waiter, nowMs);
    this.#boundToArrival(waiter.queue as Queue);
    waiter.start();
    return true;
  }

  /** Counts what was in use until now by what there is of it now: before that changes, and before it is told. */
  settle(nowMs: number): void {
    const { queues = 1, queueLengthLimit = 1 } = this.config.queuing ?? {};
    this.use.note(this, nowMs);
    this.use.settle({ limit: this.limit, nominal: this.bounds.nominal, places: queues * queueLengthLimit });
  }

  /** All queues that hold or serve something, in order. */
  queues(): Queue[] {
    return this.#queues.filter((queue) => queue !== undefined);
  }

  /** Takes another configuration; those who wait stay where they are. */
  configure(config: LevelConfig): void {
    const [queuing, before] = [config.queuing, this.config.queuing];
    if (queuing?.queues !== before?.queues || queuing?.handSize !== before?.handSize) {
      this.#queues = [];
      this.#shares.clear();
    }
    this.config = config;
    this.isQuiescing = false;
  }

  #next(): Waiter | undefined {
    let next: Waiter | undefined;
    let earliest = Infinity;
    let [min, max, discountedMin, discountedMax] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const queue of this.#busy) {
      const oldest = queue.waiting.values().next().value;
      if (!oldest) continue;
      const discounted = queue.nextR - queue.seatsInUse * GUESSED_MS;
      min = Math.min(min, queue.nextR);
      max = Math.max(max, queue.nextR);
      discountedMin = Math.min(discountedMin, discounted);
      discountedMax = Math.max(discountedMax, discounted);
      if (!this.mayTake(oldest.flow, oldest.seats)) continue;
      const finishR = queue.nextR + oldest.seats * GUESSED_MS;
      if (finishR < earliest) [earliest, next] = [finishR, oldest];
    }
    if (max >= min) [this.nextS, this.nextDiscountedS] = [{ min, max }, { min: discountedMin, max: discountedMax }];
    // The queue that was served goes to the end: among equals the others come first.
    if (next?.queue && this.#busy.delete(next.queue)) this.#busy.add(next.queue);
    return next;
  }

  #queueAt(index: number): Queue {
    return (this.#queues[index] ??= { index, waiting: new Set(), waitingSeats: 0, executing: 0, seatsInUse: 0, nextR: this.currentR });
  }

  /** A queue that comes back to life starts at the present, however long it was away. */
  #touch(queue: Queue): void {
    if (queue.executing === 0 && queue.waiting.size === 0) queue.nextR = this.currentR;
    this.#busy.add(queue);
  }

  /** Nothing is dispatched before it arrived, or slow queues would save up for later. */
  #boundToArrival(queue: Queue): void {
    const oldest = queue.waiting.values().next().value;
    if (oldest && queue.nextR < oldest.arrivalR) queue.nextR = oldest.arrivalR;
  }

  /** Virtual time passes as fast as seats are used, divided among the queues that want them. */
  #advance(nowMs: number): void {
    const elapsed = nowMs - this.#advancedMs;
    if (elapsed <= 0) return;
    this.#advancedMs = nowMs;
    const active = this.#busy.size;
    if (active > 0) this.currentR += (elapsed * Math.min(this.seatsInUse, this.limit)) / active;
  }
}

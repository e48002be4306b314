// One priority level: its seats, the queues of those who wait for one, and whose turn is next.
// Fair queuing as in KEP-1040: every queue has a place in virtual time, which a request moves on by the seat-time it takes.
import { FlowFigures, type RefusalReason } from "./figures.ts";
import { DemandMeter } from "./demand.ts";
import { dealHand, hashOf } from "./hand.ts";
import type { Bounds, Shares } from "./limits.ts";
import type { Digest } from "./match.ts";

/** How those are treated who find no seat. */
export interface Queuing {
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

/** A PriorityLevelConfiguration as it is used. */
export interface LevelConfig extends Shares {
  readonly name: string;
  readonly uid: string;
  readonly isExempt: boolean;
  /** Left out: requests without a seat are refused. */
  readonly queuing?: Queuing | undefined;
}

/** The requests of one FlowSchema that belong together. */
export interface Flow {
  readonly schema: { readonly name: string; readonly uid: string };
  readonly level: Level;
  readonly distinguisher: string;
  readonly figures: FlowFigures;
  /** The queues this flow may use; dealt when first needed. */
  hand?: readonly number[];
}

/** One request's place at the level. */
export interface Seating {
  readonly flow: Flow;
  readonly digest: Digest;
  readonly seats: number;
  readonly arrivedMs: number;
  readonly queue: Queue | undefined;
  readonly arrivalR: number;
  startedMs: number;
}

/** A request that waits. */
export interface Waiter extends Seating {
  start(): void;
}

/** First come, first served within; fair between. */
export interface Queue {
  readonly index: number;
  readonly waiting: Set<Waiter>;
  waitingSeats: number;
  executing: number;
  seatsInUse: number;
  /** Where in virtual time its next request starts. */
  nextR: number;
}

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
  currentR = 0;
  dispatchR = 0;
  #queues: (Queue | undefined)[] = [];
  #busy = new Set<Queue>();
  #advancedMs: number;
  #turn = 0;

  constructor(config: LevelConfig, nowMs: number) {
    this.config = config;
    this.demand = new DemandMeter(nowMs);
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

  /** Whether a request of this size could start now. One that is larger than the level starts when it is alone. */
  fits(seats: number): boolean {
    if (this.config.isExempt) return true;
    return seats > this.limit ? this.running.size === 0 : this.seatsInUse + seats <= this.limit;
  }

  /** The queue a request of this flow would wait in: the least loaded of its hand. */
  queueFor(flow: Flow, nowMs: number): Queue | undefined {
    const { queuing } = this.config;
    if (!queuing) return undefined;
    this.#advance(nowMs);
    const hand = (flow.hand ??= queuing.queues > 1 ? dealHand(hashOf(flow.schema.name, flow.distinguisher), queuing.queues, queuing.handSize) : [0]);
    // Starting elsewhere each time spreads flows whose hands overlap.
    const offset = this.#turn++ % hand.length;
    let best: Queue | undefined;
    for (let step = 0; step < hand.length; step++) {
      const queue = this.#queueAt(hand[(offset + step) % hand.length] as number);
      if (!best || queue.waitingSeats < best.waitingSeats) best = queue;
    }
    return best;
  }

  /** Whether one more may wait there. */
  isFull(queue: Queue): boolean {
    return this.seatsInUse >= this.limit && queue.waiting.size >= (this.config.queuing?.queueLengthLimit ?? 0);
  }

  /** Takes seats; the request runs from now. */
  start(seating: Seating, nowMs: number): void {
    const { queue, seats, flow: { figures } } = seating;
    seating.startedMs = nowMs;
    this.seatsInUse += seats;
    this.dispatched++;
    this.running.add(seating);
    this.demand.add(seats, nowMs);
    figures.executing++;
    figures.seats += seats;
    if (!queue) return;
    this.#touch(queue);
    this.dispatchR = queue.nextR;
    queue.nextR += seats * GUESSED_MS;
    queue.executing++;
    queue.seatsInUse += seats;
  }

  /** Gives seats back. */
  finish(seating: Seating, nowMs: number): void {
    const { queue, seats, flow: { figures } } = seating;
    this.#advance(nowMs);
    this.seatsInUse -= seats;
    this.running.delete(seating);
    this.demand.add(-seats, nowMs);
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

  /** All queues that hold or serve something, in order. */
  queues(): Queue[] {
    return this.#queues.filter((queue) => queue !== undefined);
  }

  /** Takes another configuration; those who wait stay where they are. */
  configure(config: LevelConfig): void {
    if (config.queuing?.queues !== this.config.queuing?.queues) this.#queues = [];
    this.config = config;
    this.isQuiescing = false;
  }

  #next(): Waiter | undefined {
    let next: Waiter | undefined;
    let earliest = Infinity;
    for (const queue of this.#busy) {
      const oldest = queue.waiting.values().next().value;
      if (!oldest) continue;
      const finishR = queue.nextR + oldest.seats * GUESSED_MS;
      if (finishR < earliest) [earliest, next] = [finishR, oldest];
    }
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

// What is in use over time: of each priority level, and of the whole server by kind of request.
import { Occupancy } from "./occupancy.ts";

const SEAT_BOUNDS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];
const REQUEST_BOUNDS = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1];
const DEMAND_BOUNDS = [0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.7, 2, 2.8, 4, 6];
const KIND_BOUNDS = [0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];
const READS = new Set(["get", "list", "watch", "head"]);

/** What a level's numbers are parts of. */
export interface Wholes {
  readonly limit: number;
  readonly nominal: number;
  /** How many may wait. */
  readonly places: number;
}

/** What can be seen of a level at a moment. */
export interface InUse {
  readonly seatsInUse: number;
  readonly waitingSeats: number;
  readonly waiting: number;
  readonly running: { readonly size: number };
}

/** One level over time. */
export class LevelUse {
  readonly seats = new Occupancy(SEAT_BOUNDS);
  readonly demand = new Occupancy(DEMAND_BOUNDS);
  readonly executing = new Occupancy(REQUEST_BOUNDS);
  readonly waiting = new Occupancy(REQUEST_BOUNDS);
  #seats = 0;
  #demand = 0;
  #executing = 0;
  #waiting = 0;

  constructor(private sinceMs: number) {}

  /** Called after every change. */
  note({ seatsInUse, waitingSeats, waiting, running }: InUse, nowMs: number): void {
    const elapsed = nowMs - this.sinceMs;
    if (elapsed > 0) {
      this.sinceMs = nowMs;
      this.seats.add(this.#seats, elapsed);
      this.demand.add(this.#demand, elapsed);
      this.executing.add(this.#executing, elapsed);
      this.waiting.add(this.#waiting, elapsed);
    }
    this.#seats = seatsInUse;
    this.#demand = seatsInUse + waitingSeats;
    this.#executing = running.size;
    this.#waiting = waiting;
  }

  settle({ limit, nominal, places }: Wholes): void {
    this.seats.settle(limit);
    this.demand.settle(nominal);
    this.executing.settle(limit);
    this.waiting.settle(places);
  }
}

interface Kind {
  executing: number;
  waiting: number;
  sinceMs: number;
  readonly executed: Occupancy;
  readonly waited: Occupancy;
}

/** Reads and writes over time. */
export class KindUse {
  readonly #mutating: Kind;
  readonly #readOnly: Kind;

  constructor(nowMs: number) {
    const kind = (): Kind => ({ executing: 0, waiting: 0, sinceMs: nowMs, executed: new Occupancy(KIND_BOUNDS), waited: new Occupancy(KIND_BOUNDS) });
    this.#mutating = kind();
    this.#readOnly = kind();
  }

  executing(verb: string, change: number, nowMs: number): void {
    this.#passed(READS.has(verb) ? this.#readOnly : this.#mutating, nowMs).executing += change;
  }

  waiting(verb: string, change: number, nowMs: number): void {
    this.#passed(READS.has(verb) ? this.#readOnly : this.#mutating, nowMs).waiting += change;
  }

  lines(name: string, whole: number, nowMs: number): string[] {
    return [["mutating", this.#mutating] as const, ["readOnly", this.#readOnly] as const].flatMap(([label, kind]) => {
      this.#passed(kind, nowMs);
      kind.executed.settle(whole);
      kind.waited.settle(whole);
      return [...kind.executed.lines(name, `phase="executing",request_kind="${label}"`), ...kind.waited.lines(name, `phase="waiting",request_kind="${label}"`)];
    });
  }

  #passed(kind: Kind, nowMs: number): Kind {
    const elapsed = nowMs - kind.sinceMs;
    if (elapsed <= 0) return kind;
    kind.sinceMs = nowMs;
    kind.executed.add(kind.executing, elapsed);
    kind.waited.add(kind.waiting, elapsed);
    return kind;
  }
}

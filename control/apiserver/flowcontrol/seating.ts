// What requests, their flows and queues are to a priority level.
import type { FlowFigures } from "./figures.ts";
import type { Level } from "./level.ts";
import type { Shares } from "./limits.ts";
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

/** Requests of one FlowSchema that belong together, and what they have taken. */
export interface Share {
  /** The queues they may use. */
  readonly hand: readonly number[];
  seatsInUse: number;
}

/** What requests of one kind from one user are. */
export interface Flow {
  readonly schema: { readonly name: string; readonly uid: string };
  readonly level: Level;
  readonly distinguisher: string;
  readonly figures: FlowFigures;
  readonly share: Share;
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

/** The least and the most of something. */
export interface Span {
  readonly min: number;
  readonly max: number;
}

// Who is served now, who waits and who is refused: priority and fairness over the requests that come over HTTP.
// A request that finds a seat costs a look-up and some additions; everything else happens under load only.
import type { FlowSchema, PriorityLevelConfiguration, Stored } from "../../../api/types.ts";
import { selectAll } from "../cache/selection.ts";
import type { Engine } from "../engine.ts";
import { flowConfig, type FlowConfig } from "./config.ts";
import { FlowFigures, flowText, type RefusalReason } from "./figures.ts";
import { Level } from "./level.ts";
import { allocate, boundsOf } from "./limits.ts";
import { distinguisherOf, type Digest, type Matcher } from "./match.ts";
import { Refused } from "./refused.ts";
import { RetryAfter } from "./retryafter.ts";
import type { Flow, Queue, Seating, Waiter } from "./seating.ts";
import { Turn } from "./turn.ts";
import { KindUse } from "./use.ts";
import type { UserInfo } from "../request.ts";

export interface FlowControlOptions {
  /** Seats of the whole server. */
  readonly seats: number;
  /** Milliseconds of a clock that only moves on. */
  readonly now?: () => number;
  readonly turn?: Turn;
}

/** A request's permission to run; must be ended exactly once, later calls do nothing. */
export class Seat {
  #isHeld = true;

  constructor(private readonly control: FlowControl, private readonly seating: Seating) {}

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.control.release(this.seating);
  }
}

/** What is asked for: a digest's user, seats, and how long it would wait at most. */
export interface Arrival {
  readonly digest: Digest;
  readonly seats: number;
  readonly waitAtMostMs: number;
  /** Tells when the client has gone. */
  readonly onGone: (leave: () => void) => void;
}

const ADJUST_EVERY_MS = 10_000;
const MAX_REMEMBERED = 1000;
/** How many start before others get their say; what starts runs before the next batch is taken. */
const BATCH = 8;

export class FlowControl {
  readonly levels = new Map<string, Level>();
  #config: FlowConfig = { levels: new Map(), matchers: [] };
  /** What requests of one user were found to be; forgotten whenever the configuration changes. */
  #remembered = new WeakMap<UserInfo, Map<string, Flow>>();
  readonly #figures = new Map<string, FlowFigures>();
  readonly #retryAfter = new Map<string, RetryAfter>();
  readonly #now: () => number;
  readonly #turn: Turn;
  readonly #listeners: (() => void)[] = [];
  readonly #kinds: KindUse;
  #fairFraction = 0;
  #isPumping = false;

  constructor(private readonly options: FlowControlOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#turn = options.turn ?? new Turn();
    this.#kinds = new KindUse(this.#now());
    this.configure(flowConfig([], []));
  }

  /** Follows the stored configuration until the signal aborts. */
  start({ caches }: Engine, signal: AbortSignal): void {
    const levels = caches.for("flowcontrol.apiserver.k8s.io/prioritylevelconfigurations");
    const schemas = caches.for("flowcontrol.apiserver.k8s.io/flowschemas");
    const read = (): void => this.configure(flowConfig(objectsOf<PriorityLevelConfiguration>(levels), objectsOf<FlowSchema>(schemas)));
    const stops = [levels, schemas].map((cache) => cache.watchFromNow(selectAll(), { deliver: read }));
    read();
    const timer = setInterval(() => this.adjust(), ADJUST_EVERY_MS);
    timer.unref();
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const stop of stops) stop();
    }, { once: true });
  }

  /** Uses another configuration from now on; requests under way end where they are. */
  configure(config: FlowConfig): void {
    this.#config = config;
    this.#remembered = new WeakMap();
    this.#settle();
    for (const [name, wanted] of config.levels) {
      const level = this.levels.get(name);
      if (level) level.configure(wanted);
      else this.levels.set(name, new Level(wanted, this.#now()));
    }
    for (const [name, level] of this.levels) {
      if (config.levels.has(name)) continue;
      level.isQuiescing = true;
      if (level.isIdle) this.levels.delete(name);
    }
    const all = [...this.levels.values()];
    boundsOf(all.map((level) => level.config), this.options.seats).forEach((bounds, index) => ((all[index] as Level).bounds = bounds));
    const schemas = new Set(config.matchers.map(({ name }) => name));
    for (const [key, { schema, executing, queued }] of this.#figures) if (!schemas.has(schema) && executing + queued === 0) this.#figures.delete(key);
    this.#allocate();
    this.#pumpSoon();
    for (const listener of this.#listeners) listener();
  }

  /** Calls back whenever the stored configuration changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Ends a period: seats go to where they were wanted. */
  adjust(): void {
    this.#settle();
    for (const level of this.levels.values()) level.demand.endPeriod(this.#now());
    this.#allocate();
    this.#pumpSoon();
  }

  /** The flow a request belongs to. */
  flowOf(digest: Digest): Flow {
    let known = this.#remembered.get(digest.user);
    if (!known) this.#remembered.set(digest.user, (known = new Map()));
    const key = digest.path ?? `${digest.group}/${digest.resource}/${digest.namespace}`;
    const full = `${digest.verb} ${key}`;
    let flow = known.get(full);
    if (flow) return flow;
    flow = this.#classify(digest);
    if (known.size >= MAX_REMEMBERED) known.clear();
    known.set(full, flow);
    return flow;
  }

  /** A seat, at once when there is one. Throws or rejects with Refused when there will be none. */
  enter(flow: Flow, arrival: Arrival): Seat | Promise<Seat> {
    const { level } = flow;
    const now = this.#now();
    const { digest, seats } = arrival;
    const size = Math.min(seats, level.mostSeats);
    flow.figures.estimated.observe(size);
    const queue = level.config.isExempt ? undefined : level.queueFor(flow, now);
    const seating: Seating = { flow, digest, seats: size, arrivedMs: now, queue, arrivalR: level.currentR, startedMs: now };
    const canStart = level.fits(size) && level.mayTake(flow, size) && (!queue || (level.waiting === 0 && !this.#turn.isSpent(now)));
    if (!canStart) return queue ? this.#wait(seating, queue, arrival) : this.#refuse(flow, "concurrency-limit");
    flow.figures.immediate++;
    this.#kinds.executing(digest.verb, 1, now);
    level.start(seating, now);
    return new Seat(this, seating);
  }

  /** Called by a Seat. */
  release(seating: Seating): void {
    const now = this.#now();
    const { level, figures } = seating.flow;
    level.finish(seating, now);
    this.#kinds.executing(seating.digest.verb, -1, now);
    (seating.digest.verb === "watch" ? figures.watches : figures.regular).observe((now - seating.startedMs) / 1000);
    if (level.waiting > 0) this.#pumpSoon();
    else if (level.isQuiescing && level.isIdle) this.levels.delete(level.config.name);
  }

  /** Its part of `/metrics`. */
  text(): string {
    this.#settle();
    const levels = [...this.levels.values()].map((level) => {
      const { config, bounds, limit, demand, currentR, dispatchR, latestS, nextS, nextDiscountedS, use } = level;
      const target = Math.max(bounds.lowest, Math.min(bounds.nominal, demand.last.peak), demand.last.smoothed);
      return { name: config.name, ...bounds, current: limit, demand: demand.last, target, currentR, dispatchR, latestS, nextS, nextDiscountedS, use };
    });
    return flowText(this.#figures.values(), levels, { fairFraction: this.#fairFraction, readsAndWrites: (name) => this.#kinds.lines(name, this.options.seats, this.#now()) });
  }

  #settle(): void {
    for (const level of this.levels.values()) level.settle(this.#now());
  }

  #classify(digest: Digest): Flow {
    const matcher = this.#config.matchers.find((candidate) => candidate.matches(digest)) ?? (this.#config.matchers.at(-1) as Matcher);
    const level = this.levels.get(matcher.level) as Level;
    const key = `${matcher.level}\n${matcher.name}`;
    let figures = this.#figures.get(key);
    if (!figures) this.#figures.set(key, (figures = new FlowFigures(matcher.level, matcher.name)));
    const distinguisher = distinguisherOf(matcher, digest);
    return { schema: matcher, level, distinguisher, figures, share: level.shareOf(matcher.name, distinguisher) };
  }

  #wait(seating: Seating, queue: Queue, { waitAtMostMs, onGone }: Arrival): Promise<Seat> {
    const { flow } = seating;
    const { level } = flow;
    if (level.isFull(queue)) return this.#refuse(flow, "queue-full");
    return new Promise((resolve, reject) => {
      const leave = (reason: RefusalReason): void => {
        if (!level.dequeue(waiter, this.#now())) return;
        this.#kinds.waiting(seating.digest.verb, -1, this.#now());
        clearTimeout(timer);
        flow.figures.waitedInVain.observe((this.#now() - seating.arrivedMs) / 1000);
        reject(this.#refusal(flow, reason));
      };
      const timer = setTimeout(() => leave("time-out"), waitAtMostMs);
      const waiter: Waiter = Object.assign(seating, {
        start: () => {
          clearTimeout(timer);
          this.#kinds.waiting(seating.digest.verb, -1, waiter.startedMs);
          this.#kinds.executing(seating.digest.verb, 1, waiter.startedMs);
          flow.figures.waited.observe((waiter.startedMs - seating.arrivedMs) / 1000);
          resolve(new Seat(this, seating));
        },
      });
      level.enqueue(waiter, this.#now());
      this.#kinds.waiting(seating.digest.verb, 1, this.#now());
      onGone(() => leave("cancelled"));
      this.#pumpSoon();
    });
  }

  #refuse(flow: Flow, reason: RefusalReason): never {
    throw this.#refusal(flow, reason);
  }

  #refusal(flow: Flow, reason: RefusalReason): Refused {
    const { level, figures } = flow;
    level.refused[reason]++;
    figures.refused[reason] = (figures.refused[reason] ?? 0) + 1;
    let tracker = this.#retryAfter.get(level.config.name);
    if (!tracker) this.#retryAfter.set(level.config.name, (tracker = new RetryAfter()));
    tracker.refused(Math.floor(Date.now() / 1000));
    return new Refused(tracker.seconds);
  }

  #allocate(): void {
    const all = [...this.levels.values()];
    const { seats, fairFraction } = allocate(all.map(({ config, bounds, demand }) => ({ ...bounds, isExempt: config.isExempt, peak: demand.last.peak, smoothed: demand.last.smoothed })));
    this.#fairFraction = fairFraction;
    seats.forEach((limit, index) => ((all[index] as Level).limit = limit));
  }

  #pumpSoon(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    queueMicrotask(this.#pump);
  }

  /** Starts those whose turn it is, a few at a time: one of each level, around and around. */
  readonly #pump = (): void => {
    this.#isPumping = false;
    const now = this.#now();
    const waiting = [...this.levels.values()].filter((level) => level.waiting > 0);
    if (waiting.length === 0) return;
    if (this.#turn.isSpent(now)) return this.#pumpNextTurn();
    let started = 0;
    let isMoving = true;
    while (isMoving && started < BATCH) {
      isMoving = false;
      for (const level of waiting) {
        if (!level.dispatchNext(now)) continue;
        started++;
        isMoving = true;
      }
    }
    if (isMoving) this.#pumpSoon();
  };

  #pumpNextTurn(): void {
    this.#isPumping = true;
    setImmediate(this.#pump);
  }
}

function objectsOf<T extends FlowSchema | PriorityLevelConfiguration>(cache: ReturnType<Engine["caches"]["for"]>): Stored<T>[] {
  return cache.entries().map((entry) => entry.object as unknown as Stored<T>);
}

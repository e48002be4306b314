// How fast an autoscaler may act on what it computed: bounds, rates, and what it recommended a while ago.
// Rules: k8s.io/kubernetes/pkg/controller/podautoscaler/horizontal.go.
import type { HorizontalPodAutoscaler } from "../../../api/types.ts";

type Behavior = NonNullable<NonNullable<HorizontalPodAutoscaler["spec"]>["behavior"]>;
export type Rules = NonNullable<Behavior["scaleUp"]>;

/** What an autoscaler is to decide on. */
export interface Proposal {
  readonly current: number;
  readonly desired: number;
  readonly min: number;
  readonly max: number;
  readonly nowMs: number;
  readonly behavior?: Behavior | undefined;
}

/** A reason and a message for a condition. */
export interface Remark {
  readonly reason: string;
  readonly message: string;
}

/** What may be done, and why it is not what was proposed. */
export interface Decision {
  readonly replicas: number;
  readonly ableToScale: Remark;
  readonly isLimited: boolean;
  readonly limit: Remark;
}

interface Past {
  readonly count: number;
  readonly atMs: number;
}

const DOWN_WINDOW_S = 300;
const LONGEST_WINDOW_MS = 3_600_000;
const UP: Rules = { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [{ type: "Pods", value: 4, periodSeconds: 15 }, { type: "Percent", value: 100, periodSeconds: 15 }] };
const DOWN: Rules = { stabilizationWindowSeconds: DOWN_WINDOW_S, selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] };
const WITHIN: Remark = { reason: "DesiredWithinRange", message: "the desired count is within the acceptable range" };
const READY: Remark = { reason: "ReadyForNewScale", message: "recommended size matches current size" };
const TOO_FEW: Remark = { reason: "TooFewReplicas", message: "the desired replica count is less than the minimum replica count" };
const TOO_MANY: Remark = { reason: "TooManyReplicas", message: "the desired replica count is more than the maximum replica count" };
const UP_LIMIT: Remark = { reason: "ScaleUpLimit", message: "the desired replica count is increasing faster than the maximum scale rate" };
const DOWN_LIMIT: Remark = { reason: "ScaleDownLimit", message: "the desired replica count is decreasing faster than the maximum scale rate" };
const HELD_DOWN: Remark = { reason: "ScaleUpStabilized", message: "recent recommendations were lower than current one, applying the lowest recent recommendation" };
const HELD_UP: Remark = { reason: "ScaleDownStabilized", message: "recent recommendations were higher than current one, applying the highest recent recommendation" };

/** What one autoscaler has recommended and done lately. */
export class History {
  #recommended: Past[] = [];
  #added: Past[] = [];
  #removed: Past[] = [];

  /** The first thing known of a workload is the size it has. */
  begin(current: number, nowMs: number): void {
    if (this.#recommended.length === 0) this.#recommended.push({ count: current, atMs: nowMs });
  }

  /** Remembers a change that was made. */
  scaled(from: number, to: number, nowMs: number): void {
    const list = to > from ? this.#added : this.#removed;
    list.push({ count: Math.abs(to - from), atMs: nowMs });
    this.#added = since(this.#added, nowMs, LONGEST_WINDOW_MS);
    this.#removed = since(this.#removed, nowMs, LONGEST_WINDOW_MS);
  }

  /** Brings a proposal within what is allowed, and remembers it. */
  decide(proposal: Proposal): Decision {
    const steady = this.#stabilize(proposal);
    const remark = steady === proposal.desired ? READY : proposal.behavior && proposal.desired >= proposal.current ? HELD_DOWN : HELD_UP;
    const { replicas, remark: limit } = this.#limit({ ...proposal, desired: steady });
    return { replicas, ableToScale: remark, isLimited: replicas !== steady, limit };
  }

  #stabilize({ current, desired, behavior, nowMs }: Proposal): number {
    this.#recommended = since(this.#recommended, nowMs, LONGEST_WINDOW_MS);
    const within = (seconds: number): number[] => since(this.#recommended, nowMs, seconds * 1000).map(({ count }) => count);
    const least = Math.min(desired, ...within(behavior ? (rules(behavior, "scaleUp").stabilizationWindowSeconds ?? 0) : 0));
    const most = Math.max(desired, ...within(behavior ? (rules(behavior, "scaleDown").stabilizationWindowSeconds ?? DOWN_WINDOW_S) : DOWN_WINDOW_S));
    this.#recommended.push({ count: desired, atMs: nowMs });
    return behavior ? Math.min(Math.max(current, least), most) : most;
  }

  #limit({ current, desired, min, max, behavior, nowMs }: Proposal): { replicas: number; remark: Remark } {
    if (!behavior) {
      const rate = Math.max(2 * current, 4);
      if (desired < min) return { replicas: min, remark: TOO_FEW };
      const most = Math.min(max, rate);
      return desired > most ? { replicas: most, remark: max > rate ? UP_LIMIT : TOO_MANY } : { replicas: desired, remark: WITHIN };
    }
    if (desired > current) {
      const rate = Math.max(current, this.#mostAllowed(current, rules(behavior, "scaleUp"), nowMs));
      const most = Math.min(max, rate);
      if (desired > most) return { replicas: most, remark: max > rate ? UP_LIMIT : TOO_MANY };
    } else if (desired < current) {
      const rate = Math.min(current, this.#fewestAllowed(current, rules(behavior, "scaleDown"), nowMs));
      const fewest = Math.max(min, rate);
      if (desired < fewest) return { replicas: fewest, remark: min < rate ? DOWN_LIMIT : TOO_FEW };
    }
    return { replicas: desired, remark: WITHIN };
  }

  #mostAllowed(current: number, { selectPolicy, policies = [] }: Rules, nowMs: number): number {
    if (selectPolicy === "Disabled") return current;
    const limits = policies.map(({ type, value, periodSeconds }) => {
      const start = this.#sizeBefore(current, periodSeconds, nowMs);
      return type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
    });
    return selectPolicy === "Min" ? Math.min(...limits) : Math.max(...limits);
  }

  #fewestAllowed(current: number, { selectPolicy, policies = [] }: Rules, nowMs: number): number {
    if (selectPolicy === "Disabled") return current;
    const limits = policies.map(({ type, value, periodSeconds }) => {
      const start = this.#sizeBefore(current, periodSeconds, nowMs);
      return type === "Pods" ? start - value : Math.trunc(start * (1 - value / 100));
    });
    return selectPolicy === "Min" ? Math.max(...limits) : Math.min(...limits);
  }

  /** How many there were when the period began. */
  #sizeBefore(current: number, periodSeconds: number, nowMs: number): number {
    const sum = (list: readonly Past[]): number => since(list, nowMs, periodSeconds * 1000).reduce((total, { count }) => total + count, 0);
    return current - sum(this.#added) + sum(this.#removed);
  }
}

function rules(behavior: Behavior, direction: "scaleUp" | "scaleDown"): Rules {
  return { ...(direction === "scaleUp" ? UP : DOWN), ...behavior[direction] };
}

function since(list: readonly Past[], nowMs: number, ms: number): Past[] {
  return list.filter(({ atMs }) => nowMs - atMs < ms);
}

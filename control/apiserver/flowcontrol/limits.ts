// How many seats each priority level has: its share by configuration, and what it lends and borrows by demand.
// Rules: KEP-1040, "Dispatching" and "Priority Level Concurrency".

/** A level's configured share of the server, in seats. */
export interface Bounds {
  readonly nominal: number;
  /** What stays when everything lendable is lent. */
  readonly lowest: number;
  readonly highest: number;
}

export interface Shares {
  readonly shares: number;
  readonly lendablePercent: number;
  /** Without a limit: all the server has. */
  readonly borrowingLimitPercent?: number | undefined;
}

/** Each level's bounds out of `total` seats. Rounding up, they may add up to a little more. */
export function boundsOf(levels: readonly Shares[], total: number): Bounds[] {
  const sum = levels.reduce((so, { shares }) => so + shares, 0) || 1;
  return levels.map(({ shares, lendablePercent, borrowingLimitPercent }) => {
    const nominal = Math.ceil((total * shares) / sum);
    const borrowing = borrowingLimitPercent === undefined ? total : Math.round((nominal * borrowingLimitPercent) / 100);
    return { nominal, lowest: nominal - Math.round((nominal * lendablePercent) / 100), highest: nominal + borrowing };
  });
}

/** What a level needed in the last period. */
export interface Need extends Bounds {
  readonly isExempt: boolean;
  /** The most seats it could have used at once. */
  readonly peak: number;
  /** Its usual demand, slow to forget. */
  readonly smoothed: number;
}

/** Seats for each level now: what it needs, within its bounds, in fair proportion where there is more demand than seats. */
export function allocate(needs: readonly Need[]): { seats: number[]; fairFraction: number } {
  const floors = needs.map(floorOf);
  const limited = needs.map((need, index) => ({ ...need, floor: floors[index] as number })).filter(({ isExempt }) => !isExempt);
  const total = sum(needs.map(({ nominal }) => nominal));
  const remaining = total - sum(floors.filter((_, index) => (needs[index] as Need).isExempt));
  const [lowest, wanted] = [sum(limited.map((need) => need.lowest)), sum(limited.map(({ floor }) => floor))];
  if (remaining <= wanted) {
    const share = remaining <= lowest || wanted === lowest ? 0 : (remaining - lowest) / (wanted - lowest);
    return { fairFraction: 0, seats: needs.map((need, index) => (need.isExempt ? (floors[index] as number) : need.lowest + Math.round(((floors[index] as number) - need.lowest) * share))) };
  }
  // What exempt requests take is not taken from the others.
  const fairFraction = fairFractionOf(limited, total);
  return { fairFraction, seats: needs.map((need, index) => (need.isExempt ? (floors[index] as number) : Math.round(allocationOf({ ...need, floor: floors[index] as number }, fairFraction)))) };
}

function sum(values: readonly number[]): number {
  return values.reduce((so, value) => so + value, 0);
}

/** What a level keeps whatever others want: what it used, up to what is its own. */
function floorOf({ isExempt, lowest, nominal, peak }: Need): number {
  return Math.max(lowest, isExempt ? peak : Math.min(nominal, peak));
}

const SMALLEST_TARGET = 0.001;

function allocationOf({ floor, highest, smoothed }: Need & { floor: number }, fraction: number): number {
  return Math.min(highest, Math.max(floor, fraction * Math.max(SMALLEST_TARGET, floor, smoothed)));
}

/** The one proportion of what all want at which exactly `total` is given out; it grows steadily, so halving finds it. */
function fairFractionOf(needs: readonly (Need & { floor: number })[], total: number): number {
  const given = (fraction: number): number => needs.reduce((so, need) => so + allocationOf(need, fraction), 0);
  let [low, high] = [0, 1];
  while (given(high) < total && high < 1e9) high *= 2;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (given(middle) < total) low = middle;
    else high = middle;
  }
  return high;
}

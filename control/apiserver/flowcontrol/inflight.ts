// The plain limits: so many reads and so many writes at once, whoever sends them.
// In force where priority and fairness is switched off, which otherwise divides the sum of both.
import type { UserInfo } from "../request.ts";
import { Refused } from "./refused.ts";

export interface InFlightOptions {
  /** 0 for no limit. */
  readonly reads: number;
  readonly writes: number;
}

const READS = new Set(["get", "list", "watch", "head", "options"]);

/** Counts requests under way. */
export class InFlightLimits {
  readonly #count = { reads: 0, writes: 0 };

  constructor(private readonly options: InFlightOptions) {}

  /** Takes a place; throws Refused when there is none. Members of system:masters always get an answer. */
  enter({ groups }: UserInfo, verb: string): { release(): void } {
    const kind = READS.has(verb) ? "reads" : "writes";
    const limit = this.options[kind];
    if (limit > 0 && this.#count[kind] >= limit && !groups.includes("system:masters")) throw new Refused(1);
    this.#count[kind]++;
    let isHeld = true;
    return {
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#count[kind]--;
      },
    };
  }
}

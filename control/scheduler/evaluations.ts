// How often each plugin was asked at each extension point, as upstream's `scheduler_plugin_evaluation_total` counts.
// What is remembered about a node is no question: only real ones count.

export type EvaluatedPoint = "PreFilter" | "Filter" | "PreScore" | "Score";

export interface Evaluation {
  readonly point: EvaluatedPoint;
  readonly plugin: string;
  count: number;
}

/** The counters of one profile. */
export class Evaluations {
  readonly all: Evaluation[] = [];

  /** The counter of one plugin at one point, to be raised in place. */
  of(point: EvaluatedPoint, plugin: string): Evaluation {
    const known = this.all.find((each) => each.point === point && each.plugin === plugin);
    if (known) return known;
    const counter: Evaluation = { point, plugin, count: 0 };
    this.all.push(counter);
    return counter;
  }
}

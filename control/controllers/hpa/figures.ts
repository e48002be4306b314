// What came of an autoscaler's rounds and of its metrics, counted as upstream counts it.
// Labels: k8s.io/kubernetes/pkg/controller/podautoscaler/monitor.
import type { Key } from "../../../api/client/informer.ts";
import type { ControllerFigures } from "../figures.ts";
import { MetricError, type Evaluation } from "./evaluate.ts";

type Action = "scale_up" | "scale_down" | "none";

/** What came of a round. */
interface Outcome {
  readonly action: Action;
  readonly error: "spec" | "internal" | "none";
}

const NOTHING: Outcome = { action: "none", error: "none" };
/** The autoscaler itself is wrong, not the world. */
const SPEC_PROBLEMS = new Set(["InvalidMetricSourceType", "InvalidSelector", "SelectorRequired", "AmbiguousSelector"]);

/** The rounds under way. */
export class Rounds {
  readonly #outcomes = new Map<Key, Outcome>();

  constructor(private readonly figures: ControllerFigures) {}

  /** Counts one round, whatever comes of it. */
  async run(key: Key, round: () => Promise<void>): Promise<void> {
    const began = performance.now();
    try {
      await round();
    } catch (error) {
      this.failed(key, "");
      throw error;
    } finally {
      const { action, error } = this.#outcomes.get(key) ?? NOTHING;
      this.#outcomes.delete(key);
      this.figures.count("horizontal_pod_autoscaler_controller_reconciliations_total", action, error);
      this.figures.observe("horizontal_pod_autoscaler_controller_reconciliation_duration_seconds", secondsSince(began), action, error);
    }
  }

  /** Of several failures of a round the first is told. */
  failed(key: Key, reason: string): void {
    const known = this.#outcomes.get(key) ?? NOTHING;
    if (known.error === "none") this.#outcomes.set(key, { ...known, error: SPEC_PROBLEMS.has(reason) ? "spec" : "internal" });
  }

  scaled(key: Key, from: number, to: number): void {
    this.#outcomes.set(key, { ...(this.#outcomes.get(key) ?? NOTHING), action: actionOf(from, to) });
  }

  /** Counts one metric, whatever comes of it. */
  async evaluated(type: string, current: number, work: () => Promise<Evaluation>): Promise<Evaluation> {
    const began = performance.now();
    let outcome = NOTHING;
    try {
      const evaluation = await work();
      outcome = { action: actionOf(current, evaluation.replicas), error: "none" };
      return evaluation;
    } catch (error) {
      outcome = { action: "none", error: error instanceof MetricError && SPEC_PROBLEMS.has(error.reason) ? "spec" : "internal" };
      throw error;
    } finally {
      this.figures.count("horizontal_pod_autoscaler_controller_metric_computation_total", outcome.action, outcome.error, type);
      this.figures.observe("horizontal_pod_autoscaler_controller_metric_computation_duration_seconds", secondsSince(began), outcome.action, outcome.error, type);
    }
  }
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1000;
}

function actionOf(from: number, to: number): Action {
  return to > from ? "scale_up" : to < from ? "scale_down" : "none";
}

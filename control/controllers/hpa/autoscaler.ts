// HorizontalPodAutoscalers: every fifteen seconds, while there are any, each is measured and its workload sized.
// What a metric calls for is decided in `evaluate.ts`, how fast that may happen in `behavior.ts`.
import type { Client } from "../../../api/client/client.ts";
import { keyOf, splitKey, type Informer } from "../../../api/client/informer.ts";
import type { EventRecorder } from "../../../api/client/recorder.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isConflict, orAbsent } from "../../../api/errors.ts";
import { parseApiVersion, type KindInfo } from "../../../api/kinds.ts";
import { parseLabelSelector, type LabelMatcher } from "../../../api/selectors.ts";
import type { HorizontalPodAutoscaler, Pod, Scale, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import { HORIZONTAL_POD_AUTOSCALER, POD } from "../kinds.ts";
import { isSame } from "../template.ts";
import { History } from "./behavior.ts";
import { Rounds } from "./figures.ts";
import { evaluate, MetricError, type Evaluation, type MetricStatus } from "./evaluate.ts";

type Hpa = Stored<HorizontalPodAutoscaler>;
type Spec = NonNullable<Hpa["spec"]>;
type Status = NonNullable<Hpa["status"]>;
type Condition = NonNullable<Status["conditions"]>[number];
/** The kind that is scaled and its scale as read. */
interface Workload {
  readonly kind: KindInfo;
  readonly scale: Scale;
}

const NAME = "horizontal-pod-autoscaler-controller";
const PERIOD_MS = 15_000;
const TOLERANCE = 0.1;
const SCALE_ATTEMPTS = 5;
const log = logger("hpa");

export function horizontalPodAutoscalerController(deps: ControllerDeps): Controller {
  return new Autoscaler(deps).controller;
}

/** The conditions of one round, which start as they were left. */
class Conditions {
  constructor(public list: Condition[], private readonly now: string) {}

  // Type, status, reason and message are what a condition is.
  // oxlint-disable-next-line max-params
  set(type: string, isTrue: boolean, reason: string, message: string): void {
    const status = isTrue ? "True" : "False";
    const old = this.list.find((condition) => condition.type === type);
    const next: Condition = { type, status, reason, message, lastTransitionTime: old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : this.now };
    this.list = old ? this.list.map((condition) => (condition === old ? next : condition)) : [...this.list, next];
  }
}

class Autoscaler {
  readonly controller: Controller;
  readonly #deps: ControllerDeps;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #hpas: Informer<HorizontalPodAutoscaler>;
  readonly #pods: Informer<Pod>;
  readonly #histories = new Map<string, History>();
  readonly #rounds: Rounds;
  readonly #matchers = new Map<string, LabelMatcher>();

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#rounds = new Rounds(deps.figures);
    this.#client = deps.clientFor("horizontal-pod-autoscaler");
    this.#recorder = deps.recorderFor("horizontal-pod-autoscaler");
    this.#hpas = deps.informers.for<HorizontalPodAutoscaler>(HORIZONTAL_POD_AUTOSCALER);
    this.#pods = deps.informers.for<Pod>(POD);
    deps.figures.reads("horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers", () => [[[], this.#hpas.lister.list().length]]);
    deps.figures.reads("horizontal_pod_autoscaler_controller_desired_replicas", () => this.#hpas.lister.list().map(({ metadata, status }) => [[metadata.name, metadata.namespace ?? ""], status?.desiredReplicas ?? 0]));
    const queue = new WorkQueue({ clock: deps.clock });
    this.#hpas.addHandler({
      add: (hpa) => queue.add(keyOf(hpa)),
      update: (hpa, old) => (isSame(hpa.spec, old.spec) ? undefined : queue.add(keyOf(hpa))),
      delete: (hpa) => this.#forget(keyOf(hpa)),
    });
    const reconcile = async (key: string): Promise<void> => {
      if (!this.#hpas.lister.get(key)) return this.#forget(key);
      // Each round ends with the next one planned, however it went: what fails now is tried again in time.
      await this.#rounds.run(key, () => this.#reconcile(key)).catch((error: unknown) => log.debug({ err: error, key }, "an autoscaler could not do its work"));
      if (this.#hpas.lister.get(key)) queue.addAfter(key, PERIOD_MS);
    };
    this.controller = controllerOf({ name: NAME, queue, informers: deps.informers, reconcile });
  }

  #forget(key: string): void {
    this.#histories.delete(key);
    this.#matchers.delete(key);
  }

  async #reconcile(key: string): Promise<void> {
    const hpa = this.#hpas.lister.get(key) as Hpa;
    const nowMs = this.#deps.clock.now();
    const conditions = new Conditions(hpa.status?.conditions ?? [], timestamp(nowMs));
    let workload: Workload;
    try {
      workload = await this.#read(hpa);
    } catch (error) {
      this.#warn(hpa, "FailedGetScale", (error as Error).message);
      conditions.set("AbleToScale", false, "FailedGetScale", `the HPA controller was unable to get the target's current scale: ${(error as Error).message}`);
      return this.#write(hpa, { ...statusOf(hpa), conditions: conditions.list });
    }
    conditions.set("AbleToScale", true, "SucceededGetScale", "the HPA controller was able to get the target's current scale");
    await this.#size(hpa, workload, conditions);
  }

  async #size(hpa: Hpa, workload: Workload, conditions: Conditions): Promise<void> {
    const { minReplicas = 1, maxReplicas } = hpa.spec as Spec;
    const current = workload.scale.spec?.replicas ?? 0;
    this.#historyOf(hpa).begin(current, this.#deps.clock.now());
    if (current === 0 && minReplicas !== 0) {
      conditions.set("ScalingActive", false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
      return this.#write(hpa, { ...statusOf(hpa), currentReplicas: 0, desiredReplicas: 0, conditions: conditions.list });
    }
    if (current > maxReplicas) return this.#scale(hpa, workload, { conditions, to: maxReplicas, why: "Current number of replicas above Spec.MaxReplicas", metrics: undefined });
    if (current < minReplicas) return this.#scale(hpa, workload, { conditions, to: minReplicas, why: "Current number of replicas below Spec.MinReplicas", metrics: undefined });
    const { best, statuses, failure } = await this.#measure(hpa, workload, conditions);
    if (!best) {
      await this.#write(hpa, { ...statusOf(hpa), currentReplicas: current, currentMetrics: statuses, conditions: conditions.list });
      return this.#warn(hpa, "FailedComputeMetricsReplicas", failure ?? "");
    }
    const desired = best.replicas;
    const nowMs = this.#deps.clock.now();
    const decision = this.#historyOf(hpa).decide({ current, desired, min: minReplicas, max: maxReplicas, nowMs, behavior: hpa.spec?.behavior });
    conditions.set("AbleToScale", true, decision.ableToScale.reason, decision.ableToScale.message);
    conditions.set("ScalingLimited", decision.isLimited, decision.limit.reason, decision.limit.message);
    const why = desired > current ? `${best.name} above target` : desired < current ? "All metrics below target" : "";
    await this.#scale(hpa, workload, { conditions, to: decision.replicas, why, metrics: statuses });
  }

  /** The metric that calls for the most pods; undefined when too little is known to act. */
  async #measure(hpa: Hpa, { scale }: Workload, conditions: Conditions): Promise<{ best?: Evaluation; statuses: MetricStatus[]; failure?: string }> {
    const matcher = this.#matcherOf(hpa, scale.status?.selector ?? "", conditions);
    if (typeof matcher === "string") return { statuses: [], failure: matcher };
    const { namespace = "" } = hpa.metadata;
    const specReplicas = scale.spec?.replicas ?? 0;
    const { metrics, customMetrics: custom } = this.#deps.settings;
    const situation = {
      namespace, specReplicas, statusReplicas: scale.status?.replicas ?? 0, matcher, metrics, custom, nowMs: this.#deps.clock.now(),
      pods: this.#podsOf(namespace, matcher), tolerances: { up: toleranceOf(hpa, "scaleUp"), down: toleranceOf(hpa, "scaleDown") },
    };
    const specs = hpa.spec?.metrics ?? [];
    const good: Evaluation[] = [];
    const failures: MetricError[] = [];
    for (const spec of specs) {
      try {
        good.push(await this.#rounds.evaluated(spec.type, specReplicas, () => evaluate(spec, situation)));
      } catch (error) {
        if (!(error instanceof MetricError)) throw error;
        this.#warn(hpa, error.reason, error.detail);
        failures.push(error);
      }
    }
    const statuses = good.map(({ status }) => status);
    const best = good.reduce<Evaluation | undefined>((most, next) => (most && most.replicas >= next.replicas ? most : next), undefined);
    const [first] = failures;
    // Of those that can be read, only ones that ask for more are followed when others cannot.
    if (first && (!best || best.replicas < specReplicas)) {
      conditions.set("ScalingActive", false, first.reason, `the HPA was unable to compute the replica count: ${first.detail}`);
      return { statuses, failure: `invalid metrics (${failures.length} invalid out of ${specs.length}), first error is: ${first.message}` };
    }
    conditions.set("ScalingActive", true, "ValidMetricFound", `the HPA was able to successfully calculate a replica count from ${best?.name ?? ""}`);
    return { statuses, ...(best && { best }) };
  }

  /** The workload's selector, or why it cannot be worked with. */
  #matcherOf(hpa: Hpa, selector: string, conditions: Conditions): LabelMatcher | string {
    const refuse = (event: string, reason: string, message: string): string => {
      this.#warn(hpa, event, message);
      conditions.set("ScalingActive", false, reason, reason === event || selector !== "" ? message : "the HPA target's scale is missing a selector");
      return message;
    };
    if (selector === "") return refuse("SelectorRequired", "InvalidSelector", "selector is required");
    let matcher: LabelMatcher;
    try {
      matcher = parseLabelSelector(selector);
    } catch (error) {
      return refuse("InvalidSelector", "InvalidSelector", `couldn't convert selector into a corresponding internal selector object: ${(error as Error).message}`);
    }
    this.#matchers.set(keyOf(hpa), matcher);
    const rivals = this.#rivalsOf(hpa, matcher);
    if (rivals.length > 1) return refuse("AmbiguousSelector", "AmbiguousSelector", `pods by selector ${selector} are controlled by multiple HPAs: [${rivals.join(" ")}]`);
    return matcher;
  }

  /** Every autoscaler that selects a pod which this one selects, itself included. */
  #rivalsOf({ metadata: { namespace = "" } }: Hpa, matcher: LabelMatcher): string[] {
    const pods = this.#podsOf(namespace, matcher);
    return [...this.#matchers].filter(([key, other]) => splitKey(key).namespace === namespace && pods.some(({ metadata }) => other.matches(metadata.labels))).map(([key]) => key);
  }

  #podsOf(namespace: string, matcher: LabelMatcher): Stored<Pod>[] {
    return this.#pods.lister.inNamespace(namespace).filter(({ metadata }) => matcher.matches(metadata.labels));
  }

  async #read(hpa: Hpa): Promise<Workload> {
    const { kind: kindName, name, apiVersion = "" } = (hpa.spec as Spec).scaleTargetRef;
    const { group } = parseApiVersion(apiVersion === "" ? "v1" : apiVersion);
    const kinds = this.#deps.kinds.all().filter((kind) => kind.group === group && kind.kind === kindName && kind.subresources["scale"]);
    const [kind] = kinds;
    if (!kind) throw new Error(`no matches for kind ${JSON.stringify(kindName)} in group ${JSON.stringify(group)}`);
    if (!this.#client.getScale) throw new Error("scales cannot be read here");
    return { kind, scale: await this.#client.getScale(kind, { namespace: hpa.metadata.namespace, name }) };
  }

  async #scale(hpa: Hpa, workload: Workload, { conditions, to, why, metrics }: { conditions: Conditions; to: number; why: string; metrics: MetricStatus[] | undefined }): Promise<void> {
    const from = workload.scale.spec?.replicas ?? 0;
    const status = { ...statusOf(hpa), currentReplicas: from, desiredReplicas: to, currentMetrics: metrics ?? [] };
    if (from === to) return this.#write(hpa, { ...status, conditions: conditions.list });
    const nowMs = this.#deps.clock.now();
    try {
      await this.#setReplicas(hpa, workload, to);
    } catch (error) {
      this.#warn(hpa, "FailedRescale", `New size: ${to}; reason: ${why}; error: ${(error as Error).message}`);
      conditions.set("AbleToScale", false, "FailedUpdateScale", `the HPA controller was unable to update the target scale: ${(error as Error).message}`);
      return this.#write(hpa, { ...status, desiredReplicas: statusOf(hpa).desiredReplicas, conditions: conditions.list });
    }
    this.#rounds.scaled(keyOf(hpa), from, to);
    conditions.set("AbleToScale", true, "SucceededRescale", `the HPA controller was able to update the target scale to ${to}`);
    this.#recorder.event(hpa, "Normal", "SuccessfulRescale", `New size: ${to}; reason: ${why}`);
    this.#historyOf(hpa).scaled(from, to, nowMs);
    await this.#write(hpa, { ...status, lastScaleTime: timestamp(nowMs), conditions: conditions.list });
  }

  async #setReplicas(hpa: Hpa, { kind, scale }: Workload, replicas: number): Promise<void> {
    for (let attempt = 1, read = scale; ; attempt++) {
      try {
        await this.#client.update<Scale>(kind, { ...read, spec: { ...read.spec, replicas } }, { subresource: "scale" });
        return;
      } catch (error) {
        if (!isConflict(error) || attempt === SCALE_ATTEMPTS) throw error;
        read = (await this.#read(hpa)).scale;
      }
    }
  }

  #historyOf(hpa: Hpa): History {
    const key = keyOf(hpa);
    let history = this.#histories.get(key);
    if (!history) this.#histories.set(key, (history = new History()));
    return history;
  }

  async #write(hpa: Hpa, status: Status): Promise<void> {
    if (!isSame(status, hpa.status)) await orAbsent(this.#client.update<HorizontalPodAutoscaler>(HORIZONTAL_POD_AUTOSCALER, { ...hpa, status }, { subresource: "status" }));
  }

  #warn(hpa: Hpa, reason: string, message: string): void {
    this.#rounds.failed(keyOf(hpa), reason);
    this.#recorder.event(hpa, "Warning", reason, message);
  }
}

function statusOf(hpa: Hpa): Status {
  return { desiredReplicas: 0, currentReplicas: 0, ...hpa.status } as Status;
}

function toleranceOf(hpa: Hpa, direction: "scaleUp" | "scaleDown"): number {
  const tolerance = hpa.spec?.behavior?.[direction]?.tolerance;
  return tolerance === undefined ? TOLERANCE : Number(tolerance.endsWith("m") ? Number(tolerance.slice(0, -1)) / 1000 : tolerance);
}

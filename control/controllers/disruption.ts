// Tells for every PodDisruptionBudget how many of its pods may be disrupted now.
// Enforcing it is the eviction subresource's business. Rules: k8s.io/kubernetes/pkg/controller/disruption.
import { keyOf, type Informer, type Key } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { runWorkers } from "../../api/client/workers.ts";
import { isConflict, orAbsent } from "../../api/errors.ts";
import { parseApiVersion } from "../../api/kinds.ts";
import type { KindRegistry } from "../../api/registry.ts";
import { formatLabelSelector, matcherOf } from "../../api/selectors.ts";
import type { AnyObject, IntOrString, KubeObject, OwnerReference, Pod, PodDisruptionBudget, ReplicaSet, Stored } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import { findCondition, withoutCondition } from "./conditions.ts";
import { KindController, type Controller, type ControllerDeps } from "./controller.ts";
import { scaledValue } from "./deployment/replicasets.ts";
import { DEPLOYMENT, POD, POD_DISRUPTION_BUDGET, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET } from "./kinds.ts";
import { controllerRefOf } from "./owners.ts";
import { isFinished, isReady, podCondition } from "./pods.ts";
import { isSame } from "./template.ts";

const NAME = "disruption-controller";
/** An eviction that was granted but not carried out is forgotten after this. */
const DELETION_TIMEOUT_MS = 2 * 60_000;
const STALE_CONDITION_MS = 2 * 60_000;
const ALLOWED = "DisruptionAllowed";

type Status = NonNullable<PodDisruptionBudget["status"]>;
type Condition = NonNullable<Status["conditions"]>[number];

export function disruptionController(deps: ControllerDeps): Controller {
  return new DisruptionController(deps);
}

class DisruptionController extends KindController<PodDisruptionBudget> {
  readonly #kinds: KindRegistry;
  readonly #pods: Informer<Pod>;
  readonly #scalables: readonly Informer<AnyObject>[];
  readonly #stale: WorkQueue;

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: POD_DISRUPTION_BUDGET, recorder: "controllermanager", workers: 1 });
    this.#kinds = deps.kinds;
    this.#pods = deps.informers.for<Pod>(POD);
    this.#scalables = [REPLICA_SET, DEPLOYMENT, STATEFUL_SET, REPLICATION_CONTROLLER].map((kind) => deps.informers.for<AnyObject>(kind));
    this.#stale = new WorkQueue({ clock: deps.clock });
    this.#listen();
  }

  protected override beside(signal: AbortSignal): Promise<void> {
    return runWorkers({ name: `${NAME} conditions`, queueName: "stale_pod_disruption", queue: this.#stale, workers: 1, signal, reconcile: (key) => this.#clearStale(key) });
  }

  #listen(): void {
    this.#pods.addHandler({
      add: (pod) => this.#podChanged(pod),
      update: (pod, old) => {
        if (isReady(pod) === isReady(old) && isSame([pod.metadata.labels, pod.metadata.deletionTimestamp, podCondition(pod, "DisruptionTarget")], [old.metadata.labels, old.metadata.deletionTimestamp, podCondition(old, "DisruptionTarget")])) return;
        this.#podChanged(pod);
        if (!isSame(pod.metadata.labels, old.metadata.labels)) this.#enqueueFor(old);
      },
      delete: (pod) => this.#enqueueFor(pod),
    });
    // A budget in percent counts what the controller wants, not what is there.
    for (const informer of this.#scalables) {
      informer.addHandler({ update: (owner, old) => (owner["spec"]?.replicas === old["spec"]?.replicas ? undefined : this.#enqueueNamespace(owner.metadata.namespace)) });
    }
  }

  #podChanged(pod: Stored<Pod>): void {
    this.#enqueueFor(pod);
    if (staleIn(pod, this.clock.now()) !== undefined) this.#stale.add(keyOf(pod));
  }

  #enqueueFor(pod: Stored<Pod>): void {
    for (const budget of this.objects.lister.inNamespace(pod.metadata.namespace ?? "")) {
      if (matcherOf(budget.spec?.selector).matches(pod.metadata.labels)) this.queue.add(keyOf(budget));
    }
  }

  #enqueueNamespace(namespace: string | undefined): void {
    for (const budget of this.objects.lister.inNamespace(namespace ?? "")) this.queue.add(keyOf(budget));
  }

  protected async reconcile(key: Key): Promise<void> {
    const budget = this.objects.lister.get(key);
    if (!budget) return;
    try {
      await this.#sync(key, budget);
    } catch (error) {
      if (isConflict(error)) throw error;
      await this.#failSafe(budget, error as Error);
    }
  }

  async #sync(key: Key, budget: Stored<PodDisruptionBudget>): Promise<void> {
    const matcher = matcherOf(budget.spec?.selector);
    const pods = this.#pods.lister.inNamespace(budget.metadata.namespace ?? "").filter((pod) => matcher.matches(pod.metadata.labels));
    if (pods.length === 0) this.recorder.event(budget, "Normal", "NoPods", "No matching pods found");
    const { expected, desired } = await this.#expectation(budget, pods);
    const { disruptedPods, recheckMs } = this.#stillDisrupted(budget, pods);
    const healthy = pods.filter((pod) => !pod.metadata.deletionTimestamp && !(pod.metadata.name in disruptedPods) && isReady(pod)).length;
    await this.#write(budget, { expected, desired, healthy, disruptedPods });
    if (recheckMs !== undefined) this.queue.addAfter(key, recheckMs);
  }

  async #expectation(budget: Stored<PodDisruptionBudget>, pods: readonly Stored<Pod>[]): Promise<{ expected: number; desired: number }> {
    const { maxUnavailable, minAvailable } = budget.spec ?? {};
    if (maxUnavailable !== undefined) {
      const expected = await this.#expectedScale(budget, pods);
      return { expected, desired: Math.max(0, expected - scaledValue(maxUnavailable as IntOrString, expected, true)) };
    }
    if (typeof minAvailable === "number") return { expected: pods.length, desired: minAvailable };
    if (minAvailable === undefined) return { expected: 0, desired: 0 };
    const expected = await this.#expectedScale(budget, pods);
    return { expected, desired: scaledValue(minAvailable as IntOrString, expected, true) };
  }

  /** The replicas all controllers of these pods want together. */
  async #expectedScale(budget: Stored<PodDisruptionBudget>, pods: readonly Stored<Pod>[]): Promise<number> {
    const scales = new Map<string, number>();
    const unmanaged: string[] = [];
    const seen = new Set<string>();
    for (const pod of pods) {
      const reference = controllerRefOf(pod);
      if (!reference) unmanaged.push(pod.metadata.name);
      if (!reference || seen.has(reference.uid)) continue;
      seen.add(reference.uid);
      const scale = await this.#scaleOf(reference, pod.metadata.namespace);
      if (!scale) {
        const message = `found no controllers for pod ${JSON.stringify(pod.metadata.name)}`;
        this.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", `Failed to calculate the number of expected pods: ${message}`);
        throw new Error(message);
      }
      scales.set(scale.uid, scale.replicas);
    }
    if (unmanaged.length > 0) this.recorder.event(budget, "Warning", "UnmanagedPods", `Pods selected by this PodDisruptionBudget (selector: ${formatLabelSelector(budget.spec?.selector)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`);
    return [...scales.values()].reduce((total, replicas) => total + replicas, 0);
  }

  /** A ReplicaSet of a Deployment counts as the Deployment; kinds unknown here are asked for their scale. */
  async #scaleOf(reference: OwnerReference, namespace: string | undefined): Promise<{ uid: string; replicas: number } | undefined> {
    const owner = this.#cachedOwner(reference, namespace);
    if (owner) {
      const parent = owner.kind === "ReplicaSet" ? controllerRefOf(owner as ReplicaSet) : undefined;
      const deployment = parent?.kind === "Deployment" ? this.#cachedOwner(parent, namespace) : undefined;
      const counted = deployment ?? owner;
      return { uid: counted.metadata.uid, replicas: counted["spec"]?.replicas ?? 1 };
    }
    const { group, version } = parseApiVersion(reference.apiVersion);
    const kind = this.#kinds.kind(group, version, reference.kind);
    if (!kind?.subresources["scale"]) return undefined;
    const target = { name: reference.name, namespace };
    const found = await orAbsent<AnyObject>(this.client.getScale ? (this.client.getScale(kind, target) as Promise<AnyObject>) : this.client.get<AnyObject>(kind, target));
    const replicas = found?.["spec"]?.replicas as unknown;
    return typeof replicas === "number" && found?.metadata.uid === reference.uid ? { uid: reference.uid, replicas } : undefined;
  }

  #cachedOwner(reference: OwnerReference, namespace: string | undefined): Stored<AnyObject> | undefined {
    const informer = this.#scalables.find(({ kind }) => kind.kind === reference.kind);
    const owner = informer?.lister.get(`${namespace}/${reference.name}`);
    return owner?.metadata.uid === reference.uid ? owner : undefined;
  }

  /** Evictions granted and not yet carried out; one that takes too long is no longer counted on. */
  #stillDisrupted(budget: Stored<PodDisruptionBudget>, pods: readonly Stored<Pod>[]): { disruptedPods: Record<string, string>; recheckMs: number | undefined } {
    const now = this.clock.now();
    const disruptedPods: Record<string, string> = {};
    let recheckMs: number | undefined;
    for (const pod of pods) {
      const granted = budget.status?.disruptedPods?.[pod.metadata.name];
      if (granted === undefined || pod.metadata.deletionTimestamp) continue;
      const left = Date.parse(granted) + DELETION_TIMEOUT_MS - now;
      if (left < 0) {
        this.recorder.event(pod, "Warning", "NotDeleted", `Pod was expected by PDB ${budget.metadata.namespace}/${budget.metadata.name} to be deleted but it wasn't`);
        continue;
      }
      disruptedPods[pod.metadata.name] = granted;
      recheckMs = Math.min(recheckMs ?? Infinity, left + 1);
    }
    return { disruptedPods, recheckMs };
  }

  async #write(budget: Stored<PodDisruptionBudget>, facts: { expected: number; desired: number; healthy: number; disruptedPods: Record<string, string> }): Promise<void> {
    const { expected, desired, healthy, disruptedPods } = facts;
    const disruptionsAllowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
    const condition = { type: ALLOWED, observedGeneration: budget.metadata.generation, message: "", ...(disruptionsAllowed > 0 ? { status: "True", reason: "SufficientPods" } : { status: "False", reason: "InsufficientPods" }) };
    await this.#update(budget, {
      currentHealthy: healthy, desiredHealthy: desired, expectedPods: expected, disruptionsAllowed,
      ...(Object.keys(disruptedPods).length > 0 && { disruptedPods }), observedGeneration: budget.metadata.generation,
      conditions: this.#withCondition(budget, condition),
    });
  }

  /** When the truth is not known, nothing may be disrupted. */
  #failSafe(budget: Stored<PodDisruptionBudget>, error: Error): Promise<void> {
    const condition = { type: ALLOWED, status: "False", reason: "SyncFailed", message: error.message, observedGeneration: budget.status?.observedGeneration };
    const { currentHealthy = 0, desiredHealthy = 0, expectedPods = 0 } = budget.status ?? {};
    return this.#update(budget, { ...budget.status, currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed: 0, conditions: this.#withCondition(budget, condition) });
  }

  #withCondition(budget: Stored<PodDisruptionBudget>, wanted: Omit<Condition, "lastTransitionTime">): Condition[] {
    const current = findCondition(budget.status?.conditions, ALLOWED);
    const lastTransitionTime = current?.status === wanted.status ? current.lastTransitionTime : timestamp(this.clock.now());
    return [...withoutCondition(budget.status?.conditions, ALLOWED), { ...wanted, lastTransitionTime }];
  }

  async #update(budget: Stored<PodDisruptionBudget>, status: Status): Promise<void> {
    // A PDB's status has no fields that may be left out: zeros are written.
    if (isSame(budget.status ?? {}, status)) return;
    await this.client.update<PodDisruptionBudget>(POD_DISRUPTION_BUDGET, { ...budget, status }, { subresource: "status" });
  }

  /** A pod marked for disruption that nobody deleted is not marked any more. */
  async #clearStale(key: Key): Promise<void> {
    const pod = this.#pods.lister.get(key);
    const left = pod && staleIn(pod, this.clock.now());
    if (!pod || left === undefined) return;
    if (left > 0) return this.#stale.addAfter(key, left);
    const cleared = { type: "DisruptionTarget", status: "False", lastTransitionTime: timestamp(this.clock.now()) };
    const conditions = [...withoutCondition(pod.status?.conditions, "DisruptionTarget"), cleared];
    await orAbsent(this.client.update<Pod>(POD, { ...pod, status: { ...pod.status, conditions } }, { subresource: "status" }));
  }
}

/** Milliseconds until a pod's mark of disruption is stale; undefined when it has none that can be. */
function staleIn(pod: KubeObject & Pod, now: number): number | undefined {
  const condition = podCondition(pod, "DisruptionTarget");
  if (pod.metadata.deletionTimestamp || isFinished(pod) || condition?.status !== "True" || condition.reason === "TerminationByKubelet") return undefined;
  return Math.max(0, Date.parse(condition.lastTransitionTime ?? "") + STALE_CONDITION_MS - now);
}

// Runs pods until a Job's work is done, counting each end exactly once.
// Where the Job stands is `assess.ts`'s business, what to do `plan.ts`'s, the accounts `tracking.ts`'s.
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { runWorkers } from "../../../api/client/workers.ts";
import { isConflict, isNamespaceTerminating, isNotFound, orAbsent } from "../../../api/errors.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { Job, JobStatus, OwnerReference, Pod, Stored } from "../../../api/types.ts";
import { LruMap } from "../../../lib/lru.ts";
import { findCondition } from "../conditions.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { JOB, POD } from "../kinds.ts";
import { claim, controllerRefOf, ownedAndOrphans, ownedBy, resolveController } from "../owners.ts";
import { createPod, deletePod, slowStart } from "../podcontrol.ts";
import { isFinished, isReady } from "../pods.ts";
import { isSame } from "../template.ts";
import { PendingWrites } from "../writes.ts";
import { assess, hasTracking, isFinishedJob, newCondition, specOf, TRACKING_FINALIZER, untilDeadline, type Assessment } from "./assess.ts";
import { NO_FAILURES, type Failures } from "./backoff.ts";
import { countAccounts, countCreated, countFailures, countFinished, countSync, countTracked } from "./figures.ts";
import { planJob, type JobPlan } from "./plan.ts";
import { finish, noteEnded, settle, type PassResult } from "./tracking.ts";

const NAME = "job-controller";
const OURS = "kubernetes.io/job-controller";
const MAX_RECORDS = 10_000;

export function jobController(deps: ControllerDeps): Controller {
  return new JobController(deps);
}

class JobController extends KindController<Job> {
  readonly #pods: Informer<Pod>;
  /** Pods that may hold a finalizer nobody will take off any more. */
  readonly #orphans: WorkQueue;
  readonly #pendingPods: PendingWrites;
  readonly #pendingJobs: PendingWrites;
  readonly #failures = new LruMap<string, Failures>(MAX_RECORDS);

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: JOB, backoff: { baseMs: 100, maxMs: 60_000 } });
    this.#pods = deps.informers.for<Pod>(POD);
    this.#orphans = new WorkQueue({ clock: deps.clock });
    this.#pendingPods = new PendingWrites(deps.clock, this.#pods.lister);
    this.#pendingJobs = new PendingWrites(deps.clock, this.objects.lister);
    this.follow(this.#pods, (job, pod) => matcherOf(job.spec?.selector).matches(pod.metadata.labels));
    this.#followOrphans();
  }

  protected override beside(signal: AbortSignal): Promise<void> {
    return runWorkers({ name: `${NAME} orphans`, queueName: "job_orphan_pod", queue: this.#orphans, workers: 1, signal, reconcile: (key) => this.#releaseOrphan(key) });
  }

  #followOrphans(): void {
    this.objects.addHandler({
      delete: (job) => {
        this.#failures.delete(job.metadata.uid);
        for (const pod of ownedBy(this.#pods, job.metadata.uid)) this.#orphans.add(keyOf(pod));
      },
    });
    const changed = (pod: Stored<Pod>): void => {
      if (!hasTracking(pod)) return;
      const job = resolveController(this.objects, pod);
      if (!job || isFinishedJob(job)) this.#orphans.add(keyOf(pod));
    };
    this.#pods.addHandler({ add: changed, update: changed });
    this.#countHeard();
  }

  #countHeard(): void {
    this.objects.addHandler({
      add: ({ spec }) => ((spec?.managedBy ?? OURS) === OURS ? undefined : this.figures.count("job_controller_jobs_by_external_controller_total", spec?.managedBy ?? "")),
    });
    this.#pods.addHandler({
      add: (pod) => countTracked(this.figures, undefined, pod), update: (pod, old) => countTracked(this.figures, old, pod), delete: (pod) => countTracked(this.figures, pod, undefined),
    });
  }

  protected async reconcile(key: Key): Promise<void> {
    const job = this.objects.lister.get(key);
    // Without a selector no pod would ever count as ours, and there would be no end of making them.
    if (!job?.spec?.selector || isFinishedJob(job) || (job.spec?.managedBy ?? OURS) !== OURS) return;
    const began = performance.now();
    const pass: { plan: JobPlan | undefined; isDone: boolean } = { plan: undefined, isDone: false };
    try {
      if (this.#pendingPods.isBehind(key) || this.#pendingJobs.isBehind(key)) this.queue.addAfter(key, 1000);
      else await this.#sync(key, job, (plan) => void (pass.plan = plan));
      pass.isDone = true;
    } finally {
      countSync(this.figures, job, { ...pass, seconds: (performance.now() - began) / 1000 });
    }
  }

  async #sync(key: Key, job: Stored<Job>, onPlan: (plan: JobPlan) => void): Promise<void> {
    const pods = await claim({ client: this.client, owner: job, ownerKind: JOB, kind: POD, matcher: matcherOf(job.spec?.selector), candidates: ownedAndOrphans(this.#pods, job), finalizer: TRACKING_FINALIZER });
    const assessment = assess(job, pods, { before: this.#failures.get(job.metadata.uid) ?? NO_FAILURES, now: this.clock.now() });
    const plan = planJob(assessment);
    onPlan(plan);
    const { result, failure } = await this.#apply(key, assessment, plan);
    await this.#account(key, assessment, result);
    const waits = [plan.waitMs, untilDeadline(job, assessment.now)].filter((ms) => ms !== undefined && ms > 0) as number[];
    if (waits.length > 0) this.queue.addAfter(key, Math.min(...waits));
    if (failure !== undefined) throw failure;
  }

  async #apply(key: Key, assessment: Assessment, plan: JobPlan): Promise<{ result: PassResult; failure: unknown }> {
    const { job, active, ready, terminating, verdict } = assessment;
    const deletions = await Promise.allSettled(plan.delete.map((pod) => this.#delete(key, job, pod, plan.forgetsDeleted)));
    const deleted = plan.delete.filter((_, index) => deletions[index]?.status === "fulfilled");
    const by = { client: this.client, recorder: this.recorder, kind: JOB, owner: job };
    const created = await slowStart(plan.create.length, async (index) => {
      this.#pendingPods.wrote(key, await createPod(by, plan.create[index] as Pod));
    });
    countCreated(this.figures, assessment, { succeeded: created.succeeded, missed: created.error === undefined ? 0 : 1 });
    const nowActive = active.length - deleted.length + created.succeeded;
    const isComplete = verdict === undefined && this.#isComplete(assessment, nowActive);
    const done = isComplete ? newCondition(assessment.now, { type: "SuccessCriteriaMet", reason: "CompletionsReached", message: "Reached expected number of succeeded pods" }) : undefined;
    const result: PassResult = {
      active: nowActive, ready: ready - deleted.filter((pod) => isReady(pod)).length, terminating: terminating + deleted.length,
      verdict: deleted.length < plan.delete.length ? undefined : (verdict ?? done),
      isManaged: verdict === undefined && !isComplete && !job.metadata.deletionTimestamp,
    };
    const error = isNamespaceTerminating(created.error) ? undefined : created.error;
    return { result, failure: deletions.find((outcome) => outcome.status === "rejected")?.reason ?? error };
  }

  #isComplete({ job, succeeded }: Assessment, active: number): boolean {
    const { completions } = specOf(job);
    return active === 0 && !job.metadata.deletionTimestamp && (completions === undefined ? succeeded > 0 : succeeded >= completions);
  }

  // Whose pod, and whether its end is to be counted.
  async #delete(key: Key, job: Stored<Job>, pod: Stored<Pod>, forgets: boolean): Promise<void> {
    const released = forgets ? ((await this.#release(key, pod, true)) ?? pod) : pod;
    await this.#pendingPods.deleting(key, released, () => deletePod({ client: this.client, recorder: this.recorder, kind: JOB, owner: job }, released));
  }

  /** Note, release, count, conclude: in this order, so that a crash at any point loses and doubles nothing. */
  async #account(key: Key, assessment: Assessment, result: PassResult): Promise<void> {
    const { job } = assessment;
    const { status, release, final } = noteEnded(assessment, result);
    const noted = await this.#writeStatus(key, job, status);
    this.#failures.set(job.metadata.uid, assessment.failures);
    this.#saySuspended(job, status);
    countFailures(this.figures, job, release);
    const outcomes = await Promise.allSettled(release.map((pod) => this.#release(key, pod)));
    const held = new Set(assessment.pods.filter((pod) => hasTracking(pod) && !release.some((other, index) => other === pod && outcomes[index]?.status === "fulfilled")).map((pod) => pod.metadata.uid));
    const counted = settle(noted.status ?? {}, held);
    const finished = finish(counted, final);
    await this.#writeStatus(key, noted, finished ?? counted);
    countAccounts(this.figures, job, { before: job.status, after: finished ?? counted });
    if (finished && final) this.#sayFinished(job, finished, final);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** Takes the finalizer off, of a pod to be forgotten only while it has nothing to tell; undefined when the pod is gone. */
  async #release(key: Key | undefined, pod: Stored<Pod>, isForgotten = false): Promise<Stored<Pod> | undefined> {
    const { name, namespace, uid, resourceVersion } = pod.metadata;
    if (!hasTracking(pod)) return pod;
    const finalizers = pod.metadata.finalizers?.filter((finalizer) => finalizer !== TRACKING_FINALIZER);
    try {
      const released = await this.client.patch<Pod>(POD, { name, namespace }, { metadata: { uid, resourceVersion, finalizers } }, { type: "merge" });
      if (key !== undefined) this.#pendingPods.wrote(key, released);
      return released;
    } catch (error) {
      if (isNotFound(error)) return this.#isGone(key, pod);
      // An orphan that changed may just have been adopted: whether to let it go has to be asked anew.
      if (!isConflict(error) || key === undefined) throw error;
    }
    // The list of finalizers is replaced as a whole: on a newer pod it has to be read again.
    const latest = await orAbsent(this.client.get<Pod>(POD, { name, namespace }));
    if (latest?.metadata.uid !== uid) return this.#isGone(key, pod);
    if (isForgotten && isFinished(latest)) throw new Error(`pod ${name} ended before it could be deleted; it has to be counted`);
    // It may have been let go already, by a write whose answer was lost: a cache that does not know would count it again.
    if (!hasTracking(latest)) this.#pendingPods.wrote(key, latest);
    return this.#release(key, latest, isForgotten);
  }

  /** A cache that still shows such a pod would have it counted again. */
  #isGone(key: Key | undefined, pod: Stored<Pod>): undefined {
    if (key !== undefined) this.#pendingPods.gone(key, pod);
  }

  async #releaseOrphan(key: Key): Promise<void> {
    const pod = this.#pods.lister.get(key);
    if (!pod || !hasTracking(pod)) return;
    const reference = controllerRefOf(pod);
    if (reference && reference.kind !== "Job") return;
    const job = resolveController(this.objects, pod) ?? (reference && (await this.#liveJob(reference, pod)));
    if (job && ((job.spec?.managedBy ?? OURS) !== OURS || !isFinishedJob(job))) return;
    await this.#release(undefined, pod);
  }

  /** The pods' cache may be ahead of the Jobs': a pod let go because its Job is still unknown would never be counted. */
  async #liveJob(reference: OwnerReference, pod: Stored<Pod>): Promise<Stored<Job> | undefined> {
    const job = await orAbsent(this.client.get<Job>(JOB, { name: reference.name, namespace: pod.metadata.namespace ?? "" }));
    return job?.metadata.uid === reference.uid ? job : undefined;
  }

  async #writeStatus(key: Key, job: Stored<Job>, status: JobStatus): Promise<Stored<Job>> {
    if (isSame(withoutZeros(job.status ?? {}), withoutZeros(status))) return job;
    const written = await this.client.update<Job>(JOB, { ...job, status }, { subresource: "status" });
    this.#pendingJobs.wrote(key, written);
    return written;
  }

  #saySuspended(job: Stored<Job>, status: JobStatus): void {
    const before = findCondition(job.status?.conditions, "Suspended")?.status;
    const after = findCondition(status.conditions, "Suspended")?.status;
    if (after === before) return;
    if (after === "True") this.recorder.event(job, "Normal", "Suspended", "Job suspended");
    else if (before === "True") this.recorder.event(job, "Normal", "Resumed", "Job resumed");
  }

  #sayFinished(job: Stored<Job>, status: JobStatus, final: { type: string; reason?: string | undefined; message?: string | undefined }): void {
    countFinished(this.figures, job, final);
    if (final.type !== "Complete") return this.recorder.event(job, "Warning", final.reason ?? "", final.message ?? "");
    const { completions } = specOf(job);
    if (completions !== undefined && (status.succeeded ?? 0) > completions) this.recorder.event(job, "Warning", "TooManySucceededPods", "Too many succeeded pods running after completion count reached");
    this.recorder.event(job, "Normal", "Completed", "Job completed");
  }
}

function withoutZeros(status: object): object {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0));
}

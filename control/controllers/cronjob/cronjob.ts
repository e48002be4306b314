// Makes Jobs at scheduled times, one for each, and keeps no more finished ones than wanted.
// Times are `schedule.ts`'s business; running the Jobs is the Job controller's.
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { isAlreadyExists, isNamespaceTerminating, isNotFound, orAbsent } from "../../../api/errors.ts";
import type { CronJob, Job, ObjectReference, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { isTimeZone } from "../../../lib/cron.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { isFinishedJob } from "../job/assess.ts";
import { CRON_JOB, JOB } from "../kinds.ts";
import { isControlledBy, newControllerRef, ownedBy } from "../owners.ts";
import { isSame } from "../template.ts";
import { PendingWrites } from "../writes.ts";
import { dueTime, parseSchedule, type Schedule } from "./schedule.ts";

const NAME = "cronjob-controller";
const SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/** Woken a little after the time, never before it. */
const MARGIN_MS = 100;

export function cronJobController(deps: ControllerDeps): Controller {
  return new CronJobController(deps);
}

/** What a pass makes of the status. */
interface Draft {
  active: ObjectReference[];
  lastScheduleTime: string | undefined;
  lastSuccessfulTime: string | undefined;
}

class CronJobController extends KindController<CronJob> {
  readonly #jobs: Informer<Job>;
  readonly #pending: PendingWrites;

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: CRON_JOB });
    this.#jobs = deps.informers.for<Job>(JOB);
    this.#pending = new PendingWrites(deps.clock, this.objects.lister);
    // A CronJob adopts nothing.
    this.follow(this.#jobs, () => false);
  }

  protected async reconcile(key: Key): Promise<void> {
    const cronJob = this.objects.lister.get(key);
    if (!cronJob) return;
    if (this.#pending.isBehind(key)) return this.queue.addAfter(key, 1000);
    const jobs = ownedBy(this.#jobs, cronJob.metadata.uid);
    const draft: Draft = { active: [...(cronJob.status?.active ?? [])], lastScheduleTime: cronJob.status?.lastScheduleTime, lastSuccessfulTime: cronJob.status?.lastSuccessfulTime };
    await this.#settleActive(cronJob, jobs, draft);
    const failure = await this.#schedule(key, cronJob, draft).then(() => undefined, (error: unknown) => error);
    await this.#deleteOldest(cronJob, jobs, draft);
    await this.#writeStatus(cronJob, draft);
    if (failure !== undefined && !isNamespaceTerminating(failure)) throw failure;
  }

  /** Takes finished and vanished Jobs off the active list. */
  async #settleActive(cronJob: Stored<CronJob>, jobs: readonly Stored<Job>[], draft: Draft): Promise<void> {
    for (const job of jobs) {
      const { uid, name } = job.metadata;
      const isListed = draft.active.some((reference) => reference.uid === uid);
      if (!isFinishedJob(job)) {
        if (!isListed && !this.#recall(cronJob, job, draft)) this.recorder.event(cronJob, "Warning", "UnexpectedJob", `Saw a job that the controller did not create or forgot: ${name}`);
        continue;
      }
      const isComplete = job.status?.conditions?.some(({ type, status }) => type === "Complete" && status === "True") ?? false;
      if (isListed) {
        draft.active = draft.active.filter((reference) => reference.uid !== uid);
        this.recorder.event(cronJob, "Normal", "SawCompletedJob", `Saw completed job: ${name}, condition: ${isComplete ? "Complete" : "Failed"}`);
      }
      const { completionTime } = job.status ?? {};
      if (isComplete && completionTime && (!draft.lastSuccessfulTime || completionTime > draft.lastSuccessfulTime)) draft.lastSuccessfulTime = completionTime;
    }
    for (const reference of draft.active) {
      if (jobs.some((job) => job.metadata.uid === reference.uid)) continue;
      const found = await orAbsent(this.client.get<Job>(JOB, { name: reference.name ?? "", namespace: cronJob.metadata.namespace }));
      if (found) continue;
      this.recorder.event(cronJob, "Normal", "MissingJob", `Active job went missing: ${reference.name}`);
      draft.active = draft.active.filter(({ uid }) => uid !== reference.uid);
    }
  }

  /** A Job made just before a crash, or one whose making was never answered, is this CronJob's all the same. */
  #recall(cronJob: Stored<CronJob>, job: Stored<Job>, draft: Draft): boolean {
    const at = Date.parse(job.metadata.annotations?.[SCHEDULED_AT] ?? "");
    if (Number.isNaN(at) || job.metadata.name !== jobName(cronJob, at)) return false;
    draft.active = [...draft.active, referenceTo(job)];
    if (Date.parse(draft.lastScheduleTime ?? "1970-01-01") < at) draft.lastScheduleTime = timestamp(at);
    return true;
  }

  async #schedule(key: Key, cronJob: Stored<CronJob>, draft: Draft): Promise<void> {
    if (cronJob.metadata.deletionTimestamp || cronJob.spec?.suspend) return;
    const schedule = this.#parse(cronJob);
    if (!schedule) return;
    const now = this.clock.now();
    const since = Date.parse(draft.lastScheduleTime ?? cronJob.metadata.creationTimestamp);
    const deadlineMs = cronJob.spec?.startingDeadlineSeconds === undefined ? undefined : cronJob.spec.startingDeadlineSeconds * 1000;
    const { due, isFarBehind, problem } = dueTime(schedule, deadlineMs === undefined ? since : Math.max(since, now - deadlineMs), now);
    if (problem) return this.recorder.event(cronJob, "Warning", "InvalidSchedule", `invalid schedule: ${cronJob.spec?.schedule} : ${problem}`);
    const next = schedule.next(now);
    if (next !== undefined) this.queue.addAfter(key, next - now + MARGIN_MS);
    if (due === undefined) return;
    if (isFarBehind) this.recorder.event(cronJob, "Warning", "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
    if (deadlineMs !== undefined && due + deadlineMs < now) {
      this.recorder.event(cronJob, "Warning", "MissSchedule", `Missed scheduled time to start a job: ${new Date(due).toUTCString().replace("GMT", "+0000")}`);
      return;
    }
    await this.#start(cronJob, draft, due);
  }

  #parse(cronJob: Stored<CronJob>): Schedule | undefined {
    const { schedule = "", timeZone } = cronJob.spec ?? {};
    if (timeZone !== undefined && !isTimeZone(timeZone)) {
      this.recorder.event(cronJob, "Warning", "UnknownTimeZone", `invalid timeZone: ${JSON.stringify(timeZone)}: unknown time zone ${timeZone}`);
      return undefined;
    }
    if (schedule.includes("TZ")) this.recorder.event(cronJob, "Warning", "UnsupportedSchedule", `CRON_TZ or TZ used in schedule ${JSON.stringify(schedule)} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details`);
    try {
      return parseSchedule(schedule, timeZone);
    } catch (error) {
      this.recorder.event(cronJob, "Warning", "UnparseableSchedule", `unparseable schedule: ${JSON.stringify(schedule)} : ${(error as Error).message}`);
      return undefined;
    }
  }

  async #start(cronJob: Stored<CronJob>, draft: Draft, due: number): Promise<void> {
    const name = jobName(cronJob, due);
    if (draft.active.some((reference) => reference.name === name) || draft.lastScheduleTime === timestamp(due)) return;
    if (cronJob.spec?.concurrencyPolicy === "Forbid" && draft.active.length > 0) {
      this.recorder.event(cronJob, "Normal", "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid");
      return;
    }
    if (cronJob.spec?.concurrencyPolicy === "Replace") for (const reference of draft.active) await this.#deleteJob(cronJob, reference.name ?? "", draft);
    if (!(await this.#isStillDue(cronJob, due))) return;
    const job = await this.#create(cronJob, jobFor(cronJob, due), due);
    if (!job) return;
    draft.active = [...draft.active, referenceTo(job)];
    draft.lastScheduleTime = timestamp(due);
  }

  /** A Job made for this time may be gone again, and only the server knows that it was noted down: a time is never served twice. */
  async #isStillDue({ metadata: { name, namespace, uid } }: Stored<CronJob>, due: number): Promise<boolean> {
    const live = await orAbsent(this.client.get<CronJob>(CRON_JOB, { name, namespace }));
    return live?.metadata.uid === uid && !live.metadata.deletionTimestamp && !live.spec?.suspend && !(Date.parse(live.status?.lastScheduleTime ?? "") >= due);
  }

  /** The Job of that time, made now or by an earlier pass that could not say so; undefined when another owns the name. */
  async #create(cronJob: Stored<CronJob>, wanted: Job, due: number): Promise<Stored<Job> | undefined> {
    try {
      const job = await this.client.create<Job>(JOB, wanted);
      this.recorder.event(cronJob, "Normal", "SuccessfulCreate", `Created job ${job.metadata.name}`);
      this.figures.observe("cronjob_controller_job_creation_skew_duration_seconds", Math.max(0, this.clock.now() - due) / 1000);
      return job;
    } catch (error) {
      if (isAlreadyExists(error)) {
        const existing = await this.client.get<Job>(JOB, { name: wanted.metadata.name as string, namespace: wanted.metadata.namespace });
        return isControlledBy(existing, cronJob) ? existing : undefined;
      }
      if (!isNamespaceTerminating(error)) this.recorder.event(cronJob, "Warning", "FailedCreate", `Error creating job: ${(error as Error).message}`);
      throw error;
    }
  }

  async #deleteOldest(cronJob: Stored<CronJob>, jobs: readonly Stored<Job>[], draft: Draft): Promise<void> {
    const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec ?? {};
    for (const [type, limit] of [["Complete", successfulJobsHistoryLimit], ["Failed", failedJobsHistoryLimit]] as const) {
      if (limit === undefined) continue;
      const ended = jobs.filter((job) => job.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") && !job.metadata.deletionTimestamp);
      const oldest = ended.toSorted((a, b) => (a.status?.startTime ?? "~").localeCompare(b.status?.startTime ?? "~") || a.metadata.name.localeCompare(b.metadata.name));
      for (const job of oldest.slice(0, Math.max(0, ended.length - limit))) await this.#deleteJob(cronJob, job.metadata.name, draft);
    }
  }

  async #deleteJob(cronJob: Stored<CronJob>, name: string, draft: Draft): Promise<void> {
    try {
      await this.client.delete(JOB, { name, namespace: cronJob.metadata.namespace }, { propagationPolicy: "Background" });
      this.recorder.event(cronJob, "Normal", "SuccessfulDelete", `Deleted job ${name}`);
    } catch (error) {
      if (!isNotFound(error)) {
        this.recorder.event(cronJob, "Warning", "FailedDelete", `Deleted job: ${(error as Error).message}`);
        throw error;
      }
    }
    draft.active = draft.active.filter((reference) => reference.name !== name);
  }

  async #writeStatus(cronJob: Stored<CronJob>, draft: Draft): Promise<void> {
    const { active, lastScheduleTime, lastSuccessfulTime } = draft;
    const status = { ...(active.length > 0 && { active }), ...(lastScheduleTime && { lastScheduleTime }), ...(lastSuccessfulTime && { lastSuccessfulTime }) };
    if (!isSame(cronJob.status ?? {}, status)) this.#pending.wrote(keyOf(cronJob), await this.client.update<CronJob>(CRON_JOB, { ...cronJob, status }, { subresource: "status" }));
  }
}

function referenceTo({ metadata: { namespace, name, uid, resourceVersion } }: Stored<Job>): ObjectReference {
  return { apiVersion: "batch/v1", kind: "Job", namespace, name, uid, resourceVersion };
}

/** One name for one time: a Job is never made twice for it. */
function jobName(cronJob: Stored<CronJob>, due: number): string {
  return `${cronJob.metadata.name}-${Math.floor(due / 60_000)}`;
}

function jobFor(cronJob: Stored<CronJob>, due: number): Job {
  const { metadata, spec } = cronJob.spec?.jobTemplate ?? {};
  return {
    apiVersion: "batch/v1", kind: "Job",
    metadata: {
      name: jobName(cronJob, due), namespace: cronJob.metadata.namespace,
      ...(metadata?.labels && { labels: { ...metadata.labels } }),
      annotations: { ...metadata?.annotations, [SCHEDULED_AT]: localTimestamp(due, cronJob.spec?.timeZone) },
      ownerReferences: [newControllerRef(CRON_JOB, cronJob)],
    },
    spec,
  };
}

/** RFC 3339 in the CronJob's own time zone. */
function localTimestamp(ms: number, timeZone: string | undefined): string {
  if (timeZone === undefined) return timestamp(ms);
  const parts = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" }).format(ms).replace(" ", "T");
  const offset = Math.round((Date.parse(`${parts}Z`) - Math.floor(ms / 1000) * 1000) / 60_000);
  if (offset === 0) return `${parts}Z`;
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) => String(part).padStart(2, "0"));
  return `${parts}${offset < 0 ? "-" : "+"}${hours}:${minutes}`;
}

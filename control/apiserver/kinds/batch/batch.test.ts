import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { CronJob, Job, JobSpec, Stored } from "../../../../api/types.ts";
import { cronError } from "../../../../lib/cron.ts";
import type { TestServer } from "../../testing.ts";
import { refusal, startKindServer } from "../testing.ts";
import { cronJobStrategy } from "./cronjob.ts";
import { jobStrategy } from "./job.ts";

const JOB = builtinKind("batch", "v1", "Job");
const CRON = builtinKind("batch", "v1", "CronJob");
let server: TestServer;
let made = 0;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const template = (): JobSpec["template"] => ({ spec: { restartPolicy: "Never", containers: [{ name: "c", image: "busybox" }] } });
const aJob = (spec: Partial<JobSpec> = {}): Job => ({ metadata: { name: `j${++made}`, namespace: "default" }, spec: { template: template(), ...spec } });
const create = (spec?: Partial<JobSpec>): Promise<Stored<Job>> => server.client.create(JOB, aJob(spec));
const update = (job: Stored<Job>, spec: Partial<JobSpec>): Promise<Stored<Job>> => server.client.update(JOB, { ...job, spec: { ...(job.spec as JobSpec), ...spec } });
const setStatus = (job: Stored<Job>, status: Job["status"]): Promise<Stored<Job>> => server.client.update(JOB, { ...job, status }, { subresource: "status" });
const cells = (job: Job): unknown[] => [...(jobStrategy.printer?.cells(job, Date.parse("2026-01-01T01:00:00Z")) ?? [])];

describe("a new job", () => {
  test("selects its own pods and says how often they are tried", async () => {
    const { metadata, spec } = await create();
    const own = { "controller-uid": metadata.uid, "job-name": metadata.name, "batch.kubernetes.io/controller-uid": metadata.uid, "batch.kubernetes.io/job-name": metadata.name };
    expect(spec).toMatchObject({ completions: 1, parallelism: 1, backoffLimit: 6, completionMode: "NonIndexed", suspend: false, podReplacementPolicy: "TerminatingOrFailed", manualSelector: false });
    expect(spec?.selector).toEqual({ matchLabels: { "batch.kubernetes.io/controller-uid": metadata.uid } });
    expect(spec?.template.metadata?.labels).toEqual(own);
    expect(metadata.labels).toEqual(own);
    expect(metadata.generation).toBe(1);
  });

  test("without a number of completions has a queue", async () => {
    expect((await create({ parallelism: 3 })).spec?.completions).toBeUndefined();
  });

  test("may not restart its pods forever", async () => {
    const always = template();
    delete always.spec?.restartPolicy;
    expect(await refusal(create({ template: always }))).toEndWith('is invalid: spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"');
  });

  test("is refused selectors and labels of its user's making", async () => {
    expect(await refusal(create({ selector: { matchLabels: { a: "b" } } }))).toContain("spec.selector: Invalid value: ");
    expect(await refusal(create({ template: { ...template(), metadata: { labels: { "job-name": "x" } } } }))).toContain("spec.template.metadata.labels[job-name]: Invalid value: ");
  });

  test("needs indexes for policies about indexes", async () => {
    expect(await refusal(create({ backoffLimitPerIndex: 1 }))).toContain("spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode");
    expect(await refusal(create({ successPolicy: { rules: [{ succeededCount: 1 }] } }))).toContain("requires indexed completion mode");
    expect(await refusal(create({ completionMode: "Indexed", completions: 3, successPolicy: { rules: [{ succeededIndexes: "0-5" }] } }))).toContain('spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-5": error parsing succeededIndexes: too large index: "5"');
    expect((await create({ completionMode: "Indexed", completions: 3, backoffLimitPerIndex: 1 })).spec?.backoffLimit).toBe(2_147_483_647);
  });

  test("may say which failures count", async () => {
    const rule = { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "" }] };
    expect((await create({ podFailurePolicy: { rules: [{ ...rule, onPodConditions: [{ type: "DisruptionTarget" } as never] }] } })).spec).toMatchObject({ podReplacementPolicy: "Failed", podFailurePolicy: { rules: [{ onPodConditions: [{ status: "True" }] }] } });
    expect(await refusal(create({ podFailurePolicy: { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [0] } }] } }))).toContain("spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator");
    expect(await refusal(create({ podFailurePolicy: { rules: [{ action: "FailJob" }] } }))).toContain("spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required");
  });
});

describe("an existing job", () => {
  test("keeps its pods and how many it needs", async () => {
    const job = await create();
    expect(await refusal(update(job, { completions: 2 }))).toContain("spec.completions: Invalid value: 2: field is immutable");
    const other = structuredClone(job.spec?.template as JobSpec["template"]);
    Object.assign(other.spec?.containers[0] as object, { image: "other" });
    expect(await refusal(update(job, { template: other }))).toContain("field is immutable");
    expect((await update(job, { parallelism: 5 })).metadata.generation).toBe(2);
  });

  test("that is suspended may still move and be resized", async () => {
    const job = await create({ suspend: true });
    const moved = structuredClone(job.spec?.template as JobSpec["template"]);
    Object.assign(moved.spec as object, { nodeSelector: { a: "b" } });
    Object.assign(moved.spec?.containers[0] as object, { resources: { requests: { cpu: "1" } } });
    expect((await update(job, { template: moved })).spec?.template.spec?.nodeSelector).toEqual({ a: "b" });
  });

  test("with indexes grows together with its parallelism", async () => {
    const job = await create({ completionMode: "Indexed", completions: 2, parallelism: 2 });
    expect(await refusal(update(job, { completions: 3 }))).toContain("can only be modified in tandem with spec.parallelism");
    expect((await update(job, { completions: 3, parallelism: 3 })).spec?.completions).toBe(3);
  });

  test("has an end that stays", async () => {
    const startTime = "2026-01-01T00:00:00Z";
    const job = await create();
    const at = { lastProbeTime: startTime, lastTransitionTime: startTime, status: "True" };
    expect(await refusal(setStatus(job, { startTime, conditions: [{ type: "Complete", ...at }] }))).toContain("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    const done = await setStatus(job, { startTime, completionTime: "2026-01-01T00:00:05Z", succeeded: 1, conditions: [{ type: "SuccessCriteriaMet", ...at }, { type: "Complete", ...at }] });
    expect(await refusal(setStatus(done, { ...done.status, succeeded: 0 }))).toContain("cannot decrease the succeeded counter");
    expect(await refusal(setStatus(done, { startTime, succeeded: 1 }))).toContain("cannot disable the terminal Complete=True condition");
    expect(cells(done).slice(1, 4)).toEqual(["Complete", "1/1", "5s"]);
  });

  test("shows how far it is", () => {
    const job = aJob({ parallelism: 3 });
    expect(cells({ ...job, status: { startTime: "2026-01-01T00:50:00Z" } }).slice(1, 4)).toEqual(["Running", "0/1 of 3", "10m"]);
  });
});

describe("a cron job", () => {
  const aCron = (spec: Partial<NonNullable<CronJob["spec"]>> = {}): CronJob => ({ metadata: { name: `c${++made}`, namespace: "default" }, spec: { schedule: "*/5 * * * *", jobTemplate: { spec: { template: template() } }, ...spec } });
  const createCron = (spec?: Partial<NonNullable<CronJob["spec"]>>): Promise<Stored<CronJob>> => server.client.create(CRON, aCron(spec));

  test("leaves its jobs' defaults to the jobs", async () => {
    const { spec } = await createCron();
    expect(spec).toMatchObject({ concurrencyPolicy: "Allow", suspend: false, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1 });
    expect(spec?.jobTemplate.spec?.completions).toBeUndefined();
    expect(spec?.jobTemplate.spec?.template.spec?.containers[0]?.imagePullPolicy).toBe("Always");
  });

  test("needs a schedule, a known zone and a short name", async () => {
    expect(await refusal(createCron({ schedule: "* * *" }))).toContain('spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]');
    expect(await refusal(createCron({ schedule: "TZ=UTC * * * * *" }))).toContain("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    expect(await refusal(createCron({ timeZone: "Mars/Olympus" }))).toContain("unknown time zone Mars/Olympus");
    expect(await refusal(server.client.create(CRON, { ...aCron(), metadata: { name: "a".repeat(53), namespace: "default" } }))).toContain("must be no more than 52 characters");
  });

  test("is shown with its schedule", () => {
    expect(cronJobStrategy.printer?.cells({ ...aCron({ suspend: true }), status: { lastScheduleTime: "2026-01-01T00:00:00Z" } }, Date.parse("2026-01-01T00:01:00Z")).slice(1, 6)).toEqual(["*/5 * * * *", "<none>", "True", 0, "60s"]);
  });
});

test("schedules are read as the usual parser reads them", () => {
  for (const good of ["* * * * *", "@daily", "@every 1h30m", "0-30/5 1,2 ? jan-MAR mon", "CRON_TZ=UTC 0 0 1 1 0"]) expect(cronError(good)).toBeUndefined();
  expect(cronError("60 * * * *")).toBe("end of range (60) above maximum (59): 60");
  expect(cronError("* * 0 * *")).toBe("beginning of range (0) below minimum (1): 0");
  expect(cronError("* * * * 7")).toBe("end of range (7) above maximum (6): 7");
  expect(cronError("5-1 * * * *")).toBe("beginning of range (5) beyond end of range (1): 5-1");
  expect(cronError("*/0 * * * *")).toBe("step of range should be a positive number: */0");
  expect(cronError("x * * * *")).toBe('failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax');
  expect(cronError("@never")).toBe("unrecognized descriptor: @never");
});

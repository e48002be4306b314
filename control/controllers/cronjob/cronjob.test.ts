import { afterEach, describe, expect, test } from "bun:test";
import type { CronJob, Job, Stored } from "../../../api/types.ts";
import { FakeClock, timestamp } from "../../../lib/clock.ts";
import { becomes, consistently, eventually, TestCluster } from "../cluster.suite.ts";
import { CRON_JOB, JOB } from "../kinds.ts";
import { ttlAfterFinishedController } from "../ttlafterfinished.ts";
import { cronJobController } from "./cronjob.ts";
import { dueTime, parseSchedule } from "./schedule.ts";

const START = Date.parse("2026-03-01T12:00:30Z");
const clusters: TestCluster[] = [];
let clock = new FakeClock(START);
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  clock = new FakeClock(START);
});
async function aCluster(): Promise<TestCluster> {
  const cluster = new TestCluster({ clock });
  clusters.push(cluster);
  await cluster.start(cronJobController);
  return cluster;
}
const aCronJob = (spec: Partial<CronJob["spec"]> = {}): CronJob => ({
  metadata: { name: "tick", namespace: "default" },
  spec: { schedule: "* * * * *", concurrencyPolicy: "Allow", suspend: false, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1, jobTemplate: { metadata: { labels: { a: "b" } }, spec: { template: { spec: { containers: [] } } } }, ...spec },
});
const jobs = async (cluster: TestCluster): Promise<string[]> => (await cluster.list(JOB)).map((job) => job.metadata.name).toSorted();
const nameAt = (time: string): string => `tick-${Date.parse(time) / 60_000}`;
const pass = async (ms: number): Promise<void> => {
  await Bun.sleep(5);
  await clock.advance(ms);
  await Bun.sleep(5);
};
const finish = (cluster: TestCluster, name: string, type = "Complete"): Promise<unknown> => cluster.change<Job>(JOB, name, (job) => {
  const now = timestamp(clock.now());
  job.status = { startTime: now, completionTime: now, conditions: [{ type, status: "True", lastTransitionTime: now }] };
}, "status");
const statusOf = async (cluster: TestCluster): Promise<CronJob["status"]> => (await cluster.get<CronJob>(CRON_JOB, "tick")).status;

describe("a CronJob", () => {
  test("makes one Job a minute, named after its time, and keeps track of it", async () => {
    const cluster = await aCluster();
    const cronJob = await cluster.create(CRON_JOB, aCronJob());
    await pass(29_000);
    expect(await jobs(cluster)).toEqual([]);
    await pass(2000);
    await becomes(() => jobs(cluster), [nameAt("2026-03-01T12:01:00Z")]);
    const [job] = (await cluster.list<Job>(JOB)) as [Stored<Job>];
    expect(job.metadata).toMatchObject({ labels: { a: "b" }, annotations: { "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-03-01T12:01:00Z" } });
    expect(job.metadata.ownerReferences?.[0]).toMatchObject({ kind: "CronJob", uid: cronJob.metadata.uid, controller: true });
    await becomes(async () => (await statusOf(cluster))?.lastScheduleTime, "2026-03-01T12:01:00Z");
    expect((await statusOf(cluster))?.active?.[0]?.name).toBe(job.metadata.name);
    await finish(cluster, job.metadata.name);
    await becomes(async () => (await statusOf(cluster))?.active ?? [], []);
    expect((await statusOf(cluster))?.lastSuccessfulTime).toBe(timestamp(clock.now()));
    expect(cluster.events).toContain(`SawCompletedJob: Saw completed job: ${job.metadata.name}, condition: Complete`);
    await pass(60_000);
    await becomes(async () => (await jobs(cluster)).length, 2);
  });

  test("Forbid skips while one is running; Replace ends it", async () => {
    const forbid = await aCluster();
    await forbid.create(CRON_JOB, aCronJob({ concurrencyPolicy: "Forbid" }));
    await pass(31_000);
    await pass(60_000);
    await becomes(() => jobs(forbid), [nameAt("2026-03-01T12:01:00Z")]);
    expect(forbid.events).toContain("JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid");
    clock = new FakeClock(START);
    const replace = await aCluster();
    await replace.create(CRON_JOB, aCronJob({ concurrencyPolicy: "Replace" }));
    await pass(31_000);
    await pass(60_000);
    await becomes(() => jobs(replace), [nameAt("2026-03-01T12:02:00Z")]);
  });

  test("suspended it does nothing; resumed it catches up with the latest time only", async () => {
    const cluster = await aCluster();
    await cluster.create(CRON_JOB, aCronJob({ suspend: true }));
    await pass(600_000);
    expect(await jobs(cluster)).toEqual([]);
    await cluster.change<CronJob>(CRON_JOB, "tick", (c) => { (c.spec as { suspend: boolean }).suspend = false; });
    await becomes(() => jobs(cluster), [nameAt("2026-03-01T12:10:00Z")]);
  });

  test("a time missed by more than the deadline is not made up for", async () => {
    const cluster = await aCluster();
    await cluster.create(CRON_JOB, aCronJob({ schedule: "0 13 * * *", startingDeadlineSeconds: 60 }));
    await Bun.sleep(5);
    await cluster.crash();
    await clock.advance(2 * 3_600_000);
    await cluster.start(cronJobController);
    await consistently(async () => (await jobs(cluster)).length === 0);
  });

  test("a restart never makes the Job of one time twice", async () => {
    const cluster = await aCluster();
    await cluster.create(CRON_JOB, aCronJob());
    let hasFailed = false;
    cluster.client.intercept = ({ verb, kind }) => {
      if (verb === "update" && kind === CRON_JOB && !hasFailed) {
        hasFailed = true;
        throw new Error("crashed before the status was written");
      }
    };
    await pass(31_000);
    await cluster.crash();
    await cluster.start(cronJobController);
    await becomes(async () => (await statusOf(cluster))?.active?.length, 1);
    expect(await jobs(cluster)).toHaveLength(1);
  });

  test("keeps only so many finished Jobs", async () => {
    const cluster = await aCluster();
    await cluster.create(CRON_JOB, aCronJob({ successfulJobsHistoryLimit: 1 }));
    for (let minute = 1; minute <= 3; minute++) {
      await pass(minute === 1 ? 31_000 : 60_000);
      const name = nameAt(`2026-03-01T12:0${minute}:00Z`);
      await eventually(async () => (await jobs(cluster)).includes(name));
      await finish(cluster, name);
    }
    await becomes(() => jobs(cluster), [nameAt("2026-03-01T12:03:00Z")]);
  });

  test("a schedule that can be read and never comes is said to be invalid; one with a zone in it, not to be supported", async () => {
    const cluster = await aCluster();
    await cluster.create(CRON_JOB, aCronJob({ schedule: "59 23 31 2 *" }));
    await eventually(() => cluster.events.includes("InvalidSchedule: invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"));
    await cluster.change<CronJob>(CRON_JOB, "tick", (c) => { c.spec = { ...(c.spec as NonNullable<CronJob["spec"]>), schedule: "TZ=UTC * * * * *" }; });
    await eventually(() => cluster.events.some((event) => event.startsWith('UnsupportedSchedule: CRON_TZ or TZ used in schedule "TZ=UTC * * * * *" is not officially supported')));
    await pass(60_000);
    await becomes(() => jobs(cluster), [nameAt("2026-03-01T12:01:00Z")]);
  });

  test("a schedule or a time zone nobody understands is an event, not a crash", async () => {
    const cluster = await aCluster();
    await cluster.create(CRON_JOB, aCronJob({ schedule: "every day" }));
    await eventually(() => cluster.events.some((event) => event.startsWith("UnparseableSchedule: unparseable schedule: \"every day\" : ")));
    await cluster.change<CronJob>(CRON_JOB, "tick", (c) => { c.spec = { ...(c.spec as NonNullable<CronJob["spec"]>), schedule: "* * * * *", timeZone: "Mars/Olympus" }; });
    await eventually(() => cluster.events.some((event) => event.startsWith("UnknownTimeZone: invalid timeZone: \"Mars/Olympus\"")));
  });
});

describe("schedules", () => {
  const at = (text: string): number => Date.parse(text);
  const nextOf = (schedule: string, from: string, zone?: string): string => timestamp(parseSchedule(schedule, zone).next(at(from)) as number);

  test.each([
    ["*/15 * * * *", "2026-03-01T12:01:00Z", undefined, "2026-03-01T12:15:00Z"],
    ["0 0 1 * *", "2026-03-01T12:01:00Z", undefined, "2026-04-01T00:00:00Z"],
    ["0 9 * * MON-FRI", "2026-02-28T12:00:00Z", undefined, "2026-03-02T09:00:00Z"],
    ["0 0 13 * FRI", "2026-03-01T00:00:00Z", undefined, "2026-03-06T00:00:00Z"],
    ["@hourly", "2026-03-01T12:01:00Z", undefined, "2026-03-01T13:00:00Z"],
    ["@every 1h30m", "2026-03-01T12:01:00Z", undefined, "2026-03-01T13:31:00Z"],
    ["0 9 * * *", "2026-03-01T12:00:00Z", "America/New_York", "2026-03-01T14:00:00Z"],
    ["TZ=Asia/Tokyo 0 9 * * *", "2026-03-01T12:00:00Z", undefined, "2026-03-02T00:00:00Z"],
  ])("%p after %p in %p is %p", (schedule, from, zone, expected) => {
    expect(nextOf(schedule, from, zone)).toBe(expected);
  });

  test("after a long sleep only the latest time is due", () => {
    const schedule = parseSchedule("* * * * *");
    expect(dueTime(schedule, at("2026-03-01T00:00:00Z"), at("2026-03-03T00:00:30Z"))).toEqual({ due: at("2026-03-03T00:00:00Z"), isFarBehind: true });
    expect(dueTime(schedule, at("2026-03-01T00:00:00Z"), at("2026-03-01T00:00:30Z"))).toEqual({ due: undefined, isFarBehind: false });
  });

  test("irregular schedules find their latest time too", () => {
    const schedule = parseSchedule("0 9,10 * * *");
    expect(dueTime(schedule, at("2026-03-01T00:00:00Z"), at("2026-03-02T09:30:00Z")).due).toBe(at("2026-03-02T09:00:00Z"));
  });

  test("six fields are no schedule", () => {
    expect(() => parseSchedule("* * * * * *")).toThrow("expected exactly 5 fields, found 6");
  });
});

test("a finished Job with a time to live is deleted when it is up, unless it was raised", async () => {
  const cluster = new TestCluster({ clock });
  clusters.push(cluster);
  await cluster.start(ttlAfterFinishedController);
  for (const name of ["short", "long"]) {
    await cluster.create<Job>(JOB, { metadata: { name, namespace: "default" }, spec: { ttlSecondsAfterFinished: 60, template: { spec: { containers: [] } } } });
    await finish(cluster, name);
  }
  await pass(30_000);
  await cluster.change<Job>(JOB, "long", (job) => { (job.spec as { ttlSecondsAfterFinished: number }).ttlSecondsAfterFinished = 600; });
  await pass(31_000);
  await eventually(async () => (await cluster.list<Job>(JOB)).find((job) => job.metadata.name === "short")?.metadata.deletionTimestamp !== undefined);
  expect((await cluster.get<Job>(JOB, "long")).metadata.deletionTimestamp).toBeUndefined();
});

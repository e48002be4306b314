// Jobs and CronJobs in bad weather: every pod counted once, every time served once, and nothing left behind.
import { describe } from "bun:test";
import type { CronJob, Job, Pod, Stored } from "../../../api/types.ts";
import { isFinishedJob } from "../job/assess.ts";
import { CRON_JOB, JOB, POD } from "../kinds.ts";
import { controllerRefOf } from "../owners.ts";
import { isFinished } from "../pods.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const CONTROLLERS = ["job-controller", "cronjob-controller", "ttl-after-finished-controller", "garbage-collector-controller"];
const TRACKING = "batch.kubernetes.io/job-tracking";
const template = { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } };

function aJob(spec: Partial<NonNullable<Job["spec"]>>): Job {
  return { metadata: { name: "work" }, spec: { template, ...spec } as NonNullable<Job["spec"]> };
}

async function withPod(world: World, use: (pod: Stored<Pod>) => Promise<unknown>): Promise<void> {
  const pods = await world.list<Pod>(POD);
  if (pods.length > 0) await use(world.pick(pods));
}

async function checkNothingIsHeld(world: World): Promise<void> {
  const held = (await world.list<Pod>(POD)).filter((pod) => pod.metadata.finalizers?.includes(TRACKING));
  check(world, held.length === 0, `pods are held: ${held.map((pod) => pod.metadata.name).join(", ")}`);
}

describe("in bad weather", () => {
  for (const completionMode of ["NonIndexed", "Indexed"]) {
    plays(`a ${completionMode} Job counts every pod once`, {
      controllers: CONTROLLERS, kubelets: { areUnreliable: true, ends: () => "succeed" }, setsDate: true,
      script: async (world, kubelets): Promise<Script> => {
        const completions = 4 + world.below(8);
        await kubelets.addNode("n");
        const job = await world.create<Job>(JOB, aJob({ completions, parallelism: 3, completionMode, backoffLimit: 1000, ...(completionMode === "Indexed" && world.chance(0.5) && { backoffLimitPerIndex: 1000 }) }));
        const [succeeded, ended] = [new Set<string>(), new Set<string>()];
        let before = { succeeded: 0, failed: 0 };
        const look = async (): Promise<void> => {
          for (const pod of await world.list<Pod>(POD)) {
            if (controllerRefOf(pod)?.uid !== job.metadata.uid) continue;
            if (pod.status?.phase === "Succeeded") succeeded.add(pod.metadata.uid);
            else if (pod.status?.phase === "Failed" || pod.metadata.deletionTimestamp) ended.add(pod.metadata.uid);
          }
        };
        return {
          actions: [
            ["suspend", () => world.edit(JOB, "work", { spec: { suspend: true } })],
            ["resume", () => world.edit(JOB, "work", { spec: { suspend: false } })],
            ["parallelism", () => world.edit(JOB, "work", { spec: { parallelism: world.below(5) } })],
            ["a pod is deleted", () => withPod(world, (pod) => world.remove(POD, pod))],
            ["a pod is deleted by force", () => withPod(world, (pod) => world.remove(POD, pod, { gracePeriodSeconds: 0 }))],
          ],
          always: async () => {
            await look();
            const { status } = await world.find<Job>(JOB, "work") as Stored<Job>;
            const now = { succeeded: status?.succeeded ?? 0, failed: status?.failed ?? 0 };
            check(world, now.succeeded >= before.succeeded && now.failed >= before.failed, `the counts fell from ${JSON.stringify(before)} to ${JSON.stringify(now)}`);
            check(world, now.succeeded <= succeeded.size, `${now.succeeded} are counted, ${succeeded.size} succeeded`);
            before = now;
          },
          tend: () => world.edit(JOB, "work", { spec: { suspend: false, parallelism: 3 } }),
          atRest: async () => {
            const { status } = await world.find<Job>(JOB, "work") as Stored<Job>;
            check(world, status?.conditions?.some((condition) => condition.type === "Complete" && condition.status === "True") === true, `the job did not complete: ${JSON.stringify(status)}`);
            check(world, (status?.succeeded ?? 0) >= completions && (status?.active ?? 0) === 0 && !status?.uncountedTerminatedPods?.succeeded?.length, `status is ${JSON.stringify(status)}; wanted ${completions}`);
            if (completionMode === "Indexed") check(world, status?.succeeded === completions && status.completedIndexes === (completions === 1 ? "0" : `0-${completions - 1}`), `indexes are ${status?.completedIndexes}; wanted ${completions}`);
            await checkNothingIsHeld(world);
          },
        };
      },
    });
  }

  plays("a Job fails for good after its limit, and goes when its time is up", {
    controllers: CONTROLLERS, kubelets: { areUnreliable: true, ends: () => "succeed" },
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const make = (): Promise<unknown> => unlessRefused(world.create(JOB, aJob({ completions: 3, parallelism: 2, backoffLimit: world.below(3), ttlSecondsAfterFinished: world.below(40), ...(world.chance(0.3) && { activeDeadlineSeconds: 5 }) })));
      await make();
      return {
        actions: [
          ["another job", make], ["another job", make],
          ["deleted", async () => {
            const job = await world.find<Job>(JOB, "work");
            if (job) await world.remove(JOB, job, { propagationPolicy: world.pick(["Background", "Foreground", "Orphan"]) });
          }],
          ["a pod is deleted", () => withPod(world, (pod) => world.remove(POD, pod))],
        ],
        tend: async () => {
          // What was set free stays until somebody takes it away.
          for (const pod of await world.list<Pod>(POD)) if (!controllerRefOf(pod)) await world.remove(POD, pod, { gracePeriodSeconds: 0 });
        },
        atRest: async () => {
          check(world, (await world.list(JOB)).length === 0, "the job is still there");
          const pods = await world.list<Pod>(POD);
          check(world, pods.length === 0, `pods are left: ${pods.map((pod) => pod.metadata.name).join(", ")}`);
        },
      };
    },
  });

  for (const concurrencyPolicy of ["Allow", "Forbid", "Replace"]) {
    plays(`a CronJob that is to ${concurrencyPolicy} serves every time once`, {
      controllers: CONTROLLERS, kubelets: { ends: () => "succeed" }, setsDate: concurrencyPolicy !== "Forbid", stepMs: 90_000,
      script: async (world, kubelets): Promise<Script> => {
        await kubelets.addNode("n");
        await world.create<CronJob>(CRON_JOB, { metadata: { name: "cron" }, spec: { schedule: "*/2 * * * *", concurrencyPolicy, successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1, jobTemplate: { spec: { template, backoffLimit: 0 } } } as NonNullable<CronJob["spec"]> });
        const startedAt = new Map<string, string>();
        return {
          actions: [
            ["suspend", () => world.edit(CRON_JOB, "cron", { spec: { suspend: true } })],
            ["resume", () => world.edit(CRON_JOB, "cron", { spec: { suspend: false } })],
            ["a job is deleted", async () => {
              // One that nobody has noted down yet would rightly be made again.
              const { status } = await world.find<CronJob>(CRON_JOB, "cron") as Stored<CronJob>;
              const jobs = (await world.list<Job>(JOB)).filter(({ metadata }) => (metadata.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"] ?? "~") <= (status?.lastScheduleTime ?? ""));
              if (jobs.length > 0) await world.remove(JOB, world.pick(jobs), { propagationPolicy: "Background" });
            }],
          ],
          always: async () => {
            const jobs = await world.list<Job>(JOB);
            for (const { metadata } of jobs) {
              const at = metadata.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"] ?? "";
              check(world, (startedAt.get(at) ?? metadata.uid) === metadata.uid, `${at} was served twice`);
              startedAt.set(at, metadata.uid);
            }
            const running = jobs.filter((job) => !isFinishedJob(job) && !job.metadata.deletionTimestamp);
            if (concurrencyPolicy === "Forbid") check(world, running.length <= 1, `running are ${running.map((job) => job.metadata.name).join(", ")}`);
          },
          tend: () => world.edit(CRON_JOB, "cron", { spec: { suspend: true } }),
          atRest: async () => {
            const cronJob = await world.find<CronJob>(CRON_JOB, "cron") as Stored<CronJob>;
            const jobs = await world.list<Job>(JOB);
            check(world, (cronJob.status?.active ?? []).length === 0, `active are ${JSON.stringify(cronJob.status?.active)}`);
            check(world, jobs.length <= 3 && jobs.every(isFinishedJob), `jobs are ${jobs.map((job) => job.metadata.name).join(", ")}`);
            check(world, (await world.list<Pod>(POD)).every((pod) => isFinished(pod) && jobs.some((job) => job.metadata.uid === controllerRefOf(pod)?.uid)), "pods of jobs that are gone are left");
            await checkNothingIsHeld(world);
          },
        };
      },
    });
  }
});

import { afterEach, describe, expect, test } from "bun:test";
import type { Job, JobSpec, Pod, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { becomes, consistently, eventually, TestCluster } from "../cluster.suite.ts";
import { JOB, POD } from "../kinds.ts";
import { jobController } from "./job.ts";
import { aCluster, activeOf, aJob, clusters, aTrackedPod, clock, conditionOf, controlledBy, end, endOne, jobOf, pass, podsOf, stopClusters } from "./job.suite.ts";

afterEach(stopClusters);

describe("a Job", () => {
  test("runs its pods, counts what succeeds and completes", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ completions: 3, parallelism: 2 }));
    await becomes(async () => (await activeOf(cluster)).length, 2);
    expect((await activeOf(cluster))[0]?.metadata.finalizers).toEqual(["batch.kubernetes.io/job-tracking"]);
    await becomes(async () => (await jobOf(cluster)).status?.active, 2);
    expect((await jobOf(cluster)).status?.startTime).toBe(timestamp(clock.now()));
    for (let i = 0; i < 3; i++) {
      await endOne(cluster, "Succeeded");
      await becomes(async () => (await jobOf(cluster)).status?.succeeded, i + 1);
    }
    await eventually(async () => (await conditionOf(cluster, "Complete"))?.status === "True");
    const { status } = await jobOf(cluster);
    expect(status).toMatchObject({ succeeded: 3, completionTime: timestamp(clock.now()), uncountedTerminatedPods: {} });
    expect(status?.conditions?.map(({ type, reason, message }) => [type, reason, message])).toEqual([
      ["SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"],
      ["Complete", "CompletionsReached", "Reached expected number of succeeded pods"],
    ]);
    expect(cluster.events).toContain("Completed: Job completed");
    expect((await podsOf(cluster)).every((pod) => !pod.metadata.finalizers?.length)).toBe(true);
  });

  test("waits longer and longer before it replaces failed pods, and gives up at its limit", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ backoffLimit: 1 }));
    await endOne(cluster, "Failed");
    await becomes(async () => (await jobOf(cluster)).status?.failed, 1);
    await pass(9000);
    expect(await activeOf(cluster)).toEqual([]);
    await pass(2000);
    await endOne(cluster, "Failed");
    await eventually(async () => (await conditionOf(cluster, "Failed"))?.status === "True");
    expect(await conditionOf(cluster, "Failed")).toMatchObject({ reason: "BackoffLimitExceeded", message: "Job has reached the specified backoff limit" });
    expect((await jobOf(cluster)).status?.failed).toBe(2);
    expect(cluster.events).toContain("BackoffLimitExceeded: Job has reached the specified backoff limit");
  });

  test("counts every pod once, though it crashes between any two writes", async () => {
    const cluster = new TestCluster({ clock });
    clusters.push(cluster);
    await cluster.create(JOB, aJob({ completions: 6, parallelism: 6, backoffLimit: 10 }));
    await cluster.start(jobController);
    await becomes(async () => (await activeOf(cluster)).length, 6);
    let writes = 0;
    let failAt = 1;
    cluster.client.intercept = ({ verb, kind }) => {
      if ((verb === "patch" && kind === POD) || (verb === "update" && kind === JOB)) {
        writes++;
        if (writes >= failAt) throw new Error("crashed");
      }
    };
    for (const pod of (await activeOf(cluster)).slice(0, 5)) await end(cluster, pod, "Succeeded");
    for (failAt = 1; failAt < 12; failAt++) {
      await Bun.sleep(3);
      await cluster.crash();
      writes = 0;
      await cluster.start(jobController);
    }
    failAt = Infinity;
    await cluster.crash();
    await cluster.start(jobController);
    await becomes(async () => (await jobOf(cluster)).status?.succeeded, 5);
    expect((await jobOf(cluster)).status?.uncountedTerminatedPods).toEqual({});
    await consistently(async () => (await jobOf(cluster)).status?.succeeded === 5);
  });

  test("without completions it ends when one pod succeeded and the others ended", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ completions: undefined, parallelism: 2 }));
    await becomes(async () => (await activeOf(cluster)).length, 2);
    await endOne(cluster, "Succeeded");
    await becomes(async () => (await jobOf(cluster)).status?.succeeded, 1);
    await consistently(async () => (await podsOf(cluster)).length === 2);
    await endOne(cluster, "Succeeded");
    await eventually(async () => (await conditionOf(cluster, "Complete")) !== undefined);
  });

  test("past its deadline it ends its pods and fails", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ activeDeadlineSeconds: 60 }));
    await becomes(async () => (await activeOf(cluster)).length, 1);
    await pass(61_000);
    await eventually(async () => (await conditionOf(cluster, "Failed")) !== undefined);
    expect(await conditionOf(cluster, "Failed")).toMatchObject({ reason: "DeadlineExceeded", message: "Job was active longer than specified deadline" });
    expect(await activeOf(cluster)).toEqual([]);
  });

  test("suspended it has no pods, resumed it starts over its clock", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ suspend: true }));
    await eventually(async () => (await conditionOf(cluster, "Suspended"))?.status === "True");
    expect(await podsOf(cluster)).toEqual([]);
    expect((await jobOf(cluster)).status?.startTime).toBeUndefined();
    await pass(5000);
    await cluster.change<Job>(JOB, "work", (job) => { (job.spec as JobSpec).suspend = false; });
    await becomes(async () => (await activeOf(cluster)).length, 1);
    await becomes(async () => (await conditionOf(cluster, "Suspended"))?.reason, "JobResumed");
    expect((await jobOf(cluster)).status?.startTime).toBe(timestamp(clock.now()));
    await cluster.change<Job>(JOB, "work", (job) => { (job.spec as JobSpec).suspend = true; });
    await becomes(async () => (await podsOf(cluster)).length, 0);
    expect((await jobOf(cluster)).status?.failed ?? 0).toBe(0);
    expect(cluster.events.filter((event) => /^(Suspended|Resumed)/.test(event))).toEqual(["Suspended: Job suspended", "Resumed: Job resumed", "Suspended: Job suspended"]);
  });

  test("follows a change of parallelism", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ completions: 10, parallelism: 1 }));
    await becomes(async () => (await activeOf(cluster)).length, 1);
    await cluster.change<Job>(JOB, "work", (job) => { (job.spec as JobSpec).parallelism = 4; });
    await becomes(async () => (await activeOf(cluster)).length, 4);
    await cluster.change<Job>(JOB, "work", (job) => { (job.spec as JobSpec).parallelism = 2; });
    await becomes(async () => (await activeOf(cluster)).length, 2);
    expect((await jobOf(cluster)).status?.failed ?? 0).toBe(0);
  });

  test("a pod deleted by somebody is a failure and is replaced", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob());
    await becomes(async () => (await activeOf(cluster)).length, 1);
    const [pod] = (await activeOf(cluster)) as [Stored<Pod>];
    await cluster.client.delete(POD, { namespace: "default", name: pod.metadata.name });
    await becomes(async () => (await jobOf(cluster)).status?.failed, 1);
    await pass(11_000);
    await becomes(async () => (await activeOf(cluster)).length, 1);
  });

  test("when it is deleted its pods are let go", async () => {
    const cluster = await aCluster();
    const job = await cluster.create(JOB, aJob());
    await becomes(async () => (await activeOf(cluster)).length, 1);
    await cluster.client.delete(JOB, { namespace: "default", name: job.metadata.name });
    await becomes(async () => (await podsOf(cluster)).map((pod) => pod.metadata.finalizers ?? []), [[]]);
  });

  test("a pod adopted while it was about to be let go keeps its finalizer", async () => {
    const cluster = await aCluster();
    const patch = cluster.client.patch.bind(cluster.client);
    let adopted = false;
    cluster.client.patch = async (...request) => {
      if (!adopted) {
        adopted = true;
        const job = await cluster.create(JOB, aJob());
        await cluster.change<Pod>(POD, "lost", (pod) => (pod.metadata.ownerReferences = [controlledBy(job)]));
      }
      return patch(...request) as never;
    };
    await cluster.create(POD, aTrackedPod("lost"));
    await eventually(() => adopted);
    await consistently(async () => (await cluster.get<Pod>(POD, "lost")).metadata.finalizers?.length === 1);
  });

  test("a pod whose Job the cache does not know yet keeps its finalizer", async () => {
    const cluster = new TestCluster({ clock });
    clusters.push(cluster);
    const watch = cluster.client.watch.bind(cluster.client);
    let isHeld = true;
    cluster.client.watch = async function* (kind, options) {
      for await (const event of watch(kind, options)) {
        // The test lets go of it from outside.
        // oxlint-disable-next-line no-unmodified-loop-condition
        while (isHeld && kind === JOB && event.type === "ADDED") await Bun.sleep(1);
        yield event as never;
      }
    };
    await cluster.start(jobController);
    const job = await cluster.create(JOB, aJob());
    await cluster.create(POD, { ...aTrackedPod("early"), metadata: { ...aTrackedPod("early").metadata, ownerReferences: [controlledBy(job)] } });
    await consistently(async () => (await cluster.get<Pod>(POD, "early")).metadata.finalizers?.length === 1);
    isHeld = false;
    await end(cluster, await cluster.get<Pod>(POD, "early"), "Succeeded");
    await becomes(async () => (await jobOf(cluster)).status?.succeeded, 1);
    expect(await podsOf(cluster)).toHaveLength(1);
  });

  test("another controller's Job is left alone", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ managedBy: "example.com/mine" }));
    await consistently(async () => (await podsOf(cluster)).length === 0);
  });
});

import { afterEach, describe, expect, test } from "bun:test";
import type { Job, JobSpec, OwnerReference, Pod, Stored } from "../../../api/types.ts";
import { FakeClock, timestamp } from "../../../lib/clock.ts";
import { becomes, consistently, eventually, TestCluster } from "../cluster.suite.ts";
import { findCondition } from "../conditions.ts";
import { JOB, POD } from "../kinds.ts";
import { TRACKING_FINALIZER } from "./assess.ts";
import { IndexSet } from "./indexes.ts";
import { jobController } from "./job.ts";

const clusters: TestCluster[] = [];
let clock = new FakeClock(1_700_000_000_000);
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  clock = new FakeClock(1_700_000_000_000);
});
async function aCluster(): Promise<TestCluster> {
  const cluster = new TestCluster({ clock });
  clusters.push(cluster);
  await cluster.start(jobController);
  return cluster;
}
const labels = { job: "work" };
const aJob = (spec: Partial<JobSpec> = {}): Job => ({
  metadata: { name: "work", namespace: "default" },
  spec: { parallelism: 1, completions: 1, backoffLimit: 6, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } }, ...spec },
});
const aTrackedPod = (name: string): Pod => ({ metadata: { name, namespace: "default", labels, finalizers: [TRACKING_FINALIZER] }, spec: { containers: [{ name: "c", image: "i" }] } });
const controlledBy = (job: Stored<Job>): OwnerReference => ({ apiVersion: "batch/v1", kind: "Job", name: job.metadata.name, uid: job.metadata.uid, controller: true });
const podsOf = async (cluster: TestCluster): Promise<Stored<Pod>[]> => (await cluster.list<Pod>(POD)).toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name));
const activeOf = async (cluster: TestCluster): Promise<Stored<Pod>[]> => (await podsOf(cluster)).filter((pod) => pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed" && !pod.metadata.deletionTimestamp);
const indexes = async (cluster: TestCluster): Promise<(string | undefined)[]> => (await activeOf(cluster)).map((pod) => pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"]).toSorted();
const jobOf = (cluster: TestCluster): Promise<Stored<Job>> => cluster.get<Job>(JOB, "work");
const conditionOf = async (cluster: TestCluster, type: string) => findCondition((await jobOf(cluster)).status?.conditions, type);
const end = (cluster: TestCluster, pod: Pod, phase: "Succeeded" | "Failed", exitCode = phase === "Failed" ? 1 : 0): Promise<unknown> =>
  cluster.change<Pod>(POD, pod.metadata.name as string, (p) => {
    const finishedAt = timestamp(clock.now());
    p.status = { ...p.status, phase, containerStatuses: [{ name: "c", image: "i", imageID: "", ready: false, restartCount: 0, state: { terminated: { exitCode, finishedAt } } }] } as Pod["status"];
  }, "status");
const endOne = async (cluster: TestCluster, phase: "Succeeded" | "Failed", exitCode?: number): Promise<void> => {
  await eventually(async () => (await activeOf(cluster)).length > 0);
  await end(cluster, (await activeOf(cluster))[0] as Pod, phase, exitCode);
};
const pass = async (ms: number): Promise<void> => {
  await Bun.sleep(5);
  await clock.advance(ms);
  await Bun.sleep(5);
};

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

describe("an indexed Job", () => {
  const indexed = { completionMode: "Indexed", completions: 3, parallelism: 3 };

  test("gives every index a pod that knows it, and remembers which are done", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob(indexed));
    await becomes(() => indexes(cluster), ["0", "1", "2"]);
    const [pod] = (await podsOf(cluster)) as [Stored<Pod>];
    expect(pod.metadata.name).toMatch(/^work-0-.{5}$/);
    expect(pod.spec?.hostname).toBe("work-0");
    expect(pod.spec?.containers[0]?.env).toEqual([{ name: "JOB_COMPLETION_INDEX", valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']" } } }]);
    const pods = await podsOf(cluster);
    await end(cluster, pods[0] as Pod, "Succeeded");
    await end(cluster, pods[2] as Pod, "Succeeded");
    await becomes(async () => (await jobOf(cluster)).status?.completedIndexes, "0,2");
    await end(cluster, pods[1] as Pod, "Failed");
    await becomes(async () => (await jobOf(cluster)).status?.failed, 1);
    await pass(11_000);
    await becomes(() => indexes(cluster), ["1"]);
    await endOne(cluster, "Succeeded");
    await eventually(async () => (await conditionOf(cluster, "Complete")) !== undefined);
    expect((await jobOf(cluster)).status).toMatchObject({ completedIndexes: "0-2", succeeded: 3 });
  });

  test("with a limit per index, one index fails for good while the others go on", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ ...indexed, completions: 2, backoffLimit: 1000, backoffLimitPerIndex: 1 }));
    await becomes(() => indexes(cluster), ["0", "1"]);
    const failIndex = async (): Promise<void> => {
      await eventually(async () => (await activeOf(cluster)).some((pod) => pod.metadata.name.startsWith("work-0-")));
      await end(cluster, (await activeOf(cluster)).find((pod) => pod.metadata.name.startsWith("work-0-")) as Pod, "Failed");
    };
    await failIndex();
    await pass(11_000);
    await failIndex();
    await becomes(async () => (await jobOf(cluster)).status?.failedIndexes, "0");
    await end(cluster, (await activeOf(cluster)).find((pod) => pod.metadata.name.startsWith("work-1-")) as Pod, "Succeeded");
    await eventually(async () => (await conditionOf(cluster, "Failed")) !== undefined);
    expect(await conditionOf(cluster, "Failed")).toMatchObject({ reason: "FailedIndexes", message: "Job has failed indexes" });
    expect((await jobOf(cluster)).status).toMatchObject({ completedIndexes: "1", failedIndexes: "0", failed: 2, succeeded: 1 });
  });

  test("a success policy ends it early", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ ...indexed, successPolicy: { rules: [{ succeededIndexes: "1-2", succeededCount: 1 }] } }));
    await becomes(() => indexes(cluster), ["0", "1", "2"]);
    await end(cluster, (await podsOf(cluster))[1] as Pod, "Succeeded");
    await eventually(async () => (await conditionOf(cluster, "Complete")) !== undefined);
    expect(await conditionOf(cluster, "SuccessCriteriaMet")).toMatchObject({ reason: "SuccessPolicy", message: "Matched rules at index 0" });
    expect(await activeOf(cluster)).toEqual([]);
    expect((await jobOf(cluster)).status?.failed ?? 0).toBe(0);
  });
});

describe("a pod failure policy", () => {
  const policy = (action: string): Partial<JobSpec> => ({ podFailurePolicy: { rules: [{ action, onExitCodes: { operator: "In", values: [42] } }] } });

  test("fails the Job at once for an exit code that makes trying again pointless", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob(policy("FailJob")));
    await endOne(cluster, "Failed", 42);
    await eventually(async () => (await conditionOf(cluster, "Failed")) !== undefined);
    const [pod] = (await podsOf(cluster)) as [Stored<Pod>];
    expect(await conditionOf(cluster, "FailureTarget")).toMatchObject({ reason: "PodFailurePolicy", message: `Container c for pod default/${pod.metadata.name} failed with exit code 42 matching FailJob rule at index 0` });
  });

  test("ignores a failure that is not the pod's fault", async () => {
    const cluster = await aCluster();
    await cluster.create(JOB, aJob({ ...policy("Ignore"), backoffLimit: 0 }));
    await endOne(cluster, "Failed", 42);
    await pass(11_000);
    await becomes(async () => (await activeOf(cluster)).length, 1);
    expect((await jobOf(cluster)).status?.failed ?? 0).toBe(0);
  });
});

describe("index sets", () => {
  test.each([["0", "0"], ["0,1", "0,1"], ["0,1,2", "0-2"], ["1-3,5,7-9", "1-3,5,7-9"], ["", ""], ["x,3", "3"], ["0-99", "0-9"]])("%p reads as %p", (text, formatted) => {
    expect(IndexSet.parse(text, 10).toString()).toBe(formatted);
  });

  test("know what is missing", () => {
    expect(IndexSet.parse("0,2,5-6", 10).missing(4, 10)).toEqual([1, 3, 4, 7]);
    expect(IndexSet.parse("0-8", 10).missing(4, 10)).toEqual([9]);
    expect(IndexSet.EMPTY.missing(2, 1)).toEqual([0]);
  });
});

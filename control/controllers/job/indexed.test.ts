import { afterEach, describe, expect, test } from "bun:test";
import type { JobSpec, Pod, Stored } from "../../../api/types.ts";
import { becomes, eventually } from "../cluster.suite.ts";
import { JOB } from "../kinds.ts";
import { IndexSet } from "./indexes.ts";
import { aCluster, activeOf, aJob, conditionOf, end, endOne, indexes, jobOf, pass, podsOf, stopClusters } from "./job.suite.ts";

afterEach(stopClusters);

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

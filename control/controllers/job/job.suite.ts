// What tests of the Job controller share: a cluster with only it, Jobs to give it, and pods that end as the test says.
import type { Job, JobSpec, OwnerReference, Pod, Stored } from "../../../api/types.ts";
import { FakeClock, timestamp } from "../../../lib/clock.ts";
import { eventually, TestCluster } from "../cluster.suite.ts";
import { findCondition } from "../conditions.ts";
import { JOB, POD } from "../kinds.ts";
import { TRACKING_FINALIZER } from "./assess.ts";
import { jobController } from "./job.ts";

export const clusters: TestCluster[] = [];
export let clock = new FakeClock(1_700_000_000_000);

/** For `afterEach`: no cluster of one test is seen by the next. */
export async function stopClusters(): Promise<void> {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  clock = new FakeClock(1_700_000_000_000);
}

export async function aCluster(): Promise<TestCluster> {
  const cluster = new TestCluster({ clock });
  clusters.push(cluster);
  await cluster.start(jobController);
  return cluster;
}
export const labels = { job: "work" };
export const aJob = (spec: Partial<JobSpec> = {}): Job => ({
  metadata: { name: "work", namespace: "default" },
  spec: { parallelism: 1, completions: 1, backoffLimit: 6, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } }, ...spec },
});
export const aTrackedPod = (name: string): Pod => ({ metadata: { name, namespace: "default", labels, finalizers: [TRACKING_FINALIZER] }, spec: { containers: [{ name: "c", image: "i" }] } });
export const controlledBy = (job: Stored<Job>): OwnerReference => ({ apiVersion: "batch/v1", kind: "Job", name: job.metadata.name, uid: job.metadata.uid, controller: true });
export const podsOf = async (cluster: TestCluster): Promise<Stored<Pod>[]> => (await cluster.list<Pod>(POD)).toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name));
export const activeOf = async (cluster: TestCluster): Promise<Stored<Pod>[]> => (await podsOf(cluster)).filter((pod) => pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed" && !pod.metadata.deletionTimestamp);
export const indexes = async (cluster: TestCluster): Promise<(string | undefined)[]> => (await activeOf(cluster)).map((pod) => pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"]).toSorted();
export const jobOf = (cluster: TestCluster): Promise<Stored<Job>> => cluster.get<Job>(JOB, "work");
export const conditionOf = async (cluster: TestCluster, type: string) => findCondition((await jobOf(cluster)).status?.conditions, type);
export const end = (cluster: TestCluster, pod: Pod, phase: "Succeeded" | "Failed", exitCode = phase === "Failed" ? 1 : 0): Promise<unknown> =>
  cluster.change<Pod>(POD, pod.metadata.name as string, (p) => {
    const finishedAt = timestamp(clock.now());
    p.status = { ...p.status, phase, containerStatuses: [{ name: "c", image: "i", imageID: "", ready: false, restartCount: 0, state: { terminated: { exitCode, finishedAt } } }] } as Pod["status"];
  }, "status");
export const endOne = async (cluster: TestCluster, phase: "Succeeded" | "Failed", exitCode?: number): Promise<void> => {
  await eventually(async () => (await activeOf(cluster)).length > 0);
  await end(cluster, (await activeOf(cluster))[0] as Pod, phase, exitCode);
};
export const pass = async (ms: number): Promise<void> => {
  await Bun.sleep(5);
  await clock.advance(ms);
  await Bun.sleep(5);
};

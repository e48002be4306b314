import { afterEach, expect, test } from "bun:test";
import type { EndpointSlice, Job, Node, Pod, Service } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { becomes, eventually, readyStatus, TestCluster } from "./cluster.suite.ts";
import { endpointSliceController } from "./endpoints/endpointslice.ts";
import { jobController } from "./job/job.ts";
import { ENDPOINT_SLICE, JOB, NODE, POD, SERVICE } from "./kinds.ts";
import { nodeIpamController } from "./node/ipam.ts";
import { nodeLifecycleController } from "./node/lifecycle.ts";

const clusters: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
function aCluster(): TestCluster {
  const cluster = new TestCluster({ clock: new FakeClock(1_700_000_000_000) });
  clusters.push(cluster);
  return cluster;
}

/** The series of these families that are not of a histogram's buckets, without times. */
function series({ figures }: TestCluster, prefix: string): string[] {
  return figures.text().split("\n").filter((line) => line.startsWith(prefix) && !/_bucket|_sum/.test(line)).map((line) => line.slice(prefix.length)).toSorted();
}

test("what Jobs came to is counted: passes, pods, failures a policy decided about, and ends", async () => {
  const cluster = aCluster();
  await cluster.start(jobController);
  const labels = { job: "work" };
  const podFailurePolicy = { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [42] } }] };
  await cluster.create<Job>(JOB, { metadata: { name: "work", namespace: "default" }, spec: { parallelism: 1, completions: 1, backoffLimit: 6, podFailurePolicy, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } } } });
  await cluster.create<Job>(JOB, { metadata: { name: "other", namespace: "default" }, spec: { managedBy: "example.com/mine", selector: { matchLabels: labels }, template: {} } } as Job);
  await eventually(async () => (await cluster.list<Pod>(POD)).length === 1);
  const [pod] = (await cluster.list<Pod>(POD)) as [Pod];
  await cluster.change<Pod>(POD, pod.metadata.name as string, (p) => {
    p.status = { phase: "Failed", containerStatuses: [{ name: "c", image: "i", imageID: "", ready: false, restartCount: 0, state: { terminated: { exitCode: 42 } } }] } as Pod["status"];
  }, "status");
  await becomes(() => series(cluster, "job_controller_jobs_finished_total"), ['{completion_mode="NonIndexed",reason="PodFailurePolicy",result="failed"} 1']);
  expect(series(cluster, "job_controller_job_pods_finished_total")).toEqual(['{completion_mode="NonIndexed",result="failed"} 1']);
  expect(series(cluster, "job_controller_job_pods_creation_total")).toEqual(['{reason="new",status="succeeded"} 1']);
  expect(series(cluster, "job_controller_pod_failures_handled_by_failure_policy_total")).toEqual(['{action="FailJob"} 1']);
  await becomes(() => series(cluster, "job_controller_terminated_pods_tracking_finalizer_total"), ['{event="add"} 1', '{event="delete"} 1']);
  expect(series(cluster, "job_controller_jobs_by_external_controller_total")).toEqual(['{controller_name="example.com/mine"} 1']);
  expect(series(cluster, "job_controller_job_syncs_total")).toContain('{action="pods_created",completion_mode="NonIndexed",result="success"} 1');
});

test("a zone's nodes are told by their health, and those that are emptied are counted", async () => {
  const cluster = aCluster();
  const aNode = (name: string, ready: string): Promise<unknown> => cluster.create<Node>(NODE, { metadata: { name, labels: { "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "a" } }, spec: {}, status: { conditions: [{ type: "Ready", status: ready }] } });
  for (const name of ["n1", "n2", "n3"]) await aNode(name, "True");
  await aNode("n4", "False");
  await cluster.start(nodeLifecycleController, nodeIpamController);
  await becomes(() => series(cluster, "node_collector_evictions_total"), ['{zone="eu:a"} 1']);
  expect(series(cluster, "node_collector_zone")).toEqual(['_health{zone="eu:a"} 75', '_size{zone="eu:a"} 4']);
  expect(series(cluster, "node_collector_unhealthy_nodes_in_zone")).toEqual(['{zone="eu:a"} 1']);
  await becomes(() => series(cluster, "node_ipam_controller_"), ['cidrset_cidrs_allocations_total{clusterCIDR="10.244.0.0/16"} 4', 'cidrset_usage_cidrs{clusterCIDR="10.244.0.0/16"} 0.015625', 'cirdset_max_cidrs{clusterCIDR="10.244.0.0/16"} 256']);
});

test("slices are told by how many there are and should be, and changes of them are counted", async () => {
  const cluster = aCluster();
  await cluster.create<Node>(NODE, { metadata: { name: "n" } });
  const pod: Pod = { metadata: { name: "p", namespace: "default", labels: { app: "web" } }, spec: { nodeName: "n", containers: [] } };
  await cluster.create<Pod>(POD, { ...pod, status: { ...readyStatus(pod, cluster.clock.now()), podIPs: [{ ip: "10.244.0.1" }] } });
  await cluster.start(endpointSliceController);
  await cluster.create<Service>(SERVICE, { metadata: { name: "web", namespace: "default" }, spec: { ipFamilies: ["IPv4"], trafficDistribution: "PreferSameZone", selector: { app: "web" }, ports: [{ port: 80 }] } });
  await eventually(async () => (await cluster.list<EndpointSlice>(ENDPOINT_SLICE))[0]?.endpoints?.length === 1);
  await becomes(() => series(cluster, "endpoint_slice_controller_changes"), ['{operation="create"} 1']);
  await becomes(() => series(cluster, "endpoint_slice_controller_num"), ["_endpoint_slices 1"]);
  expect(series(cluster, "endpoint_slice_controller_desired")).toEqual(["_endpoint_slices 1"]);
  expect(series(cluster, "endpoint_slice_controller_endpoints_desired")).toEqual([" 1"]);
  expect(series(cluster, "endpoint_slice_controller_services")).toEqual(['_count_by_traffic_distribution{traffic_distribution="PreferSameZone"} 1']);
});

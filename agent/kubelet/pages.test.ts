// The node's pages, from a pod that runs on fakes.
import { afterEach, expect, test } from "bun:test";
import { conditionOf, aPod, Rig } from "./builders.ts";
import { kubeletPages } from "./pages.ts";

let rig: Rig;
afterEach(() => rig.close());

async function page(path: string): Promise<unknown> {
  return kubeletPages(rig.kubelet, () => "")[path]?.body();
}

test("the summary and the metrics know the pod by its names", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  const summary = (await page("/stats/summary")) as { node: { nodeName: string }; pods: { podRef: { name: string }; containers: { name: string }[] }[] };
  expect(summary.node.nodeName).toBe("n1");
  expect(summary.pods.map(({ podRef, containers }) => [podRef.name, containers.map(({ name }) => name)])).toEqual([["p", ["app"]]]);
  expect(await page("/metrics/resource")).toContain(`container_memory_working_set_bytes{container="app",namespace="default",pod="p"} 1048576`);
  expect(await page("/metrics/cadvisor")).toContain("machine_cpu_cores");
  const metrics = String(await page("/metrics"));
  expect(metrics).toContain("kubelet_running_pods 1");
  expect(metrics).toContain(`kubelet_runtime_operations_total{operation_type="run_podsandbox"} 1`);
  expect(metrics).toContain(`kubelet_runtime_operations_duration_seconds_count{operation_type="create_container"} 1`);
  expect(metrics).toContain(`kubelet_started_containers_total{container_type="container"} 1`);
  expect(metrics).toMatch(/kubelet_pod_start_duration_seconds_bucket\{le="0.5"\} [01]\n/);
  expect(metrics).toMatch(/kubelet_pod_start_sli_duration_seconds_count 1\n/);
  expect(metrics).toContain("kubelet_containers_per_pod_count_count 1");
  expect(metrics).toMatch(/kubernetes_build_info\{.*git_version="v1\.36\.2\+minik8s".*\} 1\n/);
  expect(metrics).toContain(`kubelet_working_pods{config="desired",lifecycle="sync",static=""} 1`);
  expect(await page("/metrics/probes")).toBe("\n");
});

// What a node tells of itself and its pods: the Summary API, the metrics pages, its configuration and its health.
// The cluster is the caller's, and so is the runtime.
import { describe, expect, test } from "bun:test";
import { eventually, must, type Kubectl } from "./support.ts";

const MI = 1 << 20;

interface Fs {
  readonly usedBytes: number;
  readonly capacityBytes: number;
}

interface PodSummary {
  readonly podRef: { readonly name: string };
  readonly containers: readonly { readonly name: string; readonly rootfs: Fs; readonly logs: Fs; readonly memory: Record<string, number>; readonly cpu: Record<string, number> }[];
  readonly network?: { readonly name: string; readonly rxBytes: number; readonly interfaces: readonly { readonly name: string }[] };
  readonly volume?: readonly (Fs & { readonly name: string; readonly pvcRef?: { readonly name: string; readonly namespace: string } })[];
  readonly "ephemeral-storage": Fs;
  readonly process_stats?: { readonly process_count: number };
}

/** What holds of the figures on every runtime; `netns` is the node's network namespace. */
export function describeFigures(runtime: string, kubectl: Kubectl, netns: string): void {
  const page = (path: string): Promise<string> => kubectl.run("get", "--raw", `/api/v1/nodes/node-1/proxy${path}`);
  const summaryOf = async (name: string): Promise<PodSummary | undefined> => (JSON.parse(await page("/stats/summary")) as { pods: PodSummary[] }).pods.find(({ podRef }) => podRef.name === name);

  describe(`figures on ${runtime}`, () => {
    test("the summary knows a pod's network, volumes, claims, logs, layers and processes", async () => {
      await kubectl.apply(MEASURED);
      await kubectl.run("wait", "--for=condition=Ready", "pod/measured", "--timeout=90s");
      const pod = await eventually("all of it is measured", async () => {
        const found = await summaryOf("measured");
        return found && (found.volume?.find(({ name }) => name === "scratch")?.usedBytes ?? 0) >= 3 * MI && (found.network?.rxBytes ?? 0) > 0 && (found.containers[0]?.rootfs.usedBytes ?? 0) >= 2 * MI ? found : undefined;
      }, 150_000);
      const [container] = pod.containers;
      expect(container?.logs.usedBytes).toBeGreaterThan(60_000);
      expect(container?.memory["availableBytes"]).toBeLessThan(64 * MI);
      for (const figure of ["usageBytes", "workingSetBytes", "rssBytes", "pageFaults", "majorPageFaults"]) expect(container?.memory[figure]).toBeNumber();
      expect(pod.network?.interfaces.map(({ name }) => name)).toEqual(["eth0"]);
      const claims = Object.fromEntries((pod.volume ?? []).map(({ name, pvcRef }) => [name.replace(/^(kube-api-access).*/, "$1"), pvcRef?.name]));
      expect(claims).toEqual({ claimed: "measured", "kube-api-access": undefined, memory: undefined, scratch: undefined });
      expect(pod.volume?.find(({ name }) => name === "memory")).toMatchObject({ usedBytes: MI, capacityBytes: 8 * MI });
      expect(pod["ephemeral-storage"].usedBytes).toBeGreaterThanOrEqual(5 * MI);
      expect(pod.process_stats?.process_count).toBeGreaterThanOrEqual(2);
    }, 180_000);

    test("the summary knows the node's processors, memory, disk, images, processes and swap", async () => {
      await eventually("rates are there", async () => (JSON.parse(await page("/stats/summary")) as { node: { cpu: { usageNanoCores?: number } } }).node.cpu.usageNanoCores !== undefined);
      const { node } = JSON.parse(await page("/stats/summary")) as { node: Record<string, Record<string, unknown>> & { systemContainers: { name: string }[] } };
      expect(node.systemContainers.map(({ name }) => name)).toEqual(["kubelet", "pods"]);
      for (const part of ["cpu", "memory", "network", "fs", "runtime", "rlimit", "swap"]) expect(node).toHaveProperty(part);
      expect(node).toMatchObject({ rlimit: { maxpid: expect.any(Number), curproc: expect.any(Number) }, runtime: { imageFs: { usedBytes: expect.any(Number) }, containerFs: { usedBytes: expect.any(Number) } } });
    }, 60_000);

    test("the metrics pages have upstream's names", async () => {
      const names = async (path: string): Promise<string[]> => [...(await page(path)).matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] as string);
      expect(await names("/metrics")).toEqual(expect.arrayContaining(["kubelet_running_pods", "kubelet_running_containers", "kubelet_pod_start_duration_seconds", "kubelet_pod_start_total_duration_seconds", "kubelet_pod_status_sync_duration_seconds", "kubelet_pod_worker_duration_seconds", "kubelet_runtime_operations_total", "kubelet_pleg_relist_duration_seconds", "kubelet_volume_stats_used_bytes", "kubelet_node_name"]));
      expect(await names("/metrics/resource")).toEqual(expect.arrayContaining(["container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "node_cpu_usage_seconds_total", "pod_memory_working_set_bytes", "resource_scrape_error"]));
      expect(await names("/metrics/cadvisor")).toEqual(expect.arrayContaining(["container_network_receive_bytes_total", "container_memory_cache", "container_spec_memory_limit_bytes", "container_cpu_cfs_throttled_seconds_total", "machine_memory_bytes"]));
      expect(await page("/metrics/probes")).toMatch(/prober_probe_total\{container="app",namespace="default",pod="measured",[^}]*probe_type="Readiness",result="successful"\}/);
    }, 60_000);

    test("healthz answers on loopback without TLS, and the configuration is shown", async () => {
      const inside = (url: string): Promise<string> => must(["nsenter", `--net=/run/netns/${netns}`, "curl", "--silent", "--fail", "--max-time", "5", url]);
      expect(await inside("http://127.0.0.1:10248/healthz")).toBe("ok");
      const { kubeletconfig } = JSON.parse(await page("/configz")) as { kubeletconfig: Record<string, unknown> };
      expect(kubeletconfig).toMatchObject({ kind: "KubeletConfiguration", maxPods: 110, healthzPort: 10_248, cpuManagerPolicy: "none", evictionHard: { "memory.available": "100Mi" } });
      await kubectl.run("delete", "pod/measured", "pvc/measured", "--timeout=60s");
    }, 90_000);
  });
}

const MEASURED = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: measured }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 10Mi } } }
---
apiVersion: v1
kind: Pod
metadata: { name: measured }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: "minik8s/hello:1"
      command: [sh, -c, "dd if=/dev/zero of=/layer bs=1M count=2; dd if=/dev/zero of=/scratch/file bs=1M count=3; dd if=/dev/zero of=/memory/file bs=1M count=1; seq 20000; touch /ready; sleep 100000"]
      resources: { limits: { memory: 64Mi, cpu: 500m } }
      readinessProbe: { exec: { command: [cat, /ready] }, periodSeconds: 1 }
      volumeMounts: [{ name: scratch, mountPath: /scratch }, { name: memory, mountPath: /memory }, { name: claimed, mountPath: /claimed }]
  volumes:
    - { name: scratch, emptyDir: {} }
    - { name: memory, emptyDir: { medium: Memory, sizeLimit: 8Mi } }
    - { name: claimed, persistentVolumeClaim: { claimName: measured } }
`;

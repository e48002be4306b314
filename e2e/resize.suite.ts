// Pods resized while they run, as kubectl asks for it: containers, sidecars, the pod as a whole, and what is refused or must wait.
// The cluster is the caller's, and so is the runtime.
import { describe, expect, test } from "bun:test";
import { eventually, type Kubectl } from "./support.ts";

const MI = 1 << 20;

/** What holds of resizing on every runtime. */
export function describeResize(runtime: string, kubectl: Kubectl): void {
  const resize = (name: string, spec: object, type: "merge" | "strategic-merge" = "strategic-merge"): Promise<void> => kubectl.patch(`/api/v1/namespaces/default/pods/${name}/resize`, { spec }, type);
  const condition = (name: string, type: string): Promise<string> => kubectl.value(`{.status.conditions[?(@.type=="${type}")].reason} {.status.conditions[?(@.type=="${type}")].message}`, "pod", name);
  const settled = (name: string, generation: string): Promise<unknown> => eventually(`the resize of ${name} is done`, async () => {
    const [seen, ...types] = (await kubectl.value("{.status.observedGeneration} {.status.conditions[*].type}", "pod", name)).split(" ");
    return seen === generation && !types.some((type) => type.startsWith("PodResize"));
  });
  const limits = async (name: string, container: string): Promise<{ quota: number; memory: number }> => {
    const [quota, memory] = (await kubectl.run("exec", name, "-c", container, "--", "sh", "-c", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max")).trim().split("\n").map((line) => Number.parseInt(line, 10));
    return { quota: quota as number, memory: memory as number };
  };

  describe(`resizing on ${runtime}`, () => {
    test("a pod resized as a whole passes its limits on; a sidecar changes in place, a container with that policy by a restart", async () => {
      await kubectl.apply(WHOLE);
      await kubectl.run("wait", "--for=condition=Ready", "pod/whole", "--timeout=60s");
      expect(JSON.parse(await kubectl.value("{.status.resources}", "pod", "whole"))).toEqual({ requests: { cpu: "100m", memory: "64Mi" }, limits: { cpu: "200m", memory: "128Mi" } });
      await resize("whole", { resources: { requests: { cpu: "150m" }, limits: { cpu: "400m", memory: "200Mi" } } }, "merge");
      await settled("whole", "2");
      expect(JSON.parse(await kubectl.value("{.status.allocatedResources}", "pod", "whole"))).toEqual({ cpu: "150m", memory: "64Mi" });
      expect(await limits("whole", "plain")).toEqual({ quota: 40_000, memory: 200 * MI });
      await resize("whole", { containers: [{ name: "restarts", resources: { requests: { memory: "48Mi" }, limits: { memory: "48Mi" } } }], initContainers: [{ name: "side", resources: { limits: { cpu: "50m" } } }] });
      await settled("whole", "3");
      expect(await limits("whole", "restarts")).toEqual({ quota: 40_000, memory: 48 * MI });
      expect((await limits("whole", "side")).quota).toBe(5_000);
      expect(await kubectl.value("{.status.containerStatuses[?(@.name==\"restarts\")].restartCount} {.status.containerStatuses[?(@.name==\"plain\")].restartCount} {.status.initContainerStatuses[0].restartCount}", "pod", "whole")).toBe("1 0 0");
      const reasons = await kubectl.run("get", "events", "--field-selector", "involvedObject.name=whole", "-o", "jsonpath={.items[*].reason}");
      for (const reason of ["ResizeStarted", "ResizeCompleted"]) expect(reasons).toContain(reason);
    }, 120_000);

    test("more than the node has is infeasible, what others hold is waited for, and both say so", async () => {
      await resize("whole", { resources: { requests: { cpu: "1000" }, limits: { cpu: "1000" } } }, "merge");
      await eventually("it is infeasible", async () => (await condition("whole", "PodResizePending")).startsWith("Infeasible Node didn't have enough capacity: cpu, requested: 1000000, capacity: "));
      expect(await kubectl.value("{.status.allocatedResources.cpu}", "pod", "whole")).toBe("150m");
      const capacity = Number.parseInt(/capacity: (\d+)/.exec(await condition("whole", "PodResizePending"))?.[1] ?? "", 10);
      await kubectl.apply(plain("holds", `${Math.floor(capacity / 2)}m`));
      await kubectl.run("wait", "--for=condition=Ready", "pod/holds", "--timeout=60s");
      await resize("whole", { resources: { requests: { cpu: `${Math.floor(capacity * 0.8)}m` } } }, "merge");
      await eventually("it is deferred", async () => (await condition("whole", "PodResizePending")).startsWith("Deferred Node didn't have enough resource: cpu"));
      await kubectl.run("delete", "pod", "holds", "--timeout=60s");
      await eventually("there is room, and it is granted", async () => (await kubectl.value("{.status.allocatedResources.cpu}", "pod", "whole")) === `${Math.floor(capacity * 0.8)}m`);
      const reasons = await kubectl.run("get", "events", "--field-selector", "involvedObject.name=whole", "-o", "jsonpath={.items[*].reason}");
      for (const reason of ["ResizeInfeasible", "ResizeDeferred"]) expect(reasons).toContain(reason);
      await kubectl.run("delete", "pod", "whole", "--timeout=60s");
    }, 180_000);

    test("memory goes down while it is free, and never below what is in use", async () => {
      await kubectl.apply(MEMORY);
      await kubectl.run("wait", "--for=condition=Ready", "pod/shrinks", "--timeout=60s");
      await resize("shrinks", { containers: [{ name: "c", resources: { limits: { memory: "64Mi" } } }] });
      await settled("shrinks", "2");
      expect((await limits("shrinks", "c")).memory).toBe(64 * MI);
      await resize("shrinks", { containers: [{ name: "c", resources: { requests: { memory: "8Mi" }, limits: { memory: "8Mi" } } }] });
      await eventually("the node says why it cannot", async () => /^Error cannot decrease memory limits: .*attempting to set container "c" memory limit \(8388608\) below current usage/.test(await condition("shrinks", "PodResizeInProgress")));
      expect((await limits("shrinks", "c")).memory).toBe(64 * MI);
      expect(await kubectl.value("{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].resources.limits.memory}", "pod", "shrinks")).toBe("0 64Mi");
      await resize("shrinks", { containers: [{ name: "c", resources: { requests: { memory: "40Mi" }, limits: { memory: "80Mi" } } }] });
      await settled("shrinks", "4");
      await kubectl.run("delete", "pod", "shrinks", "--timeout=60s");
    }, 120_000);
  });
}

const plain = (name: string, cpu: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: c, image: "minik8s/hello:1", resources: { requests: { cpu: ${cpu} } } }]
`;

const WHOLE = `
apiVersion: v1
kind: Pod
metadata: { name: whole }
spec:
  terminationGracePeriodSeconds: 1
  resources: { requests: { cpu: 100m, memory: 64Mi }, limits: { cpu: 200m, memory: 128Mi } }
  initContainers:
    - { name: side, image: "minik8s/hello:1", restartPolicy: Always, resources: { requests: { cpu: 10m }, limits: { cpu: 20m } }, command: [sleep, "100000"] }
  containers:
    - { name: plain, image: "minik8s/hello:1", command: [sleep, "100000"] }
    - { name: restarts, image: "minik8s/hello:1", command: [sleep, "100000"], resources: { limits: { memory: 32Mi } }, resizePolicy: [{ resourceName: memory, restartPolicy: RestartContainer }] }
`;

const MEMORY = `
apiVersion: v1
kind: Pod
metadata: { name: shrinks }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: "minik8s/hello:1"
      command: [sh, -c, "dd if=/dev/zero of=/held/file bs=1M count=20 && sleep 100000"]
      resources: { requests: { memory: 32Mi }, limits: { memory: 96Mi } }
      volumeMounts: [{ name: held, mountPath: /held }]
      readinessProbe: { exec: { command: [sh, -c, "test $(wc -c < /held/file) -eq 20971520"] }, periodSeconds: 1 }
  volumes: [{ name: held, emptyDir: { medium: Memory } }]
`;

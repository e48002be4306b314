// What is written into which cgroup file, on either version.
import { expect, test } from "bun:test";
import { allPodsFiles, cgroupParent, cgroupPath, limitFiles, pidsFile } from "./cgroups.ts";
import { sliceProperties } from "./slices.ts";
import { podResources } from "./resources.ts";
import { aContainer, aPod } from "./builders.ts";

const lines = (files: ReturnType<typeof limitFiles>): string[] => files.map(({ controller, file, value }) => `${controller}/${file}=${value}`);
const pod = aPod({ spec: { containers: [aContainer({ resources: { requests: { cpu: "250m", memory: "64Mi", "hugepages-2Mi": "4Mi" }, limits: { cpu: "500m", memory: "128Mi", "hugepages-2Mi": "4Mi" } } })] } });

test("a pod's limits on version 1", () => {
  expect(lines(limitFiles(podResources(pod), 1))).toEqual(["cpu/cpu.shares=256", "cpu/cpu.cfs_period_us=100000", "cpu/cpu.cfs_quota_us=50000", "memory/memory.limit_in_bytes=134217728", "hugetlb/hugetlb.2MB.limit_in_bytes=4194304"]);
});

test("a pod's limits on version 2", () => {
  expect(lines(limitFiles(podResources(pod), 2))).toEqual(["cpu/cpu.weight=10", "cpu/cpu.max=50000 100000", "memory/memory.max=134217728", "hugetlb/hugetlb.2MB.max=4194304"]);
});

test("without limits the ones there were are lifted", () => {
  expect(lines(limitFiles(podResources(aPod()), 2))).toEqual(["cpu/cpu.weight=1", "cpu/cpu.max=max 100000", "memory/memory.max=max"]);
});

test("all pods together get what is not reserved", () => {
  expect(lines(allPodsFiles({ cpuMilli: 1_500, memoryBytes: 1 << 30, pids: 20_000 }, 2))).toEqual(["cpu/cpu.weight=59", "memory/memory.max=1073741824", "pids/pids.max=20000"]);
  expect(lines(allPodsFiles({ cpuMilli: 2_000, memoryBytes: undefined, pids: undefined }, 1))).toEqual(["cpu/cpu.shares=2048"]);
  expect(lines([pidsFile(100)])).toEqual(["pids/pids.max=100"]);
});

test("a slice's name repeats its parents, a path does not", () => {
  expect(cgroupPath(["kubepods", "burstable", "poda-b"], "systemd")).toBe("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice");
  expect(cgroupParent(["kubepods", "burstable", "poda-b"], "systemd")).toBe("kubepods-burstable-poda_b.slice");
  expect(cgroupParent(["kubepods", "poda-b"], "cgroupfs")).toBe("/kubepods/poda-b");
});

test("systemd is told the same limits in its own words", () => {
  expect(sliceProperties([...limitFiles(podResources(pod), 1), pidsFile(100)])).toEqual(["CPUShares=256", "CPUQuota=50%", "MemoryLimit=134217728", "TasksMax=100"]);
  expect(sliceProperties([...limitFiles(podResources(pod), 2), pidsFile(100)])).toEqual(["CPUWeight=10", "CPUQuota=50%", "MemoryMax=134217728", "TasksMax=100"]);
  expect(sliceProperties(limitFiles(podResources(aPod()), 2))).toEqual(["CPUWeight=1", "CPUQuota=", "MemoryMax=infinity"]);
});

// What is written into which cgroup file, on either version.
import { expect, test } from "bun:test";
import { allPodsFiles, cgroupParent, cgroupPath, limitFiles, pidsFile, uidOfDirectory } from "./cgroups.ts";
import { changeCall, keepableQuota, sliceProperties, startCall } from "./slices.ts";
import { containerResources, podResources } from "./resources.ts";
import { aContainer, aPod } from "./builders.ts";

const lines = (files: ReturnType<typeof limitFiles>): string[] => files.map(({ controller, file, value }) => `${controller}/${file}=${value}`);
const pod = aPod({ spec: { containers: [aContainer({ resources: { requests: { cpu: "250m", memory: "64Mi", "hugepages-2Mi": "4Mi" }, limits: { cpu: "500m", memory: "128Mi", "hugepages-2Mi": "4Mi" } } })] } });

test("a pod's limits on version 1", () => {
  expect(lines(limitFiles(podResources(pod), 1))).toEqual(["cpu/cpu.shares=256", "cpu/cpu.cfs_period_us=100000", "cpu/cpu.cfs_quota_us=50000", "memory/memory.limit_in_bytes=134217728", "hugetlb/hugetlb.2MB.limit_in_bytes=4194304", "hugetlb/hugetlb.2MB.rsvd.limit_in_bytes=4194304"]);
});

test("a pod's limits on version 2", () => {
  expect(lines(limitFiles(podResources(pod), 2))).toEqual(["cpu/cpu.weight=10", "cpu/cpu.max=50000 100000", "memory/memory.max=134217728", "hugetlb/hugetlb.2MB.max=4194304", "hugetlb/hugetlb.2MB.rsvd.max=4194304"]);
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
  expect(sliceProperties([...limitFiles(podResources(pod), 1), pidsFile(100)]).map((property) => property.join(" "))).toEqual(["CPUShares t 256", "CPUQuotaPeriodUSec t 100000", "CPUQuotaPerSecUSec t 500000", "MemoryLimit t 134217728", "TasksMax t 100"]);
  expect(sliceProperties([...limitFiles(podResources(pod), 2), pidsFile(100)]).map((property) => property.join(" "))).toEqual(["CPUWeight t 10", "CPUQuotaPeriodUSec t 100000", "CPUQuotaPerSecUSec t 500000", "MemoryMax t 134217728", "TasksMax t 100"]);
  expect(sliceProperties(limitFiles(podResources(aPod()), 2)).map((property) => property.join(" "))).toEqual(["CPUWeight t 1", "CPUQuotaPeriodUSec t 100000", "CPUQuotaPerSecUSec t 18446744073709551615", "MemoryMax t 18446744073709551615"]);
});

test("systemd keeps quotas in whole percents, so a finer one is rounded up as runtimes round their containers'", () => {
  expect(keepableQuota(25_500, 100_000)).toBe(26_000);
  expect(keepableQuota(25_000, 100_000)).toBe(25_000);
  expect(sliceProperties([{ controller: "cpu", file: "cpu.max", value: "25500 100000" }])).toContainEqual(["CPUQuotaPerSecUSec", "t", "260000"]);
});

test("a new slice is told its parent, and a shutdown leaves it to its pods", () => {
  const call = startCall("kubepods-burstable-poda_b.slice", [pidsFile(7)]).join(" ");
  expect(call).toContain("StartTransientUnit ssa(sv)a(sa(sv)) kubepods-burstable-poda_b.slice replace 7 Description s");
  expect(call).toContain("Wants as 1 kubepods-burstable.slice");
  expect(call).toEndWith("DefaultDependencies b false TasksMax t 7 0");
  expect(startCall("kubepods.slice", []).join(" ")).not.toContain("Wants");
  expect(changeCall("kubepods.slice", [pidsFile(7)]).slice(-7)).toEqual(["SetUnitProperties", "sba(sv)", "kubepods.slice", "true", "1", "TasksMax", "t", "7"].slice(-7));
});

test("a directory tells whose pod's it is, on either driver", () => {
  expect(uidOfDirectory("pod0a-1b", "cgroupfs")).toBe("0a-1b");
  expect(uidOfDirectory("burstable", "cgroupfs")).toBeUndefined();
  expect(["kubepods-pod0a_1b.slice", "kubepods-besteffort-pod0a_1b.slice"].map((name) => uidOfDirectory(name, "systemd"))).toEqual(["0a-1b", "0a-1b"]);
  expect(["kubepods-burstable.slice", "system.slice", "cri-containerd-0a.scope"].map((name) => uidOfDirectory(name, "systemd"))).toEqual([undefined, undefined, undefined]);
});

test("a container that asks for no large pages gets none, and one that does gets its own by the kernel's name", () => {
  const machine = { memoryBytes: 1 << 30, oomFloor: -1000, cgroupVersion: 2 as const, hugepageSizes: ["2MB", "1GB"] };
  expect(containerResources(aPod(), aContainer(), machine).hugepageLimits).toEqual({ "2MB": 0, "1GB": 0 });
  expect(containerResources(pod, pod.spec!.containers[0]!, machine).hugepageLimits).toEqual({ "2MB": 4 << 20, "1GB": 0 });
});

// Resizing running pods, from the API object to what the runtime is told and the status says.
import { afterEach, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Container, Pod, PodSpec, Stored } from "../../api/types.ts";
import { aContainer, aPod, conditionOf, Rig } from "./builders.ts";

let rig: Rig;
afterEach(() => rig.close());

async function resized(resources: Record<string, Record<string, string>>, resizePolicy?: Container["resizePolicy"]): Promise<void> {
  const pod = rig.pod() as Stored<Pod>;
  await rig.api.update(builtinKind("", "v1", "Pod"), { ...pod, spec: { ...pod.spec, containers: [{ ...aContainer(), resources, ...(resizePolicy && { resizePolicy }) }] } } as Pod);
}

test("new limits reach a running container, and its status says what it has", async () => {
  rig = await new Rig().start();
  await rig.addNode({ cpu: "4", memory: "8Gi" });
  await rig.create(aPod({ spec: { containers: [aContainer({ resources: { requests: { cpu: "100m" }, limits: { cpu: "200m" } } })] } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await resized({ requests: { cpu: "200m" }, limits: { cpu: "400m" } });
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.resources?.limits?.["cpu"] === "400m");
  const [status] = pod.status?.containerStatuses ?? [];
  expect(status).toMatchObject({ restartCount: 0, allocatedResources: { cpu: "200m" } });
  expect(rig.runtime.inspect(status?.containerID?.slice(7) ?? "").resources.cpuQuotaUs).toBe(40_000);
  await rig.until((p) => !p?.status?.conditions?.some((c) => c.type.startsWith("PodResize")));
  expect(rig.reasons()).toContain("ResizeCompleted");
  expect(rig.reasons()).toContain("ResizeStarted");
});

test("a resize that does not fit waits and says so, and happens once there is room", async () => {
  rig = await new Rig().start();
  await rig.addNode({ cpu: "1", memory: "1Gi" });
  const asking = (cpu: string): Container => aContainer({ resources: { requests: { cpu } } });
  await rig.create(aPod({ name: "big", uid: "u2", spec: { containers: [asking("700m")] } }));
  await rig.create(aPod({ spec: { containers: [asking("100m")] } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await rig.until((p) => conditionOf(p, "Ready") === "True", "big");
  await resized({ requests: { cpu: "2" } });
  const never = await rig.until((p) => p?.status?.conditions?.some((c) => c.reason === "Infeasible") ?? false);
  expect(never.status?.conditions?.find((c) => c.type === "PodResizePending")?.message).toBe("Node didn't have enough capacity: cpu, requested: 2000, capacity: 1000");
  await resized({ requests: { cpu: "500m" } });
  await rig.until((p) => p?.status?.conditions?.some((c) => c.reason === "Deferred") ?? false);
  await rig.delete("big");
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.allocatedResources?.["cpu"] === "500m");
  expect(pod.status?.containerStatuses?.[0]?.restartCount).toBe(0);
});

async function changed(change: Partial<PodSpec>): Promise<void> {
  const pod = rig.pod() as Stored<Pod>;
  await rig.api.update(builtinKind("", "v1", "Pod"), { ...pod, spec: { ...pod.spec, ...change } } as Pod);
}

test("a pod resized as a whole passes its limits on to containers without their own, and says what it has", async () => {
  rig = await new Rig().start();
  await rig.addNode({ cpu: "4", memory: "8Gi" });
  const own = aContainer({ name: "own", resources: { limits: { cpu: "100m" } } });
  await rig.create(aPod({ spec: { resources: { requests: { cpu: "1" }, limits: { cpu: "2" } }, containers: [aContainer(), own] } }));
  const before = await rig.until((p) => conditionOf(p, "Ready") === "True" && p?.status?.phase === "Running");
  expect(before.status).toMatchObject({ resources: { requests: { cpu: "1" }, limits: { cpu: "2" } }, allocatedResources: { cpu: "1" } });
  expect(before.status?.containerStatuses?.[0]?.resources?.limits).toBeUndefined();
  await changed({ resources: { requests: { cpu: "2" }, limits: { cpu: "3" } } });
  const after = await rig.until((p) => p?.status?.resources?.limits?.["cpu"] === "3" && !p.status.conditions?.some((c) => c.type.startsWith("PodResize")));
  expect(after.status).toMatchObject({ resources: { requests: { cpu: "2" } }, allocatedResources: { cpu: "2" } });
  const quota = (index: number): number | undefined => rig.runtime.inspect(after.status?.containerStatuses?.[index]?.containerID?.slice(7) ?? "").resources.cpuQuotaUs;
  expect([quota(0), quota(1)]).toEqual([300_000, 10_000]);
  expect(after.status?.containerStatuses?.map(({ restartCount }) => restartCount)).toEqual([0, 0]);
  expect(rig.reasons().filter((reason) => reason.startsWith("Resize"))).toEqual(["ResizeStarted", "ResizeCompleted"]);
});

test("a pod that asks for more as a whole than the node has keeps what it had", async () => {
  rig = await new Rig().start();
  await rig.addNode({ cpu: "1", memory: "1Gi" });
  await rig.create(aPod({ spec: { resources: { requests: { cpu: "500m" } } } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await changed({ resources: { requests: { cpu: "2" } } });
  const pod = await rig.until((p) => p?.status?.conditions?.some((c) => c.reason === "Infeasible") ?? false);
  expect(pod.status?.allocatedResources).toEqual({ cpu: "500m" });
});

test("a container that is restarted for a resize has its new limits, and the resize is told to be done", async () => {
  rig = await new Rig().start();
  await rig.addNode({ cpu: "4", memory: "8Gi" });
  const policy: Container["resizePolicy"] = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
  await rig.create(aPod({ spec: { containers: [aContainer({ resources: { limits: { memory: "64Mi" } }, ...(policy && { resizePolicy: policy }) })] } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await resized({ limits: { memory: "128Mi" } }, policy);
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.restartCount === 1 && conditionOf(p, "Ready") === "True" && !p.status.conditions?.some((c) => c.type.startsWith("PodResize")));
  expect(pod.status?.containerStatuses?.[0]?.resources?.limits).toEqual({ memory: "128Mi" });
  expect(rig.reasons()).toContain("ResizeCompleted");
});

test("a sidecar is resized in place", async () => {
  rig = await new Rig().start();
  await rig.addNode({ cpu: "4", memory: "8Gi" });
  const sidecar = (cpu: string): Container => aContainer({ name: "side", restartPolicy: "Always", resources: { requests: { cpu }, limits: { cpu } } });
  await rig.create(aPod({ spec: { initContainers: [sidecar("100m")] } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await changed({ initContainers: [sidecar("300m")] });
  const pod = await rig.until((p) => p?.status?.initContainerStatuses?.[0]?.resources?.limits?.["cpu"] === "300m");
  expect(pod.status?.initContainerStatuses?.[0]).toMatchObject({ restartCount: 0, allocatedResources: { cpu: "300m" } });
});

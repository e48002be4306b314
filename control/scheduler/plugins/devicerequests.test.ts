import { describe, expect, test } from "bun:test";
import { POD, type FakeApi } from "../fakes.ts";
import { nodeOf, settle } from "../harness.ts";
import { aClaim, aClass, aSlice, CLAIM, claimOf, CLASS, cluster, devicesOf, DRIVER, gpus, ofClass, SLICE, using, type Requests, type SliceSpec, type Devices } from "./dynamicresources.suite.ts";

describe("what a claim asks for", () => {
  async function allocated(devices: Devices, requests: Requests, more?: Parameters<typeof aClaim>[2], spec?: Partial<SliceSpec>): Promise<{ api: FakeApi; devices: string[] }> {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", devices, spec));
    api.put(CLAIM, aClaim("c", requests, more));
    api.put(POD, using("p", "c"));
    await settle();
    return { api, devices: devicesOf(api, "c").map((device) => device.slice("n/".length)) };
  }

  test("is selected by class and request", async () => {
    const devices = [{ name: "small", capacity: { memory: { value: "8Gi" } } }, { name: "large", capacity: { memory: { value: "80Gi" } } }];
    const selectors = [{ cel: { expression: `device.capacity["${DRIVER}"].memory.isGreaterThan(quantity("40Gi"))` } }];
    expect((await allocated(devices, ofClass({ selectors }))).devices).toEqual(["large"]);
  });

  test("may be several devices, or all there are", async () => {
    expect((await allocated(gpus(4), ofClass({ count: 3 }))).devices).toEqual(["gpu-0", "gpu-1", "gpu-2"]);
    expect((await allocated(gpus(2), ofClass({ count: 3 }))).devices).toEqual([]);
    expect((await allocated(gpus(4), [{ name: "gpu", exactly: { deviceClassName: "gpu", allocationMode: "All" } }])).devices).toEqual(["gpu-0", "gpu-1", "gpu-2", "gpu-3"]);
  });

  test("must have an attribute in common, or not, and the search goes back for that", async () => {
    const on = (name: string, numa: number): Devices[number] => ({ name, attributes: { numa: { int: numa } } });
    const devices = [on("a", 0), on("b", 1), on("c", 1)];
    expect((await allocated(devices, ofClass({ count: 2 }), { constraints: [{ matchAttribute: `${DRIVER}/numa` }] })).devices).toEqual(["b", "c"]);
    expect((await allocated(devices, ofClass({ count: 2 }), { constraints: [{ distinctAttribute: `${DRIVER}/numa` }] })).devices).toEqual(["a", "b"]);
    expect((await allocated(devices, ofClass({ count: 3 }), { constraints: [{ distinctAttribute: `${DRIVER}/numa` }] })).devices).toEqual([]);
  });

  test("may be the first that is available of several alternatives", async () => {
    const alternative = (name: string, count: number): NonNullable<Requests[number]["firstAvailable"]>[number] => ({ name, deviceClassName: "gpu", allocationMode: "ExactCount", count });
    const { api, devices } = await allocated(gpus(2), [{ name: "gpu", firstAvailable: [alternative("many", 3), alternative("some", 2), alternative("one", 1)] }]);
    expect(devices).toEqual(["gpu-0", "gpu-1"]);
    expect(claimOf(api, "c").status?.allocation?.devices?.results?.[0]?.request).toBe("gpu/some");
  });

  test("brings its class's configuration and its own", async () => {
    const opaque = (value: string): { opaque: { driver: string; parameters: object } } => ({ opaque: { driver: DRIVER, parameters: { value } } });
    const { api } = cluster("n");
    api.put(CLASS, aClass("gpu", { config: [opaque("class")] }));
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("c", ofClass(), { config: [{ requests: ["gpu"], ...opaque("claim") }] }));
    api.put(POD, using("p", "c"));
    await settle();
    expect(claimOf(api, "c").status?.allocation?.devices?.config).toEqual([
      { source: "FromClass", requests: ["gpu"], ...opaque("class") }, { source: "FromClaim", requests: ["gpu"], ...opaque("claim") },
    ]);
  });

  test("does not include tainted devices, unless they are tolerated", async () => {
    const devices = [{ name: "bad", taints: [{ key: "broken", effect: "NoSchedule" }] }, { name: "good" }];
    expect((await allocated(devices, ofClass())).devices).toEqual(["good"]);
    expect((await allocated(devices, ofClass({ tolerations: [{ key: "broken", operator: "Exists" }] }))).devices).toEqual(["bad"]);
  });

  test("takes its part of what partitions of a device share", async () => {
    const part = (name: string, memory: string): Devices[number] => ({ name, consumesCounters: [{ counterSet: "card", counters: { memory: { value: memory } } }] });
    const { api } = cluster("n");
    const pool = { name: "n", generation: 1, resourceSliceCount: 2 };
    api.put(SLICE, { metadata: { name: "counters" }, spec: { driver: DRIVER, nodeName: "n", pool, sharedCounters: [{ name: "card", counters: { memory: { value: "40Gi" } } }] } });
    api.put(SLICE, { metadata: { name: "parts" }, spec: { driver: DRIVER, nodeName: "n", pool, devices: [part("whole", "40Gi"), part("half-0", "20Gi"), part("half-1", "20Gi")] } });
    for (const name of ["c1", "c2", "c3"]) {
      const selectors = name === "c3" ? [] : [{ cel: { expression: `device.driver == "${DRIVER}"` } }];
      api.put(CLAIM, aClaim(name, ofClass({ selectors })));
    }
    api.put(CLAIM, aClaim("two", ofClass({ count: 2 })));
    api.put(POD, using("p", "two"));
    await settle();
    expect(devicesOf(api, "two")).toEqual(["n/half-0", "n/half-1"]);
    api.put(POD, using("q", "c1"));
    await settle();
    expect(nodeOf(api.pod("default/q"))).toBeUndefined();
  });

  test("may be a share of a device that several use", async () => {
    const { api } = cluster("n");
    const capacity = { memory: { value: "10Gi", requestPolicy: { default: "4Gi", validRange: { min: "2Gi", step: "2Gi" } } } };
    api.put(SLICE, aSlice("n", [{ name: "nic", allowMultipleAllocations: true, capacity }]));
    const asking = (memory: string): Requests => ofClass({ capacity: { requests: { memory } } });
    for (const [name, requests] of [["c1", asking("3Gi")], ["c2", ofClass()], ["c3", asking("4Gi")]] as const) {
      api.put(CLAIM, aClaim(name, requests));
      api.put(POD, using(`of-${name}`, name));
      await settle();
    }
    const consumed = (name: string): unknown => claimOf(api, name).status?.allocation?.devices?.results?.[0]?.consumedCapacity;
    expect([consumed("c1"), consumed("c2"), consumed("c3")]).toEqual([{ memory: "4Gi" }, { memory: "4Gi" }, undefined]);
    expect(claimOf(api, "c1").status?.allocation?.devices?.results?.[0]?.shareID).toBeString();
  });

  test("of an admin takes nothing from others", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("look", ofClass({ adminAccess: true })));
    api.put(CLAIM, aClaim("use"));
    for (const name of ["look", "use"]) {
      api.put(POD, using(`p-${name}`, name));
      await settle();
    }
    expect([devicesOf(api, "look"), devicesOf(api, "use")]).toEqual([["n/gpu-0"], ["n/gpu-0"]]);
  });

  test("makes no sense when a selector fails, which is said, and tried again", async () => {
    const { api, clock } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("c", ofClass({ selectors: [{ cel: { expression: `device.attributes["${DRIVER}"].model == "x"` } }] })));
    api.put(POD, using("p", "c"));
    await settle();
    const condition = api.pod("default/p").status?.conditions?.find((c) => c.type === "PodScheduled");
    expect(condition).toMatchObject({ reason: "SchedulerError", message: `running "DynamicResources" filter plugin: claim default/c: selector #0: CEL runtime error: no such key: model` });
    api.put(SLICE, aSlice("n", gpus(1, { model: { string: "x" } })));
    await clock.advance(2_000);
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });
});

import { describe, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { DeviceClass, Pod, ResourceClaim, ResourceSlice } from "../../../api/types.ts";
import { aNode, aPod, NODE, POD, type FakeApi } from "../fakes.ts";
import { nodeOf, settle, start } from "../harness.ts";

const CLAIM = builtinKind("resource.k8s.io", "v1", "ResourceClaim");
const CLASS = builtinKind("resource.k8s.io", "v1", "DeviceClass");
const SLICE = builtinKind("resource.k8s.io", "v1", "ResourceSlice");
const DRIVER = "gpu.example.com";

type ClaimSpec = NonNullable<ResourceClaim["spec"]>;
type Requests = NonNullable<NonNullable<ClaimSpec["devices"]>["requests"]>;
type SliceSpec = NonNullable<ResourceSlice["spec"]>;
type Devices = NonNullable<SliceSpec["devices"]>;

const ofClass = (exact: Partial<NonNullable<Requests[number]["exactly"]>> = {}): Requests => [{ name: "gpu", exactly: { deviceClassName: "gpu", allocationMode: "ExactCount", count: 1, ...exact } }];

function aClass(name = "gpu", spec: DeviceClass["spec"] = {}): DeviceClass {
  return { metadata: { name }, spec: { selectors: [{ cel: { expression: `device.driver == "${DRIVER}"` } }], ...spec } };
}

function aClaim(name: string, requests: Requests = ofClass(), more: Partial<NonNullable<ClaimSpec["devices"]>> = {}): ResourceClaim {
  return { metadata: { name, namespace: "default" }, spec: { devices: { requests, ...more } } };
}

function aSlice(nodeName: string, devices: Devices, spec: Partial<SliceSpec> = {}): ResourceSlice {
  return { metadata: { name: `slice-${nodeName}-${spec.pool?.generation ?? 1}` }, spec: { driver: DRIVER, nodeName, pool: { name: nodeName, generation: 1, resourceSliceCount: 1 }, devices, ...spec } };
}

const gpus = (count: number, attributes: Devices[number]["attributes"] = {}): Devices => Array.from({ length: count }, (_unused, i) => ({ name: `gpu-${i}`, attributes }));
const using = (name: string, ...claims: string[]): Pod => aPod(name, { spec: { resourceClaims: claims.map((claim) => ({ name: claim, resourceClaimName: claim })) } });

function cluster(...nodes: string[]): ReturnType<typeof start> {
  const started = start();
  for (const name of nodes) started.api.put(NODE, aNode(name));
  started.api.put(CLASS, aClass());
  return started;
}

const claimOf = (api: FakeApi, name: string): ResourceClaim => api.for<ResourceClaim>(CLAIM).lister.get(`default/${name}`) as ResourceClaim;
const devicesOf = (api: FakeApi, name: string): string[] => (claimOf(api, name).status?.allocation?.devices?.results ?? []).map(({ pool, device }) => `${pool}/${device}`);
const whyWaiting = (api: FakeApi, name: string): string | undefined => api.pod(`default/${name}`).status?.conditions?.find((c) => c.type === "PodScheduled")?.message;

describe("a pod with a claim", () => {
  test("goes to the node with the device, which is allocated and reserved for it", async () => {
    const { api } = cluster("plain", "with-gpu");
    api.put(SLICE, aSlice("with-gpu", gpus(1)));
    api.put(CLAIM, aClaim("c"));
    api.put(POD, using("p", "c"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("with-gpu");
    const { metadata, status } = claimOf(api, "c");
    expect(metadata.finalizers).toEqual(["resource.kubernetes.io/delete-protection"]);
    expect(status?.reservedFor).toEqual([{ resource: "pods", name: "p", uid: "uid-default-p" }]);
    expect(status?.allocation?.devices?.results).toEqual([{ request: "gpu", driver: DRIVER, pool: "with-gpu", device: "gpu-0" }]);
    expect(status?.allocation?.nodeSelector).toEqual({ nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["with-gpu"] }] }] });
    expect(status?.allocation?.allocationTimestamp).toBe("2027-01-15T08:00:00Z");
  });

  test("waits until the claim is there, and for one being deleted", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(POD, using("p", "c"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBeUndefined();
    api.put(CLAIM, aClaim("c"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });

  test("waits for its class, and says so", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("c", ofClass({ deviceClassName: "tpu" })));
    api.put(POD, using("p", "c"));
    await settle();
    expect(whyWaiting(api, "p")).toBe("0/1 nodes are available: request gpu: device class tpu does not exist. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
    api.put(CLASS, aClass("tpu"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });

  test("is told when no node has what it asks for, and placed when a slice brings it", async () => {
    const { api } = cluster("a", "b");
    api.put(CLAIM, aClaim("c"));
    api.put(POD, using("p", "c"));
    await settle();
    expect(whyWaiting(api, "p")).toBe("0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.");
    api.put(SLICE, aSlice("b", gpus(1)));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("b");
  });

  test("does not get a device that another claim has, until that is given back", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("first"));
    api.put(CLAIM, aClaim("second"));
    api.put(POD, using("p1", "first"));
    api.put(POD, using("p2", "second"));
    await settle();
    expect(nodeOf(api.pod("default/p1"))).toBe("n");
    expect(nodeOf(api.pod("default/p2"))).toBeUndefined();
    api.put(CLAIM, { ...claimOf(api, "first"), status: {} });
    await settle();
    expect(nodeOf(api.pod("default/p2"))).toBe("n");
  });

  test("shares a claim with others, where the claim's device is", async () => {
    const { api } = cluster("a", "b");
    api.put(SLICE, aSlice("b", gpus(1)));
    api.put(CLAIM, aClaim("c"));
    for (const name of ["p1", "p2"]) {
      api.put(POD, using(name, "c"));
      await settle();
    }
    expect([nodeOf(api.pod("default/p1")), nodeOf(api.pod("default/p2"))]).toEqual(["b", "b"]);
    expect(claimOf(api, "c").status?.reservedFor?.map(({ name }) => name)).toEqual(["p1", "p2"]);
  });

  test("of a template waits until it knows which claim is its own", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    const spec = { resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "t" }] };
    api.put(POD, aPod("p", { spec }));
    const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: "uid-default-p", controller: true };
    api.put(CLAIM, { ...aClaim("made"), metadata: { name: "made", namespace: "default", ownerReferences: [owner] } });
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBeUndefined();
    api.put(POD, aPod("p", { spec, status: { phase: "Pending", resourceClaimStatuses: [{ name: "gpu", resourceClaimName: "made" }] } }));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });

  test("that is not bound after all gives the devices and the reservation back", async () => {
    const { api, clock } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("c"));
    api.bindError = new Error("no");
    api.put(POD, using("p", "c"));
    await settle();
    expect(claimOf(api, "c").status?.reservedFor).toEqual([]);
    await clock.advance(2_000);
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
    expect(claimOf(api, "c").status?.reservedFor?.length).toBe(1);
  });

  test("that could not write what was decided leaves the devices to those who wait for them", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(CLAIM, aClaim("first"));
    api.put(CLAIM, aClaim("second"));
    const { update } = api.client;
    let failures = 1;
    api.client.update = async (kind, object, options) => {
      await settle();
      if (failures-- > 0) throw new Error("disk full");
      return update(kind, object, options);
    };
    api.put(POD, using("p1", "first"));
    api.put(POD, using("p2", "second"));
    for (let turn = 0; turn < 5; turn++) await settle();
    expect(whyWaiting(api, "p1")).toBe('running PreBind plugin "DynamicResources": disk full');
    expect(nodeOf(api.pod("default/p2"))).toBe("n");
  });

  test("whose claim is allocated on a node it cannot use, and used by nobody, gets other devices", async () => {
    const { api, clock } = cluster("full", "free");
    for (const node of ["full", "free"]) api.put(SLICE, aSlice(node, gpus(1)));
    const nodeSelector = { nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["full"] }] }] };
    api.put(CLAIM, { ...aClaim("c"), status: { allocation: { devices: { results: [{ request: "gpu", driver: DRIVER, pool: "full", device: "gpu-0" }] }, nodeSelector } } });
    api.put(POD, aPod("p", { spec: { resourceClaims: [{ name: "c", resourceClaimName: "c" }], nodeSelector: { "kubernetes.io/hostname": "free" } } }));
    await settle();
    await clock.advance(5_000);
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("free");
    expect(devicesOf(api, "c")).toEqual(["free/gpu-0"]);
  });
});

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

describe("a pool", () => {
  test("of which slices are missing is not allocated from", async () => {
    const { api } = cluster("n");
    const pool = { name: "n", generation: 1, resourceSliceCount: 2 };
    api.put(SLICE, aSlice("n", gpus(1), { pool }));
    api.put(CLAIM, aClaim("c"));
    api.put(POD, using("p", "c"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBeUndefined();
    api.put(SLICE, { metadata: { name: "rest" }, spec: { driver: DRIVER, nodeName: "n", pool, devices: [{ name: "other" }] } });
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });

  test("counts in its newest generation", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(1)));
    api.put(SLICE, aSlice("n", [{ name: "new" }], { pool: { name: "n", generation: 2, resourceSliceCount: 1 } }));
    api.put(CLAIM, aClaim("c"));
    api.put(POD, using("p", "c"));
    await settle();
    expect(devicesOf(api, "c")).toEqual(["n/new"]);
  });

  test("that names a device twice is not allocated from, which is said", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", [{ name: "twin" }, { name: "twin" }]));
    api.put(CLAIM, aClaim("c"));
    api.put(POD, using("p", "c"));
    await settle();
    expect(whyWaiting(api, "p")).toStartWith("0/1 nodes are available: 1 invalid resource pools were encountered. still not schedulable,");
  });

  test("for nodes of a kind binds the claim to those nodes", async () => {
    const { api } = start();
    api.put(CLASS, aClass());
    api.put(NODE, aNode("here", { labels: { rack: "1" } }));
    api.put(NODE, aNode("there"));
    const nodeSelector = { nodeSelectorTerms: [{ matchExpressions: [{ key: "rack", operator: "In", values: ["1"] }] }] };
    api.put(SLICE, { metadata: { name: "rack" }, spec: { driver: DRIVER, pool: { name: "rack", generation: 1, resourceSliceCount: 1 }, nodeSelector, devices: gpus(1) } });
    api.put(CLAIM, aClaim("c"));
    api.put(POD, using("p", "c"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("here");
    expect(claimOf(api, "c").status?.allocation?.nodeSelector).toEqual(nodeSelector);
  });
});

describe("devices that must be made ready", () => {
  const readying = [{ name: "fabric", bindingConditions: ["Attached"], bindingFailureConditions: ["Failed"] }];
  const said = (type: string): NonNullable<ResourceClaim["status"]> => ({
    devices: [{ driver: DRIVER, pool: "n", device: "fabric", conditions: [{ type, status: "True", reason: "Because", message: "so", lastTransitionTime: "2027-01-15T08:00:00Z" }] }],
  });

  async function pending(): Promise<ReturnType<typeof start>> {
    const started = cluster("n");
    started.api.put(SLICE, aSlice("n", readying));
    started.api.put(CLAIM, aClaim("c"));
    started.api.put(POD, using("p", "c"));
    await settle();
    return started;
  }

  test("keep the pod until they are", async () => {
    const { api, events, scheduler } = await pending();
    expect(nodeOf(api.pod("default/p"))).toBeUndefined();
    expect(api.pod("default/p").status?.nominatedNodeName).toBe("n");
    expect(events).toContainEqual({ object: "p", reason: "BindingConditionsPending", message: "waiting for binding conditions for device on node n" });
    const claim = claimOf(api, "c");
    api.put(CLAIM, { ...claim, status: { ...claim.status, ...said("Attached") } });
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
    expect(scheduler.metrics()).toMatch(/scheduler_dra_bindingconditions_allocations_total\{driver="[^"]+",profile="default-scheduler",status="success"\} 1\n/);
  });

  test("are given back when they cannot be", async () => {
    const { api, scheduler } = await pending();
    const claim = claimOf(api, "c");
    api.put(CLAIM, { ...claim, status: { ...claim.status, ...said("Failed") } });
    await settle();
    expect(whyWaiting(api, "p")).toBe(`running PreBind plugin "DynamicResources": device binding failed: claim=c, reason=Because, message="so"`);
    expect(claimOf(api, "c").status?.reservedFor).toEqual([]);
    expect(scheduler.metrics()).toMatch(/scheduler_dra_bindingconditions_wait_duration_seconds_count\{driver="[^"]+",profile="default-scheduler",status="failure"\} 1\n/);
  });
});

describe("a resource that stands for devices", () => {
  const asking = (resource: string): Pod => aPod("p", { extra: { [resource]: "2" } });

  test("is met with a claim made for the pod", async () => {
    const { api, scheduler } = cluster("plain", "n");
    api.put(CLASS, aClass("gpu", { extendedResourceName: "example.com/gpu" }));
    api.put(SLICE, aSlice("n", gpus(3)));
    api.put(POD, asking("example.com/gpu"));
    await settle();
    const pod = api.pod("default/p");
    expect(nodeOf(pod)).toBe("n");
    const { resourceClaimName = "", requestMappings } = pod.status?.extendedResourceClaimStatus ?? {};
    expect(requestMappings).toEqual([{ containerName: "main", resourceName: "example.com/gpu", requestName: "container-0-request-0" }]);
    expect(devicesOf(api, resourceClaimName)).toEqual(["n/gpu-0", "n/gpu-1"]);
    const { metadata, status } = claimOf(api, resourceClaimName);
    expect(metadata.annotations).toEqual({ "resource.kubernetes.io/extended-resource-claim": "true" });
    expect(status?.reservedFor?.[0]?.name).toBe("p");
    expect(scheduler.metrics()).toContain('scheduler_resourceclaim_creates_total{status="success"} 1\n');
  });

  test("is called after its class, too", async () => {
    const { api } = cluster("n");
    api.put(SLICE, aSlice("n", gpus(2)));
    api.put(POD, asking("deviceclass.resource.kubernetes.io/gpu"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });

  test("is the node's own where a node offers it", async () => {
    const { api } = start();
    api.put(CLASS, aClass("gpu", { extendedResourceName: "example.com/gpu" }));
    api.put(NODE, aNode("n", { extra: { "example.com/gpu": "2" } }));
    api.put(POD, asking("example.com/gpu"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
    expect(api.for(CLAIM).lister.list()).toEqual([]);
  });

  test("that no class stands for any more is lacking", async () => {
    const { api } = cluster("n");
    api.put(POD, asking("example.com/gpu"));
    await settle();
    expect(whyWaiting(api, "p")).toContain("1 Insufficient example.com/gpu");
    api.put(SLICE, aSlice("n", gpus(2)));
    api.put(CLASS, aClass("gpu", { extendedResourceName: "example.com/gpu" }));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe("n");
  });
});

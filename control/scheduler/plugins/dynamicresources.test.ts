import { describe, expect, test } from "bun:test";
import type { Pod, ResourceClaim } from "../../../api/types.ts";
import { readSchedulerConfig } from "../configfile.ts";
import { aNode, aPod, NODE, POD } from "../fakes.ts";
import { nodeOf, settle, start } from "../harness.ts";
import { aClaim, aClass, aSlice, CLAIM, claimOf, CLASS, cluster, devicesOf, DRIVER, gpus, ofClass, SLICE, using, whyWaiting } from "./dynamicresources.suite.ts";

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

  test.each([["LeastAllocated", "empty"], ["MostAllocated", "half"]])("is scored by how many of a node's devices are taken: %s", async (strategy, wanted) => {
    const config = readSchedulerConfig(`apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: ${strategy}, resources: [{name: example.com/gpu, weight: 1}]}}}]}]\n`);
    const { api } = start({ config });
    api.put(CLASS, aClass("gpu", { extendedResourceName: "example.com/gpu" }));
    for (const name of ["empty", "half", "other"]) {
      api.put(NODE, aNode(name));
      if (name !== "other") api.put(SLICE, aSlice(name, gpus(4)));
    }
    const { status, ...claim } = aClaim("held", ofClass({ count: 2 }));
    api.put(CLAIM, { ...claim, status: { ...status, allocation: { devices: { results: ["gpu-0", "gpu-1"].map((device) => ({ request: "gpu", driver: DRIVER, pool: "half", device })) } } } });
    api.put(POD, asking("example.com/gpu"));
    await settle();
    expect(nodeOf(api.pod("default/p"))).toBe(wanted);
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

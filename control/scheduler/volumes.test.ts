import { describe, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { AnyObject, PersistentVolumeClaim, Pod } from "../../api/types.ts";
import { aNode, aPod, NODE, POD, type FakeApi } from "./fakes.ts";
import { nodeOf, settle, start } from "./harness.ts";

const PVC = builtinKind("", "v1", "PersistentVolumeClaim");
const PV = builtinKind("", "v1", "PersistentVolume");
const storage = (kind: string) => builtinKind("storage.k8s.io", "v1", kind);
const message = (pod: Pod): string => pod.status?.conditions?.find((c) => c.type === "PodScheduled")?.message ?? "";
const reasonOf = (pod: Pod): string => message(pod).replace(/^0\/\d+ nodes are available: /, "").replace(/ no new claims.*$/, "");

function aClaim(api: FakeApi, name: string, options: { volume?: string; className?: string; modes?: string[]; size?: string; annotations?: Record<string, string>; extra?: Partial<AnyObject> } = {}): void {
  const { volume, className = "late", modes = ["ReadWriteOnce"], size = "1Gi", annotations = {}, extra } = options;
  const isBound = volume !== undefined;
  api.put(PVC, {
    metadata: { name, namespace: "default", annotations: { ...annotations, ...(isBound && { "pv.kubernetes.io/bind-completed": "yes" }) } },
    spec: { storageClassName: className, accessModes: modes, resources: { requests: { storage: size } }, ...(isBound && { volumeName: volume }) },
    status: { phase: isBound ? "Bound" : "Pending" }, ...extra,
  } as never);
}

function aVolume(api: FakeApi, name: string, options: { node?: string; className?: string; size?: string; spec?: object; labels?: Record<string, string> } = {}): void {
  const { node, className = "late", size = "1Gi", spec, labels = {} } = options;
  const nodeAffinity = node && { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }] }] } };
  api.put(PV, { metadata: { name, labels }, spec: { storageClassName: className, accessModes: ["ReadWriteOnce"], capacity: { storage: size }, ...(nodeAffinity && { nodeAffinity }), ...spec }, status: { phase: "Available" } } as never);
}

const aClass = (api: FakeApi, name = "late", extra: object = {}): void => void api.put(storage("StorageClass"), { metadata: { name }, provisioner: "kubernetes.io/no-provisioner", volumeBindingMode: "WaitForFirstConsumer", ...extra } as never);
const withClaims = (name: string, ...claims: string[]): Pod => aPod(name, { spec: { volumes: claims.map((claimName, i) => ({ name: `v${i}`, persistentVolumeClaim: { claimName } })) } });
const nodes = (api: FakeApi, ...names: string[]): void => {
  for (const name of names) api.put(NODE, aNode(name, { labels: { "topology.kubernetes.io/zone": `zone-${name}` } }));
};

/** What the volume controller does once a volume names a claim, or a claim names a node. */
function finishBinding(api: FakeApi, claim: string, volume: string): void {
  const { metadata, spec, status } = (api.for<PersistentVolumeClaim>(PVC).lister.get(`default/${claim}`) as unknown) as AnyObject;
  api.put(PVC, { metadata: { ...metadata, annotations: { ...metadata.annotations, "pv.kubernetes.io/bind-completed": "yes" } }, spec: { ...spec, volumeName: volume }, status: { ...status, phase: "Bound" } } as never);
}

describe("volumes that exist", () => {
  test("draw the pod to where they are", async () => {
    const { api } = start();
    nodes(api, "a", "b", "c");
    aVolume(api, "disk", { node: "b" });
    aClaim(api, "data", { volume: "disk" });
    api.put(POD, withClaims("db", "data"));
    await settle();
    expect(nodeOf(api.pod("default/db"))).toBe("b");
  });

  test.each<[string, (api: FakeApi) => void, string]>([
    ["a claim that is not there", () => {}, 'persistentvolumeclaim "data" not found.'],
    ["a claim nobody bound yet", (api) => {
      aClass(api, "now", { volumeBindingMode: "Immediate" });
      aClaim(api, "data", { className: "now" });
    }, "pod has unbound immediate PersistentVolumeClaims."],
    ["a claim that lost its volume", (api) => aClaim(api, "data", { volume: "gone", extra: { status: { phase: "Lost" } } }), 'persistentvolumeclaim "data" bound to non-existent persistentvolume "gone".'],
    ["a volume somewhere else", (api) => {
      aVolume(api, "disk", { node: "elsewhere" });
      aClaim(api, "data", { volume: "disk" });
    }, "1 node(s) didn't match PersistentVolume's node affinity."],
    ["a volume that is not there", (api) => aClaim(api, "data", { volume: "gone" }), 'persistentvolume "gone" not found.'],
    ["no volume to bind", (api) => {
      aClass(api);
      aClaim(api, "data");
    }, "1 node(s) didn't find available persistent volumes to bind."],
    ["a volume of another zone", (api) => {
      aVolume(api, "disk", { labels: { "topology.kubernetes.io/zone": "mars" } });
      aClaim(api, "data", { volume: "disk" });
    }, "1 node(s) had no available volume zone."],
    ["a node that can attach no more", (api) => {
      aVolume(api, "disk", { spec: { csi: { driver: "csi.example.com", volumeHandle: "h1" } } });
      aVolume(api, "other", { spec: { csi: { driver: "csi.example.com", volumeHandle: "h2" } } });
      aClaim(api, "data", { volume: "disk" });
      aClaim(api, "used", { volume: "other" });
      api.put(storage("CSINode"), { metadata: { name: "a" }, spec: { drivers: [{ name: "csi.example.com", nodeID: "a", allocatable: { count: 1 } }] } } as never);
      api.put(POD, { ...withClaims("there", "used"), spec: { ...withClaims("there", "used").spec, nodeName: "a" } } as Pod);
    }, "1 node(s) exceed max volume count."],
    ["a claim for one pod that has it", (api) => {
      aVolume(api, "disk");
      aClaim(api, "data", { volume: "disk", modes: ["ReadWriteOncePod"] });
      api.put(POD, { ...withClaims("there", "data"), spec: { ...withClaims("there", "data").spec, nodeName: "a" } } as Pod);
    }, "1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod."],
  ])("%s keeps the pod waiting and is named", async (_what, fill, reason) => {
    const { api } = start();
    nodes(api, "a");
    fill(api);
    api.put(POD, withClaims("db", "data"));
    await settle();
    expect(nodeOf(api.pod("default/db"))).toBeUndefined();
    expect(reasonOf(api.pod("default/db"))).toBe(reason);
  });

  test("a claim that appears lets the pod in", async () => {
    const { api } = start();
    nodes(api, "a");
    api.put(POD, withClaims("db", "data"));
    await settle();
    aVolume(api, "disk");
    aClaim(api, "data", { volume: "disk" });
    await settle();
    expect(nodeOf(api.pod("default/db"))).toBe("a");
  });
});

describe("volumes that are bound with the pod", () => {
  test("the smallest that is enough is taken, and the pod waits until it is bound", async () => {
    const { api } = start();
    nodes(api, "a", "b");
    aClass(api);
    aVolume(api, "large", { node: "b", size: "10Gi" });
    aVolume(api, "small", { node: "b", size: "2Gi" });
    aVolume(api, "tiny", { node: "a", size: "500Mi" });
    aClaim(api, "data");
    api.put(POD, withClaims("db", "data"));
    await settle();
    const bound = api.for(PV).lister.get("small") as unknown as AnyObject;
    expect(bound.spec.claimRef).toMatchObject({ kind: "PersistentVolumeClaim", namespace: "default", name: "data", uid: "uid-default-data" });
    expect(bound.metadata.annotations).toEqual({ "pv.kubernetes.io/bound-by-controller": "yes" });
    expect(nodeOf(api.pod("default/db"))).toBeUndefined();
    finishBinding(api, "data", "small");
    await settle();
    expect(nodeOf(api.pod("default/db"))).toBe("b");
  });

  test("two pods never get the same volume", async () => {
    const { api } = start();
    nodes(api, "a");
    aClass(api);
    aVolume(api, "only", { node: "a" });
    for (const name of ["one", "two"]) aClaim(api, name);
    for (const name of ["one", "two"]) api.put(POD, withClaims(name, name));
    await settle();
    const owner = (api.for(PV).lister.get("only") as unknown as AnyObject).spec.claimRef.name;
    const other = owner === "one" ? "two" : "one";
    expect(reasonOf(api.pod(`default/${other}`))).toBe("1 node(s) didn't find available persistent volumes to bind.");
  });

  test("where none exists one is made near the chosen node", async () => {
    const { api } = start();
    nodes(api, "a", "b");
    aClass(api, "late", { provisioner: "csi.example.com", allowedTopologies: [{ matchLabelExpressions: [{ key: "topology.kubernetes.io/zone", values: ["zone-b"] }] }] });
    aClaim(api, "data");
    api.put(POD, withClaims("db", "data"));
    await settle();
    const claim = () => api.for(PVC).lister.get("default/data") as unknown as AnyObject;
    expect(claim().metadata.annotations).toEqual({ "volume.kubernetes.io/selected-node": "b" });
    aVolume(api, "made", { node: "b" });
    finishBinding(api, "data", "made");
    await settle();
    expect(nodeOf(api.pod("default/db"))).toBe("b");
  });

  test("a driver without room on any node is named, and room that appears helps", async () => {
    const { api } = start();
    nodes(api, "a");
    aClass(api, "late", { provisioner: "csi.example.com" });
    api.put(storage("CSIDriver"), { metadata: { name: "csi.example.com" }, spec: { storageCapacity: true } } as never);
    aClaim(api, "data");
    api.put(POD, withClaims("db", "data"));
    await settle();
    expect(reasonOf(api.pod("default/db"))).toBe("1 node(s) did not have enough free storage.");
    api.put(storage("CSIStorageCapacity"), { metadata: { name: "c", namespace: "default" }, storageClassName: "late", capacity: "5Gi", nodeTopology: { matchLabels: { "topology.kubernetes.io/zone": "zone-a" } } } as never);
    await settle();
    expect((api.for(PVC).lister.get("default/data") as unknown as AnyObject).metadata.annotations).toEqual({ "volume.kubernetes.io/selected-node": "a" });
  });

  test("a provisioner that gives up sends the pod back, and its room is free again", async () => {
    const { api, events } = start();
    nodes(api, "a");
    aClass(api, "late", { provisioner: "csi.example.com" });
    aClaim(api, "data");
    api.put(POD, withClaims("db", "data"));
    await settle();
    aClaim(api, "data");
    await settle();
    expect(events.find((e) => e.reason === "FailedScheduling")?.message).toBe('running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"');
    expect(nodeOf(api.pod("default/db"))).toBeUndefined();
  });

  test("binding that takes too long is given up", async () => {
    const { api, clock, events } = start();
    nodes(api, "a");
    aClass(api);
    aVolume(api, "disk", { node: "a" });
    aClaim(api, "data");
    api.put(POD, withClaims("db", "data"));
    await settle();
    await clock.advance(600_001);
    await settle();
    expect(events.find((e) => e.reason === "FailedScheduling")?.message).toBe('running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded');
  });
});

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, ConfigMap, Deployment, Namespace, Pod, PodDisruptionBudget } from "../../../api/types.ts";
import { FakeClock } from "../../../lib/clock.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { call, startTestServer, type TestServer } from "../testing.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const DEPLOYMENT = builtinKind("apps", "v1", "Deployment");
const NAMESPACE = builtinKind("", "v1", "Namespace");
const POD = builtinKind("", "v1", "Pod");
const BUDGET = builtinKind("policy", "v1", "PodDisruptionBudget");
const MAPS = "/api/v1/namespaces/default/configmaps";
const PODS = "/api/v1/namespaces/default/pods";
const START = Date.parse("2026-01-01T00:00:00Z");

const STRATEGIES: Record<string, Partial<Strategy>> = {
  Pod: { gracePeriodSeconds: (pod, requested) => (pod["spec"].nodeName ? (requested ?? pod["spec"].terminationGracePeriodSeconds ?? 30) : 0) },
  Job: { defaultPropagation: "Orphan" },
  Deployment: { scale: { replicas: (o) => o["spec"].replicas ?? 0, statusReplicas: (o) => o["status"]?.replicas ?? 0, selector: () => "a=b", setReplicas: (o, n) => void (o["spec"].replicas = n) } },
};

let server: TestServer;
let clock: FakeClock;
const released: string[] = [];

beforeEach(async () => {
  clock = new FakeClock(START);
  released.length = 0;
  const release = (object: AnyObject): Promise<void> => Promise.resolve(void released.push(object.metadata.name as string));
  server = await startTestServer({ http: true, clock, strategies: { for: ({ group, kind }) => ({ group, kind, release, ...STRATEGIES[kind] }) } });
});
afterEach(() => server.stop());

const aMap = (name: string, metadata: Partial<AnyObject["metadata"]> = {}): ConfigMap => ({ metadata: { name, namespace: "default", ...metadata } });
const aPod = (name: string, spec: object = { nodeName: "n1" }, labels?: Record<string, string>): Pod => ({ metadata: { name, namespace: "default", ...(labels && { labels }) }, spec: { containers: [{ name: "c", image: "i" }], ...spec } });
const getPod = (name: string): Promise<Pod> => server.client.get<Pod>(POD, { name, namespace: "default" });

describe("delete", () => {
  test("answers a Status that names what is gone, and releases what it held", async () => {
    const { metadata } = await server.client.create(CONFIG_MAP, aMap("x"));
    const reply = await call(server, "DELETE", `${MAPS}/x`);
    expect(reply).toMatchObject({ status: 200, body: { kind: "Status", status: "Success", details: { name: "x", kind: "configmaps", uid: metadata.uid } } });
    expect(released).toEqual(["x"]);
    expect((await call(server, "DELETE", `${MAPS}/x`)).body).toMatchObject({ code: 404, message: 'configmaps "x" not found' });
  });

  test("some kinds answer the object itself, as they do upstream", async () => {
    await server.client.create<AnyObject>(builtinKind("", "v1", "Service"), { metadata: { name: "s", namespace: "default" } });
    expect((await call(server, "DELETE", "/api/v1/namespaces/default/services/s")).body).toMatchObject({ kind: "Service", metadata: { name: "s" } });
  });

  test("preconditions on uid and version hold or refuse", async () => {
    const { metadata } = await server.client.create(CONFIG_MAP, aMap("x"));
    const attempt = (preconditions: object): ReturnType<typeof call> => call(server, "DELETE", `${MAPS}/x`, { body: { kind: "DeleteOptions", apiVersion: "v1", preconditions } });
    expect((await attempt({ uid: "other" })).body).toMatchObject({ code: 409, message: `Operation cannot be fulfilled on ConfigMap "x": the UID in the precondition (other) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated` });
    expect((await attempt({ resourceVersion: "99" })).body["message"]).toContain("the ResourceVersion in the precondition (99) does not match the ResourceVersion in record (1). The object might have been modified");
    const all = await call(server, "DELETE", MAPS, { body: { kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid: "other" } } });
    expect(all.body).toMatchObject({ code: 409, details: { name: "x", kind: "ConfigMap" } });
    expect((await attempt({ uid: metadata.uid, resourceVersion: "1" })).status).toBe(200);
  });

  test("of namespaces preconditions are refused in other words", async () => {
    const { metadata } = await server.client.create<AnyObject>(builtinKind("", "v1", "Namespace"), { metadata: { name: "guarded" } });
    const { body } = await call(server, "DELETE", "/api/v1/namespaces/guarded", { body: { kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid: "other" } } });
    expect(body).toMatchObject({ code: 409, message: `Operation cannot be fulfilled on namespaces "guarded": Precondition failed: UID in precondition: other, UID in object meta: ${metadata.uid}` });
  });

  test("with finalizers it is only marked; taking the last one away completes it", async () => {
    await server.client.create(CONFIG_MAP, aMap("x", { finalizers: ["a.io/one", "a.io/two"] }));
    const { body: marked } = await call(server, "DELETE", `${MAPS}/x`);
    expect(marked.metadata).toMatchObject({ deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0, finalizers: ["a.io/one", "a.io/two"] });
    expect((await call(server, "DELETE", `${MAPS}/x`)).body.metadata.resourceVersion).toBe(marked.metadata.resourceVersion as string);
    expect((await call(server, "PUT", `${MAPS}/x`, { body: aMap("x", { finalizers: ["a.io/one", "a.io/new"] }) })).body["message"]).toContain("no new finalizers can be added if the object is being deleted");
    expect((await call(server, "PUT", `${MAPS}/x`, { body: aMap("x", { finalizers: ["a.io/one"] }) })).status).toBe(200);
    expect((await call(server, "GET", `${MAPS}/x`)).status).toBe(200);
    expect((await call(server, "PATCH", `${MAPS}/x`, { body: { metadata: { finalizers: null } }, headers: { "content-type": "application/merge-patch+json" } })).status).toBe(200);
    expect((await call(server, "GET", `${MAPS}/x`)).status).toBe(404);
    expect(released).toEqual(["x"]);
  });

  test.each([
    [{ propagationPolicy: "Foreground" }, ["a.io/own", "foregroundDeletion"]],
    [{ propagationPolicy: "Orphan" }, ["a.io/own", "orphan"]],
    [{ orphanDependents: true }, ["a.io/own", "orphan"]],
    [{ propagationPolicy: "Background" }, ["a.io/own"]],
  ])("propagation %p leaves finalizers %p", async (options, finalizers) => {
    await server.client.create(CONFIG_MAP, aMap("x", { finalizers: ["a.io/own"] }));
    expect((await call(server, "DELETE", `${MAPS}/x`, { body: options })).body.metadata.finalizers).toEqual(finalizers);
  });

  test("foreground without other finalizers waits for the collector, by query as well", async () => {
    await server.client.create(CONFIG_MAP, aMap("x"));
    expect((await call(server, "DELETE", `${MAPS}/x?propagationPolicy=Foreground`)).body.metadata.finalizers).toEqual(["foregroundDeletion"]);
  });

  test("a kind may orphan by default", async () => {
    await server.client.create<AnyObject>(builtinKind("batch", "v1", "Job"), { metadata: { name: "j", namespace: "default" } });
    expect((await call(server, "DELETE", "/apis/batch/v1/namespaces/default/jobs/j")).body.metadata.finalizers).toEqual(["orphan"]);
  });

  test("contradicting or unknown options are refused", async () => {
    await server.client.create(CONFIG_MAP, aMap("x"));
    expect((await call(server, "DELETE", `${MAPS}/x`, { body: { propagationPolicy: "Sideways" } })).body).toMatchObject({ code: 422, message: 'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"' });
    expect((await call(server, "DELETE", `${MAPS}/x`, { body: { propagationPolicy: "Orphan", orphanDependents: true } })).status).toBe(422);
    expect((await call(server, "DELETE", `${MAPS}/x?dryRun=All`)).status).toBe(200);
    expect((await call(server, "GET", `${MAPS}/x`)).status).toBe(200);
  });
});

describe("graceful deletion", () => {
  test("a running pod gets its grace, and goes when the node says so", async () => {
    await server.client.create(POD, aPod("p"));
    const { body } = await call(server, "DELETE", `${PODS}/p`);
    expect(body.metadata).toMatchObject({ deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30, generation: 2 });
    await server.client.delete(POD, { name: "p", namespace: "default" }, { gracePeriodSeconds: 0 });
    expect((await call(server, "GET", `${PODS}/p`)).status).toBe(404);
  });

  test("a second delete may shorten the grace, never lengthen it", async () => {
    await server.client.create(POD, aPod("p"));
    await call(server, "DELETE", `${PODS}/p`);
    await clock.advance(5_000);
    await call(server, "DELETE", `${PODS}/p?gracePeriodSeconds=60`);
    expect((await getPod("p")).metadata).toMatchObject({ deletionGracePeriodSeconds: 30 });
    await call(server, "DELETE", `${PODS}/p?gracePeriodSeconds=10`);
    expect((await getPod("p")).metadata).toMatchObject({ deletionGracePeriodSeconds: 10, deletionTimestamp: "2026-01-01T00:00:10Z" });
    await call(server, "DELETE", `${PODS}/p?gracePeriodSeconds=2`);
    expect((await getPod("p")).metadata).toMatchObject({ deletionGracePeriodSeconds: 1, deletionTimestamp: "2026-01-01T00:00:06Z" });
  });

  test("a pod on no node goes at once; with a finalizer it waits for that", async () => {
    await server.client.create(POD, aPod("p", {}));
    expect((await call(server, "DELETE", `${PODS}/p`)).status).toBe(200);
    expect((await call(server, "GET", `${PODS}/p`)).status).toBe(404);
    const withFinalizer = aPod("q", {});
    await server.client.create(POD, { ...withFinalizer, metadata: { ...withFinalizer.metadata, finalizers: ["a.io/x"] } });
    expect((await call(server, "DELETE", `${PODS}/q`)).body.metadata).toMatchObject({ deletionGracePeriodSeconds: 0, finalizers: ["a.io/x"] });
  });

  test("removing the last finalizer does not end a grace that still runs", async () => {
    const pod = aPod("p");
    await server.client.create(POD, { ...pod, metadata: { ...pod.metadata, finalizers: ["a.io/x"] } });
    await call(server, "DELETE", `${PODS}/p`);
    const { finalizers: _, ...metadata } = (await getPod("p")).metadata;
    await server.client.update(POD, { ...(await getPod("p")), metadata });
    expect((await getPod("p")).metadata).toMatchObject({ deletionGracePeriodSeconds: 30 });
  });
});

describe("namespaces", () => {
  test("a namespace terminates until its own finalizers are done, then goes", async () => {
    await server.client.create<Namespace>(NAMESPACE, { metadata: { name: "n" }, spec: { finalizers: ["kubernetes"] } });
    const { body } = await call(server, "DELETE", "/api/v1/namespaces/n");
    expect(body).toMatchObject({ kind: "Namespace", status: { phase: "Terminating" }, metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } });
    const reply = await call(server, "PUT", "/api/v1/namespaces/n/finalize", { body: { metadata: { name: "n" }, spec: { finalizers: [] } } });
    expect(reply.status).toBe(200);
    expect((await call(server, "GET", "/api/v1/namespaces/n")).status).toBe(404);
  });
});

describe("collections", () => {
  test("only what is selected goes, and it is what is answered", async () => {
    for (const [name, app] of [["a", "x"], ["b", "y"], ["c", "x"]] as const) await server.client.create(CONFIG_MAP, aMap(name, { labels: { app } }));
    const { body } = await call(server, "DELETE", `${MAPS}?labelSelector=app=x`);
    expect([body.kind, body["items"].map((item: AnyObject) => item.metadata.name)]).toEqual(["ConfigMapList", ["a", "c"]]);
    expect((await call(server, "GET", MAPS)).body["items"].map((item: AnyObject) => item.metadata.name)).toEqual(["b"]);
  });

  test("pods get their grace there too", async () => {
    await server.client.create(POD, aPod("p"));
    await call(server, "DELETE", PODS);
    expect((await getPod("p")).metadata.deletionGracePeriodSeconds).toBe(30);
  });
});

describe("eviction", () => {
  const evict = (name: string, body: object = {}): ReturnType<typeof call> => call(server, "POST", `${PODS}/${name}/eviction`, { body: { kind: "Eviction", apiVersion: "policy/v1", metadata: { name }, ...body } });
  const aRunningPod = async (name: string, ready = "True"): Promise<void> => {
    const pod = await server.client.create(POD, aPod(name, { nodeName: "n1" }, { app: "web" }));
    await server.client.update<Pod>(POD, { ...pod, status: { phase: "Running", conditions: [{ type: "Ready", status: ready }] } }, { subresource: "status" });
  };
  const aBudget = async (disruptionsAllowed: number): Promise<void> => {
    const budget = await server.client.create<PodDisruptionBudget>(BUDGET, { metadata: { name: "b", namespace: "default" }, spec: { selector: { matchLabels: { app: "web" } } } });
    await server.client.update<PodDisruptionBudget>(BUDGET, { ...budget, status: { disruptionsAllowed, desiredHealthy: 1, currentHealthy: 1 + disruptionsAllowed, expectedPods: 2, observedGeneration: 1 } }, { subresource: "status" });
  };

  test("names the pod it is asked of, or nothing happens", async () => {
    await aRunningPod("p");
    const reply = await evict("p", { metadata: { name: "q" } });
    expect(reply.body).toMatchObject({ code: 400, message: "name in URL does not match name in Eviction object" });
    expect(await server.client.get(POD, { namespace: "default", name: "p" })).toBeDefined();
  });

  test("takes from the budget until there is nothing left, then says when to try again", async () => {
    await aBudget(1);
    await aRunningPod("p");
    await aRunningPod("q");
    expect(await evict("p")).toMatchObject({ status: 201, body: { status: "Success" } });
    expect((await getPod("p")).metadata.deletionTimestamp).toBeDefined();
    expect((await server.client.get<PodDisruptionBudget>(BUDGET, { name: "b", namespace: "default" })).status).toMatchObject({ disruptionsAllowed: 0, disruptedPods: { p: "2026-01-01T00:00:00Z" } });
    expect((await evict("q")).body).toMatchObject({ code: 429, reason: "TooManyRequests", message: "Cannot evict pod as it would violate the pod's disruption budget.", details: { causes: [{ reason: "DisruptionBudget", message: "The disruption budget b needs 1 healthy pods and has 2 currently" }] } });
    expect((await getPod("q")).metadata.deletionTimestamp).toBeUndefined();
  });

  test("says of a pod that ended, too, why it goes, when something holds it; and nothing when it is only tried", async () => {
    const pod = await server.client.create(POD, { ...aPod("held", { nodeName: "n1" }), metadata: { name: "held", namespace: "default", finalizers: ["example.com/hold"] } });
    await server.client.update<Pod>(POD, { ...pod, status: { phase: "Succeeded" } }, { subresource: "status" });
    const told = async (): Promise<unknown> => (await getPod("held")).status?.conditions?.map(({ type, reason }) => [type, reason]);
    await evict("held", { deleteOptions: { dryRun: ["All"] } });
    expect(await told()).toBeUndefined();
    await evict("held");
    expect(await told()).toEqual([["DisruptionTarget", "EvictionByEvictionAPI"]]);
  });

  test("older clients use v1beta1; options of the delete inside are honoured; a missing pod is not found", async () => {
    await aRunningPod("p");
    expect((await evict("p", { apiVersion: "policy/v1beta1", deleteOptions: { gracePeriodSeconds: 5 } })).status).toBe(201);
    expect((await getPod("p")).metadata.deletionGracePeriodSeconds).toBe(5);
    expect((await evict("gone")).status).toBe(404);
  });

  test("a pod that serves nobody does not cost a disruption while the application is healthy", async () => {
    await aBudget(0);
    await aRunningPod("p", "False");
    expect((await evict("p")).status).toBe(201);
  });
});

describe("scale", () => {
  const SCALE = "/apis/apps/v1/namespaces/default/deployments/d/scale";
  beforeEach(async () => void (await server.client.create<Deployment>(DEPLOYMENT, { metadata: { name: "d", namespace: "default" }, spec: { replicas: 2, selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } } } })));

  test("shows and changes the number of replicas only", async () => {
    expect((await call(server, "GET", SCALE)).body).toMatchObject({ kind: "Scale", apiVersion: "autoscaling/v1", metadata: { name: "d" }, spec: { replicas: 2 }, status: { replicas: 0, selector: "a=b" } });
    expect((await call(server, "PUT", SCALE, { body: { metadata: { name: "d" }, spec: { replicas: 5 } } })).body["spec"]).toEqual({ replicas: 5 });
    expect((await call(server, "PATCH", SCALE, { body: { spec: { replicas: 3 } }, headers: { "content-type": "application/merge-patch+json" } })).body["spec"]).toEqual({ replicas: 3 });
    const { spec, metadata } = await server.client.get<Deployment>(DEPLOYMENT, { name: "d", namespace: "default" });
    expect([spec?.replicas, metadata.generation]).toEqual([3, 3]);
  });

  test("a stale version, a negative number and what is no Scale are refused", async () => {
    expect((await call(server, "PATCH", SCALE, { body: { metadata: "x" }, headers: { "content-type": "application/merge-patch+json" } })).status).toBe(400);
    expect((await call(server, "PUT", SCALE, { body: { metadata: { name: "d", resourceVersion: "999" }, spec: { replicas: 5 } } })).status).toBe(409);
    expect((await call(server, "PUT", SCALE, { body: { metadata: { name: "d" }, spec: { replicas: -1 } } })).body["message"]).toContain("spec.replicas: Invalid value: -1: must be greater than or equal to 0");
  });
});

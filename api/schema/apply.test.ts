import { describe, expect, test } from "bun:test";
import { ApiError } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import type { AnyObject } from "../types.ts";
import { SchemaEngine } from "./engine.ts";

const engine = new SchemaEngine();
const deployments = builtinKind("apps", "v1", "Deployment");
const configMaps = builtinKind("", "v1", "ConfigMap");
const services = builtinKind("", "v1", "Service");
const pods = builtinKind("", "v1", "Pod");
const T1 = "2026-01-01T00:00:01Z";
const T2 = "2026-01-01T00:00:02Z";

const aDeployment = (spec: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}): AnyObject => ({
  apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web", namespace: "default", ...metadata },
  spec: { replicas: 3, selector: { matchLabels: { app: "web" } }, template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "nginx", image: "nginx:1" }] } }, ...spec },
}) as AnyObject;
const aConfigMap = (data: Record<string, string>): AnyObject => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "default" }, data }) as AnyObject;

/** Stores what a write leads to, as the server would. */
const settled = (kind: any, object: AnyObject): AnyObject => {
  const decoded = engine.decode(kind, object).object;
  engine.applyDefaults(kind, decoded);
  return decoded;
};
const create = (kind: any, object: AnyObject, manager = "kubectl-create", now = T1): AnyObject => {
  const updated = settled(kind, object);
  const managedFields = engine.trackUpdate({ kind, live: undefined, updated, manager, subresource: "", now });
  return { ...updated, metadata: { ...updated.metadata, uid: "u", ...(managedFields && { managedFields }) } };
};
const update = (kind: any, live: AnyObject, change: (object: AnyObject) => void, options: { manager?: string; subresource?: string; now?: string } = {}): AnyObject => {
  const updated = structuredClone(live);
  change(updated);
  const { managedFields: _, ...metadata } = updated.metadata;
  const managedFields = engine.trackUpdate({ kind, live, updated, manager: options.manager ?? "editor", subresource: options.subresource ?? "", now: options.now ?? T2 });
  return { ...updated, metadata: { ...metadata, ...(managedFields && { managedFields }) } };
};
const apply = (kind: any, live: AnyObject | undefined, applied: AnyObject, options: { manager?: string; force?: boolean; now?: string } = {}): AnyObject => {
  const result = settled(kind, engine.apply({ kind, live, applied, manager: options.manager ?? "applier", subresource: "", now: options.now ?? T1, force: options.force ?? false }));
  return { ...result, metadata: { ...result.metadata, uid: "u" } };
};
const fieldsOf = (object: AnyObject, manager: string): any => object.metadata.managedFields?.find((entry) => entry.manager === manager)?.fieldsV1;
const refusal = (call: () => unknown): ApiError => {
  try {
    call();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("was not refused");
};

const names = (object: AnyObject): string[] => object.spec.template.spec.containers.map((c: any) => c.name);
const withContainers = (...list: string[]): AnyObject => aDeployment({ template: { metadata: { labels: { app: "web" } }, spec: { containers: list.map((name) => ({ name, image: "i" })) } } });

describe("a create", () => {
  test("gives the creator every field, in the form upstream stores", () => {
    const created = create(deployments, aDeployment({}, { labels: { app: "web" } }));
    expect(created.metadata.managedFields).toEqual([{ manager: "kubectl-create", operation: "Update", apiVersion: "apps/v1", time: T1, fieldsType: "FieldsV1", fieldsV1: fieldsOf(created, "kubectl-create") }] as any);
    expect(fieldsOf(created, "kubectl-create")).toEqual({
      "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
      "f:spec": {
        "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
        "f:strategy": { "f:type": {} },
        "f:template": {
          "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
          "f:spec": {
            "f:containers": { 'k:{"name":"nginx"}': { ".": {}, "f:image": {}, "f:name": {}, "f:resources": {}, "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {} } },
            "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {}, "f:terminationGracePeriodSeconds": {},
          },
        },
      },
    });
  });

  test("names list items by all their keys", () => {
    const service = create(services, { apiVersion: "v1", kind: "Service", metadata: { name: "s" }, spec: { ports: [{ port: 80, targetPort: 8080 }], selector: { app: "x" } } } as any);
    expect(fieldsOf(service, "kubectl-create")["f:spec"]["f:ports"]).toEqual({ ".": {}, 'k:{"port":80,"protocol":"TCP"}': { ".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {} } });
    expect(fieldsOf(service, "kubectl-create")["f:spec"]["f:selector"]).toEqual({});
  });

  test("writes the elements of a set in one order, however the object spells them", () => {
    const fields = JSON.stringify(fieldsOf(create(configMaps, aConfigMap({ b: "2", a: "1" })), "kubectl-create"));
    expect(fields).toBe('{"f:data":{".":{},"f:a":{},"f:b":{}}}');
  });
});

describe("an update", () => {
  test("moves changed fields to the writer, and only those", () => {
    const live = create(configMaps, aConfigMap({ a: "1", b: "2" }));
    const updated = update(configMaps, live, (object) => (object.data.b = "3"));
    expect(fieldsOf(updated, "editor")).toEqual({ "f:data": { "f:b": {} } });
    expect(fieldsOf(updated, "kubectl-create")).toEqual({ "f:data": { ".": {}, "f:a": {} } });
  });

  test("forgets removed fields, and managers that own nothing any more", () => {
    const live = create(configMaps, aConfigMap({ a: "1" }));
    const updated = update(configMaps, live, (object) => delete object.data);
    expect(updated.metadata.managedFields).toBeUndefined();
  });

  test("that changes nothing keeps the entries and their times", () => {
    const live = create(configMaps, aConfigMap({ a: "1" }));
    expect(update(configMaps, live, () => {}).metadata.managedFields).toEqual(live.metadata.managedFields as any);
  });

  test("adds to what the same writer had, with a new time", () => {
    const live = create(configMaps, aConfigMap({ a: "1" }), "editor");
    const updated = update(configMaps, live, (object) => (object.data.b = "2"));
    expect(updated.metadata.managedFields).toHaveLength(1);
    expect(updated.metadata.managedFields?.[0]).toMatchObject({ time: T2, fieldsV1: { "f:data": { ".": {}, "f:a": {}, "f:b": {} } } });
  });

  test("through a subresource is an entry of its own, and leaves out what that endpoint puts back", () => {
    const live = create(pods, { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { containers: [{ name: "c" }] } } as any);
    const updated = update(pods, live, (object) => {
      object.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
      object.spec.nodeName = "n";
    }, { manager: "kubelet", subresource: "status" });
    const entry = updated.metadata.managedFields?.find((e) => e.manager === "kubelet");
    expect(entry).toMatchObject({ subresource: "status", operation: "Update" });
    expect(entry?.fieldsV1).toEqual({ "f:status": { "f:conditions": { ".": {}, 'k:{"type":"Ready"}': { ".": {}, "f:status": {}, "f:type": {} } }, "f:phase": {} } } as any);
  });

  test("merges the oldest writers once there are more than ten", () => {
    let live = create(configMaps, aConfigMap({ x: "0" }), "first", "2026-01-01T00:00:00Z");
    for (let n = 1; n <= 12; n++) live = update(configMaps, live, (object) => (object.data[`k${n}`] = "1"), { manager: `m${n}`, now: `2026-01-01T00:01:${10 + n}Z` });
    const managers = live.metadata.managedFields?.map((entry) => entry.manager) ?? [];
    expect(managers).toHaveLength(10);
    expect(managers[0]).toBe("ancient-changes");
    expect(fieldsOf(live, "ancient-changes")["f:data"]).toContainKeys(["f:x", "f:k1", "f:k2", "f:k3"]);
  });

  test("can reset ownership with an empty entry, and then nothing is tracked", () => {
    const live = create(configMaps, aConfigMap({ a: "1" }));
    const updated = { ...live, metadata: { ...live.metadata, managedFields: [{}] } } as AnyObject;
    expect(engine.trackUpdate({ kind: configMaps, live, updated, manager: "m", subresource: "", now: T2 })).toBeUndefined();
  });

  test("of an object from before tracking leaves it untracked", () => {
    const live = { ...aConfigMap({ a: "1" }), metadata: { name: "c", uid: "u" } } as AnyObject;
    expect(update(configMaps, live, (object) => (object.data.a = "2")).metadata.managedFields).toBeUndefined();
  });
});

describe("server-side apply", () => {
  test("creates the object, and owns what the configuration names and nothing it implies", () => {
    const live = apply(deployments, undefined, aDeployment());
    expect(live.spec.template.spec.restartPolicy).toBe("Always");
    expect(live.metadata.managedFields?.[0]).toMatchObject({ manager: "applier", operation: "Apply", apiVersion: "apps/v1", time: T1 });
    expect(fieldsOf(live, "applier")).toEqual({
      "f:spec": {
        "f:replicas": {}, "f:selector": {},
        "f:template": { "f:metadata": { "f:labels": { "f:app": {} } }, "f:spec": { "f:containers": { 'k:{"name":"nginx"}': { ".": {}, "f:image": {}, "f:name": {} } } } },
      },
    });
  });

  test("conflicts over a field another manager set, in upstream's words", () => {
    const live = create(deployments, aDeployment(), "kubectl-client-side-apply");
    const error = refusal(() => apply(deployments, live, aDeployment({ replicas: 5 })));
    expect(error).toMatchObject({ code: 409, reason: "Conflict", message: 'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas' });
    expect(error.details?.causes).toEqual([{ reason: "FieldManagerConflict", message: 'conflict with "kubectl-client-side-apply" using apps/v1', field: ".spec.replicas" }]);
  });

  test("lists many conflicts by manager", () => {
    const live = create(deployments, aDeployment(), "kubectl-client-side-apply");
    const error = refusal(() => apply(deployments, live, aDeployment({ replicas: 5, template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "nginx", image: "nginx:2" }] } } })));
    expect(error.message).toBe('Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="nginx"].image');
  });

  test("takes fields over when forced", () => {
    const live = apply(deployments, create(deployments, aDeployment(), "other"), aDeployment({ replicas: 5 }), { force: true });
    expect(live.spec.replicas).toBe(5);
    expect(fieldsOf(live, "other")["f:spec"]).not.toContainKey("f:replicas");
    expect(fieldsOf(live, "applier")["f:spec"]).toContainKey("f:replicas");
  });

  test("shares ownership of fields applied with equal values", () => {
    const live = apply(configMaps, apply(configMaps, undefined, aConfigMap({ a: "1" }), { manager: "one" }), aConfigMap({ a: "1" }), { manager: "two" });
    expect(fieldsOf(live, "one")).toEqual(fieldsOf(live, "two"));
  });

  test("removes what is no longer applied and nobody else owns", () => {
    const first = apply(configMaps, undefined, aConfigMap({ a: "1", b: "2" }), { manager: "one" });
    const shared = apply(configMaps, first, aConfigMap({ b: "2" }), { manager: "two" });
    const live = apply(configMaps, shared, aConfigMap({}), { manager: "one" });
    expect(live.data).toEqual({ b: "2" });
  });

  test("removes list items by key, and keeps those of others", () => {
    const two = [{ name: "nginx", image: "nginx:1" }, { name: "side", image: "s" }];
    const template = (containers: unknown): any => ({ template: { metadata: { labels: { app: "web" } }, spec: { containers } } });
    const first = apply(deployments, undefined, aDeployment(template(two)));
    const injected = update(deployments, first, (object) => object.spec.template.spec.containers.push({ name: "mesh", image: "m" }), { manager: "injector" });
    const live = apply(deployments, injected, aDeployment(template([{ name: "nginx", image: "nginx:2" }])));
    expect(live.spec.template.spec.containers.map((c: any) => [c.name, c.image])).toEqual([["nginx", "nginx:2"], ["mesh", "m"]]);
  });

  test("leaves a field to its new owner once it is no longer applied", () => {
    const first = apply(deployments, undefined, aDeployment());
    const scaled = update(deployments, first, (object) => (object.spec.replicas = 9), { manager: "autoscaler" });
    const { replicas: _, ...spec } = aDeployment().spec;
    const live = apply(deployments, scaled, { ...aDeployment(), spec } as AnyObject);
    expect(live.spec.replicas).toBe(9);
  });

  test("repeated changes nothing, times included", () => {
    const once = apply(deployments, undefined, aDeployment());
    const twice = apply(deployments, once, aDeployment(), { now: T2 });
    expect(twice).toEqual(once);
  });

  test("of an object nobody tracked gives the rest to before-first-apply", () => {
    const live = { ...settled(configMaps, aConfigMap({ a: "1", b: "2" })) };
    live.metadata = { ...live.metadata, uid: "u" } as any;
    const applied = apply(configMaps, live, aConfigMap({ a: "1" }));
    expect(fieldsOf(applied, "before-first-apply")).toEqual({ "f:data": { ".": {}, "f:a": {}, "f:b": {} } });
    expect(applied.data).toEqual({ a: "1", b: "2" });
  });

  test("by kubectl takes over what its client-side apply set", () => {
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(aConfigMap({ a: "1" })) };
    const live = create(configMaps, { ...aConfigMap({ a: "1" }), metadata: { name: "c", namespace: "default", annotations } } as AnyObject, "kubectl-client-side-apply");
    const applied = apply(configMaps, live, aConfigMap({ a: "2" }), { manager: "kubectl" });
    expect(applied.data).toEqual({ a: "2" });
    expect(JSON.parse(applied.metadata.annotations?.["kubectl.kubernetes.io/last-applied-configuration"] ?? "").data).toEqual({ a: "2" });
  });

  test("refuses what the schema does not declare", () => {
    const error = refusal(() => apply(deployments, undefined, aDeployment({ foo: 1 })));
    expect(error).toMatchObject({ code: 400, message: "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema" });
    expect(refusal(() => apply(deployments, undefined, aDeployment({}, { namespace: { a: 1 } }))).message).toStartWith("failed to create typed patch object (/web; ");
    expect(refusal(() => apply(deployments, undefined, aDeployment({ replicas: "x" }))).message).toEndWith(".spec.replicas: expected numeric (int or float), got x");
    expect(refusal(() => apply(deployments, undefined, aDeployment({}, { managedFields: [] }))).message).toBe("metadata.managedFields must be nil");
    expect(refusal(() => apply(configMaps, undefined, aDeployment())).message).toBe("invalid object type: apps/v1, Kind=Deployment");
  });

  test("keeps the order of the configuration in lists it merges", () => {
    const first = apply(deployments, undefined, withContainers("a", "b", "c"));
    expect(names(apply(deployments, first, withContainers("c", "a", "b")))).toEqual(["c", "a", "b"]);
    const other = apply(deployments, first, withContainers("d", "a"), { manager: "other" });
    expect(names(other)).toContain("b");
    expect(names(other).indexOf("d")).toBeLessThan(names(other).indexOf("a"));
  });
});

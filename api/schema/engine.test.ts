import { describe, expect, test } from "bun:test";
import { ApiError } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import { SchemaEngine } from "./engine.ts";

const engine = new SchemaEngine();
const pods = builtinKind("", "v1", "Pod");
const deployments = builtinKind("apps", "v1", "Deployment");
const services = builtinKind("", "v1", "Service");

const aPod = (spec: Record<string, unknown> = {}): Record<string, any> => ({
  apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "default" }, spec: { containers: [{ name: "c", image: "busybox" }], ...spec },
});
const refusal = (call: () => unknown): ApiError => {
  try {
    call();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("was not refused");
};

describe("decoding", () => {
  test("keeps what the schema knows, and fills in plain Go fields", () => {
    expect(engine.decode(pods, aPod()).object).toEqual({
      apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "default" }, spec: { containers: [{ name: "c", image: "busybox", resources: {} }] }, status: {},
    } as any);
  });

  test("never changes its input", () => {
    const raw = aPod({ bogus: 1, hostNetwork: false });
    const before = structuredClone(raw);
    engine.decode(pods, raw);
    expect(raw).toEqual(before);
  });

  test("drops nulls and the zeros that Go leaves out, keeps zeros that mean something", () => {
    const { object } = engine.decode(deployments, { metadata: { name: "d", labels: {}, annotations: null }, spec: { replicas: 0, paused: false, minReadySeconds: 0, template: { spec: { hostNetwork: false, automountServiceAccountToken: false, containers: [] } } } });
    expect(object.spec.replicas).toBe(0);
    expect(object.metadata).toEqual({ name: "d" });
    expect(object.spec).not.toContainKeys(["paused", "minReadySeconds"]);
    expect(object.spec.template.spec).toEqual({ automountServiceAccountToken: false, containers: [] });
  });

  test("warns of unknown fields by their path, and drops them", () => {
    const { object, warnings } = engine.decode(pods, aPod({ foo: 1, containers: [{ name: "c", imagePullpolicy: "Always" }] }));
    expect(warnings).toEqual(['unknown field "spec.containers[0].imagePullpolicy"', 'unknown field "spec.foo"']);
    expect(object.spec).not.toContainKey("foo");
  });

  test("refuses unknown and repeated fields when asked to be strict", () => {
    const text = '{"metadata":{"name":"p","labels":{"a":"1","a":"2"}},"spec":{"foo":1,"containers":[{"name":"c","name":"d"}]}}';
    const error = refusal(() => engine.decode(pods, JSON.parse(text), { mode: "Strict", text }));
    expect(error.code).toBe(400);
    expect(error.message).toBe('Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo", duplicate field "metadata.labels.a", duplicate field "spec.containers[0].name"');
  });

  test("says nothing of unknown and repeated fields when asked to ignore them", () => {
    const text = '{"metadata":{"name":"p","name":"q"},"foo":1}';
    expect(engine.decode(pods, JSON.parse(text), { mode: "Ignore", text }).warnings).toEqual([]);
  });

  const mistakes: [string, any, string][] = [
    ["a string for a number", { spec: { replicas: "3" } }, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"],
    ["a fraction for a whole number", { spec: { replicas: 1.5 } }, "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"],
    ["a number too large", { spec: { replicas: 3e9 } }, "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"],
    ["a number for a label", { metadata: { labels: { a: 1 } } }, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"],
    ["an object for a list", { spec: { template: { spec: { containers: {} } } } }, "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"],
    ["a list for an object", { spec: [] }, "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec"],
    ["a word for a quantity", { spec: { template: { spec: { containers: [{ resources: { limits: { cpu: "lots" } } }] } } } }, "quantities must match the regular expression"],
    ["a string for a boolean", { spec: { paused: "no" } }, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool"],
  ];
  for (const [what, body, message] of mistakes) {
    test(`refuses ${what} in upstream's words`, () => {
      const error = refusal(() => engine.decode(deployments, body));
      expect(error.code).toBe(400);
      expect(error.message).toStartWith(`Deployment in version "v1" cannot be handled as a Deployment: ${message}`);
    });
  }

  test("writes quantities, times and bytes in their canonical form", () => {
    const { object } = engine.decode(pods, aPod({ containers: [{ name: "c", resources: { limits: { cpu: "1000m", memory: 1024 } } }] }));
    expect(object.spec.containers[0].resources.limits).toEqual({ cpu: "1", memory: "1024" });
    const lease = engine.decode(builtinKind("coordination.k8s.io", "v1", "Lease"), { metadata: { creationTimestamp: "2026-01-02T03:04:05.9+01:00" }, spec: { renewTime: "2026-01-02T03:04:05Z" } }).object;
    expect(lease.metadata.creationTimestamp as unknown).toBe("2026-01-02T02:04:05Z");
    expect(lease.spec.renewTime).toBe("2026-01-02T03:04:05.000000Z");
    expect(refusal(() => engine.decode(builtinKind("", "v1", "Secret"), { data: { a: "no base64!" } })).message).toContain("illegal base64 data at input byte 2");
  });

  test("keeps a key called __proto__ as a key", () => {
    const { object } = engine.decode(builtinKind("", "v1", "ConfigMap"), JSON.parse('{"data":{"__proto__":"x"}}'));
    expect(Object.keys(object.data)).toEqual(["__proto__"]);
  });
});

describe("defaults", () => {
  test("fill in a pod's constants, and doing it twice changes nothing", () => {
    const { object } = engine.decode(pods, aPod({ containers: [{ name: "c", ports: [{ containerPort: 80 }], livenessProbe: { httpGet: { port: 80 } } }], volumes: [{ name: "v", configMap: { name: "x" } }] }));
    engine.applyDefaults(pods, object);
    expect(object.spec).toMatchObject({ restartPolicy: "Always", dnsPolicy: "ClusterFirst", schedulerName: "default-scheduler", terminationGracePeriodSeconds: 30, securityContext: {} });
    expect(object.spec.containers[0]).toMatchObject({
      terminationMessagePath: "/dev/termination-log", terminationMessagePolicy: "File", ports: [{ containerPort: 80, protocol: "TCP" }],
      livenessProbe: { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3, httpGet: { path: "/", scheme: "HTTP" } },
    });
    expect(object.spec.volumes[0].configMap.defaultMode).toBe(420);
    const once = structuredClone(object);
    engine.applyDefaults(pods, object);
    expect(object).toEqual(once);
  });

  test("leave given values alone, zeros of pointers included", () => {
    const { object } = engine.decode(deployments, { spec: { replicas: 0, revisionHistoryLimit: 0 } });
    engine.applyDefaults(deployments, object);
    expect(object.spec).toMatchObject({ replicas: 0, revisionHistoryLimit: 0, progressDeadlineSeconds: 600, strategy: { type: "RollingUpdate" } });
  });

  test("reach structs that are defaults themselves", () => {
    const sets = builtinKind("apps", "v1", "StatefulSet");
    const { object } = engine.decode(sets, { spec: {} });
    engine.applyDefaults(sets, object);
    expect(object.spec.persistentVolumeClaimRetentionPolicy).toEqual({ whenDeleted: "Retain", whenScaled: "Retain" });
  });
});

const merge = (patch: Record<string, unknown>, current: Record<string, any> = aPod({ containers: [{ name: "a", image: "1", args: ["x"] }, { name: "b", image: "2" }] })): any => engine.strategicMerge(pods, current as any, patch);

describe("a strategic merge patch", () => {
  test("merges lists by their key, and replaces atomic ones", () => {
    expect(merge({ spec: { containers: [{ name: "a", args: ["y"] }, { name: "c", image: "3" }] } }).spec.containers).toEqual([
      { name: "a", image: "1", args: ["y"] }, { name: "c", image: "3" }, { name: "b", image: "2" },
    ]);
  });

  test("deletes items and fields on request", () => {
    const result = merge({ spec: { containers: [{ name: "a", $patch: "delete" }, { name: "b", image: null }] } });
    expect(result.spec.containers).toEqual([{ name: "b" }]);
  });

  test("replaces lists and maps on request", () => {
    expect(merge({ spec: { containers: [{ $patch: "replace" }, { name: "z" }] } }).spec.containers).toEqual([{ name: "z" }]);
    expect(merge({ metadata: { $patch: "replace", name: "q" } }).metadata).toEqual({ name: "q" });
  });

  test("keeps only the named keys with $retainKeys", () => {
    const pod = aPod({ volumes: [{ name: "v", emptyDir: {} }] });
    expect(merge({ spec: { volumes: [{ name: "v", $retainKeys: ["name", "configMap"], configMap: { name: "m" } }] } }, pod).spec.volumes).toEqual([{ name: "v", configMap: { name: "m" } }]);
    expect(refusal(() => merge({ spec: { volumes: [{ name: "v", $retainKeys: ["name"], configMap: {} }] } }, pod)).message).toBe("invalid patch format of retainKeys");
  });

  test("orders lists with $setElementOrder", () => {
    const result = merge({ spec: { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }], containers: [{ name: "a", image: "9" }] } });
    expect(result.spec.containers.map((c: any) => c.name)).toEqual(["b", "a"]);
    expect(result.spec.containers[1].image).toBe("9");
  });

  test("adds to and deletes from lists of scalars", () => {
    const pod = { ...aPod(), metadata: { name: "p", finalizers: ["a", "b", "c"] } };
    expect(merge({ metadata: { "$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["a", "c", "d"], finalizers: ["d"] } }, pod).metadata.finalizers).toEqual(["a", "c", "d"]);
  });

  test("takes new fields without directives and nulls", () => {
    expect(merge({ spec: { affinity: { nodeAffinity: null, podAffinity: {} }, volumes: [{ name: "x", $patch: "delete" }] } }).spec).toMatchObject({ affinity: { podAffinity: {} }, volumes: [] });
  });

  test("replaces a selector where upstream says so", () => {
    const budgets = builtinKind("policy", "v1", "PodDisruptionBudget");
    const result: any = engine.strategicMerge(budgets, { metadata: {}, spec: { selector: { matchLabels: { a: "1" } } } }, { spec: { selector: { matchLabels: { b: "2" } } } });
    expect(result.spec.selector).toEqual({ matchLabels: { b: "2" } });
  });

  test("merges service ports by port number", () => {
    const result: any = engine.strategicMerge(services, { metadata: {}, spec: { ports: [{ port: 80, name: "a" }, { port: 81 }] } }, { spec: { ports: [{ port: 80, targetPort: 8080 }] } });
    expect(result.spec.ports).toEqual([{ port: 80, name: "a", targetPort: 8080 }, { port: 81 }]);
  });
});

describe("JSON patches", () => {
  test("a merge patch sets, nests and deletes", () => {
    expect(engine.mergePatch({ metadata: { labels: { a: "1", b: "2" } } } as any, { metadata: { labels: { a: null, c: "3" } } })).toEqual({ metadata: { labels: { b: "2", c: "3" } } });
    expect(refusal(() => engine.mergePatch(aPod() as any, [])).code).toBe(400);
  });

  test("a JSON patch applies its operations in order, and leaves the original alone", () => {
    const pod = aPod() as any;
    const result: any = engine.jsonPatch(pod, [{ op: "test", path: "/metadata/name", value: "p" }, { op: "add", path: "/metadata/labels", value: {} }, { op: "add", path: "/metadata/labels/a~1b", value: "1" }, { op: "add", path: "/spec/containers/-", value: { name: "x" } }]);
    expect(result.metadata.labels).toEqual({ "a/b": "1" });
    expect(result.spec.containers).toHaveLength(2);
    expect(pod.metadata.labels).toBeUndefined();
  });

  test("a JSON patch that does not fit is 422, one that is malformed 400", () => {
    expect(refusal(() => engine.jsonPatch(aPod() as any, [{ op: "remove", path: "/metadata/nope" }])).code).toBe(422);
    expect(refusal(() => engine.jsonPatch(aPod() as any, [{ op: "test", path: "/metadata/name", value: "x" }])).details?.causes?.[0]?.message).toBe("testing value /metadata/name failed: test failed");
    expect(refusal(() => engine.jsonPatch(aPod() as any, [{ op: "replace", path: "/spec/nope/deeper", value: 1 }])).details?.causes?.[0]?.message).toBe("replace operation does not apply: doc is missing path: /spec/nope/deeper: missing value");
    expect(refusal(() => engine.jsonPatch(aPod() as any, [{ op: "replace", path: "/spec/containers/7", value: 1 }])).details?.causes?.[0]?.message).toBe("replace operation does not apply: doc is missing key: /spec/containers/7: missing value");
    expect(refusal(() => engine.jsonPatch(aPod() as any, {})).code).toBe(400);
  });
});

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ApiError } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, ConfigMap, Deployment, Lease, Pod } from "../../../api/types.ts";
import type { AdmissionPlugin, Attributes } from "../admission/plugin.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { call, startTestServer, type TestServer } from "../testing.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const DEPLOYMENT = builtinKind("apps", "v1", "Deployment");
const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const POD = builtinKind("", "v1", "Pod");
const MAPS = "/api/v1/namespaces/default/configmaps";

const STRATEGIES: Record<string, Partial<Strategy>> = {
  Lease: { allowCreateOnUpdate: true, allowUnconditionalUpdate: false },
  Secret: { validate: (secret) => (secret["type"] === "bad" ? [{ field: "type", reason: "FieldValueInvalid", message: 'Invalid value: "bad": is bad' }] : []) },
};

let server: TestServer;
let seen: Attributes[];
const spy: AdmissionPlugin = {
  name: "Spy", handles: () => true,
  admit: (attributes) => {
    seen.push(attributes);
    if (attributes.object?.metadata.labels?.["mutate"] && attributes.object) attributes.object["data"] = { mutated: "yes" };
  },
  validate: ({ object }) => {
    if (object?.metadata.labels?.["refuse"]) throw new ApiError(403, "Forbidden", "admission says no");
  },
};

beforeEach(async () => {
  seen = [];
  server = await startTestServer({ http: true, admission: [spy], strategies: { for: ({ group, kind }) => ({ group, kind, ...STRATEGIES[kind] }) } });
});
afterEach(() => server.stop());

const aMap = (name: string, data: Record<string, string> = { a: "b" }, metadata: Partial<AnyObject["metadata"]> = {}): AnyObject => ({ kind: "ConfigMap", apiVersion: "v1", metadata: { name, ...metadata }, data });
const aDeployment = (name: string): Deployment => ({ metadata: { name, namespace: "default" }, spec: { replicas: 2, selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } } }, status: { replicas: 7 } });

describe("create", () => {
  test("fills in what only the server knows, and drops what only the server may say", async () => {
    const { status, body } = await call(server, "POST", MAPS, { body: aMap("x", {}, { uid: "mine", generation: 9, deletionTimestamp: "2020-01-01T00:00:00Z", selfLink: "/x" }) });
    expect(status).toBe(201);
    expect(body.metadata).toMatchObject({ name: "x", namespace: "default", resourceVersion: "1" });
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(body.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    for (const name of ["generation", "deletionTimestamp", "selfLink"]) expect(body.metadata).not.toHaveProperty(name);
  });

  test("a second object of that name is refused, also when both come at once", async () => {
    const replies = await Promise.all([1, 2, 3].map(() => call(server, "POST", MAPS, { body: aMap("x") })));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
    expect(replies.find(({ status }) => status === 409)?.body).toMatchObject({ reason: "AlreadyExists", message: 'configmaps "x" already exists', details: { name: "x", kind: "configmaps" } });
  });

  test("generateName gives each its own name of the kind upstream gives", async () => {
    const names = await Promise.all(Array.from({ length: 20 }, async () => (await call(server, "POST", MAPS, { body: { metadata: { generateName: "x-" } } })).body.metadata.name));
    expect(new Set(names).size).toBe(20);
    for (const name of names) expect(name).toMatch(/^x-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test("status starts empty and the generation at one, for kinds that have them", async () => {
    const created = await server.client.create(DEPLOYMENT, aDeployment("d"));
    expect(created.metadata.generation).toBe(1);
    expect(created.status?.replicas).toBeUndefined();
  });

  test.each([
    ["a name that is none", aMap("X_"), 422, 'ConfigMap "X_" is invalid: metadata.name: Invalid value: "X_": a lowercase RFC 1123 subdomain must consist of'],
    ["no name at all", { metadata: {} }, 422, 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'],
    ["another namespace", aMap("x", {}, { namespace: "other" }), 400, "the namespace of the provided object does not match the namespace sent on the request"],
    ["another kind", { ...aMap("x"), kind: "Secret" }, 400, "cannot be handled as a ConfigMap"],
    ["another version", { ...aMap("x"), apiVersion: "v2" }, 400, "the API version in the data (v2) does not match the expected API version (v1)"],
    ["a resourceVersion", aMap("x", {}, { resourceVersion: "5" }), 400, "resourceVersion should not be set on objects to be created"],
    ["bad labels", aMap("x", {}, { labels: { "a b": "c" } }), 422, "metadata.labels: Invalid value"],
    ["wrong types", aMap("x", { a: 1 } as never), 400, "cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"],
  ])("refuses %s in upstream's words", async (_what, body, status, message) => {
    const reply = await call(server, "POST", MAPS, { body });
    expect(reply.status).toBe(status);
    expect(reply.body["message"]).toContain(message);
    expect(reply.body).toMatchObject({ kind: "Status", apiVersion: "v1", status: "Failure", code: status });
  });

  test("a dry run goes through everything and stores nothing", async () => {
    const reply = await call(server, "POST", `${MAPS}?dryRun=All`, { body: aMap("x", {}, { labels: { mutate: "y" } }) });
    expect(reply.status).toBe(201);
    expect(reply.body["data"]).toEqual({ mutated: "yes" });
    expect(reply.body.metadata.resourceVersion).toBeUndefined();
    expect((await call(server, "GET", `${MAPS}/x`)).status).toBe(404);
    expect((await call(server, "POST", `${MAPS}?dryRun=Some`, { body: aMap("x") })).body["message"]).toContain('dryRun: Unsupported value: "Some": supported values: "All"');
  });

  test("unknown fields warn by default, are refused when strict, and are nobody's business when ignored", async () => {
    const body = { ...aMap("x"), nonsense: 1 };
    const warned = await call(server, "POST", MAPS, { body });
    expect([warned.status, warned.headers.get("warning")]).toEqual([201, '299 - "unknown field \\"nonsense\\""']);
    const foreign = await call(server, "POST", `${MAPS}?fieldValidation=Warn`, { body: { metadata: { name: "foreign" }, "größe": 1 } });
    expect([foreign.status, foreign.headers.get("warning")]).toEqual([201, '299 - "unknown field \\"gr??e\\""']);
    expect(warned.body).not.toHaveProperty("nonsense");
    const strict = await call(server, "POST", `${MAPS}?fieldValidation=Strict`, { body: { ...body, metadata: { name: "y" } } });
    expect(strict.body).toMatchObject({ code: 400, message: expect.stringContaining('strict decoding error: unknown field "nonsense"') });
    expect((await call(server, "POST", `${MAPS}?fieldValidation=Ignore`, { body: { ...body, metadata: { name: "z" } } })).headers.get("warning")).toBeNull();
    expect((await call(server, "POST", `${MAPS}?fieldValidation=Nope`, { body: aMap("w") })).status).toBe(422);
  });

  test("a field spelled twice is noticed", async () => {
    const reply = await call(server, "POST", MAPS, { body: '{"metadata":{"name":"x"},"data":{"a":"1","a":"2"}}' });
    expect(reply.headers.get("warning")).toContain('duplicate field \\"data.a\\"');
  });

  test("protobuf is read, as kubectl sends it, and answered in JSON", async () => {
    const body = Buffer.from("6b3873000a0f0a02763112094e616d657370616365121b0a130a03666f6f12001a0022002a0032003800420012001a020a001a002200", "hex");
    const reply = await call(server, "POST", "/api/v1/namespaces", { body, headers: { "content-type": "application/vnd.kubernetes.protobuf", accept: "application/vnd.kubernetes.protobuf,application/json" } });
    expect([reply.status, reply.headers.get("content-type"), reply.body.metadata.name]).toEqual([201, "application/json", "foo"]);
  });

  test("YAML is read and written", async () => {
    const reply = await call(server, "POST", MAPS, { body: "metadata:\n  name: x\ndata:\n  a: 'yes'\n", headers: { "content-type": "application/yaml", accept: "application/yaml" } });
    expect([reply.status, reply.headers.get("content-type")]).toEqual([201, "application/yaml"]);
    expect(reply.text).toContain('a: "yes"');
  });
});

describe("bodies that are none", () => {
  test.each([
    ["half a JSON", "{", "application/json", [400, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({)"]],
    ["bad YAML", "a: b: c", "application/yaml", [400, "error converting YAML to JSON: yaml: line 1:"]],
    ["a list", "[]", "application/json", [400, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct {"]],
    ["nothing", "", "application/json", [400, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"]],
    ["another media type", "x", "text/plain", [415, "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"]],
    ["more than 3 MiB", `{"metadata":{"name":"x"},"data":{"a":"${"x".repeat(3 * 1024 * 1024)}"}}`, "application/json", [413, "Request entity too large: limit is 3145728"]],
  ])("%s is refused", async (_what, body, type, expected) => {
    const [status, message] = expected as [number, string];
    const reply = await call(server, "POST", MAPS, { body, headers: { "content-type": type } });
    expect(reply.status).toBe(status);
    expect(reply.body["message"]).toContain(message);
  });
});

test.each([
  ["PUT", MAPS], ["PATCH", MAPS], ["POST", `${MAPS}/x`],
])("%s %s is no route", async (method, path) => {
  const { body } = await call(server, method, path, { body: {}, headers: method === "PATCH" ? { "content-type": "application/merge-patch+json" } : {} });
  expect(body).toMatchObject({ code: 405, reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource" });
});

test.each([
  ["merge-patch", [1], "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"],
  ["strategic-merge-patch", [1], "json: cannot unmarshal array into Go value of type map[string]interface {}"],
  ["json-patch", {}, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"],
])("a %s of the wrong shape is told in Go's words", async (type, patch, message) => {
  await call(server, "POST", MAPS, { body: aMap("shaped") });
  const { body } = await call(server, "PATCH", `${MAPS}/shaped`, { body: patch as AnyObject, headers: { "content-type": `application/${type}+json` } });
  expect(body).toMatchObject({ code: 400, message });
});

describe("update", () => {
  const put = (name: string, body: AnyObject): ReturnType<typeof call> => call(server, "PUT", `${MAPS}/${name}`, { body });

  test("a stale version is a conflict, no version at all overwrites", async () => {
    const { body: first } = await call(server, "POST", MAPS, { body: aMap("x") });
    expect((await put("x", { ...first, data: { a: "2" } })).status).toBe(200);
    expect((await put("x", { ...first, data: { a: "3" } })).body).toMatchObject({ code: 409, reason: "Conflict", message: 'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again' });
    expect((await put("x", aMap("x", { a: "4" }))).body["data"]).toEqual({ a: "4" });
  });

  test("kinds that demand a version get one, or refuse", async () => {
    await server.client.create<Lease>(LEASE, { metadata: { name: "l", namespace: "default" }, spec: { holderIdentity: "a" } });
    const reply = await call(server, "PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l", { body: { metadata: { name: "l" }, spec: { holderIdentity: "b" } } });
    expect(reply.body).toMatchObject({ code: 422, message: 'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update' });
  });

  test("a change of nothing keeps the version, in any order of fields", async () => {
    const { body: first } = await call(server, "POST", MAPS, { body: aMap("x", { a: "1", b: "2" }) });
    const { body: second } = await put("x", aMap("x", { b: "2", a: "1" }));
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  });

  test("a missing object is not found, unless the kind may be created that way", async () => {
    expect((await put("nope", aMap("nope"))).body).toMatchObject({ code: 404, message: 'configmaps "nope" not found' });
    const reply = await call(server, "PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/new", { body: { metadata: { name: "new" } } });
    expect(reply.status).toBe(201);
  });

  test("name, namespace and uid must be those of the URL and the object", async () => {
    await call(server, "POST", MAPS, { body: aMap("x") });
    expect((await put("x", aMap("y"))).body["message"]).toBe("the name of the object (y) does not match the name on the URL (x)");
    expect((await put("x", aMap("x", {}, { namespace: "other" }))).body["message"]).toBe("the namespace of the object (other) does not match the namespace on the request (default)");
    expect((await put("x", aMap("x", {}, { uid: "other" }))).body).toMatchObject({ code: 409, message: expect.stringContaining("Precondition failed: UID in precondition: other, UID in object meta: ") });
  });

  test("the server's own metadata cannot be changed", async () => {
    const { body: first } = await call(server, "POST", MAPS, { body: aMap("x") });
    const { body: second } = await put("x", aMap("x", { a: "2" }, { creationTimestamp: "2001-01-01T00:00:00Z", deletionTimestamp: "2001-01-01T00:00:00Z" }));
    expect(second.metadata).toMatchObject({ uid: first.metadata.uid, creationTimestamp: first.metadata.creationTimestamp });
    expect(second.metadata).not.toHaveProperty("deletionTimestamp");
  });

  test("spec counts generations, status and metadata do not, and neither endpoint touches the other's side", async () => {
    const created = await server.client.create(DEPLOYMENT, aDeployment("d"));
    const labelled = await server.client.update<Deployment>(DEPLOYMENT, { ...created, metadata: { ...created.metadata, labels: { l: "1" } }, status: { replicas: 3 } });
    expect([labelled.metadata.generation, labelled.status?.replicas]).toEqual([1, undefined]);
    const withStatus = await server.client.update<Deployment>(DEPLOYMENT, { ...labelled, spec: { ...labelled.spec, replicas: 9 } as never, status: { replicas: 2 } }, { subresource: "status" });
    expect([withStatus.metadata.generation, withStatus.spec?.replicas, withStatus.status?.replicas]).toEqual([1, 2, 2]);
    const scaled = await server.client.update<Deployment>(DEPLOYMENT, { ...withStatus, spec: { ...withStatus.spec, replicas: 4 } as never });
    expect([scaled.metadata.generation, scaled.spec?.replicas, scaled.status?.replicas]).toEqual([2, 4, 2]);
  });

  test("writers that name no version never lose a change to each other", async () => {
    await call(server, "POST", MAPS, { body: aMap("x", {}) });
    await Promise.all(Array.from({ length: 30 }, (_, index) => call(server, "PATCH", `${MAPS}/x`, { body: { data: { [`k${index}`]: "v" } }, headers: { "content-type": "application/merge-patch+json" } })));
    const { body } = await call(server, "GET", `${MAPS}/x`);
    expect(Object.keys(body["data"])).toHaveLength(30);
  });
});

describe("patch", () => {
  const patch = (type: string, body: unknown, query = ""): ReturnType<typeof call> => call(server, "PATCH", `${MAPS}/x${query}`, { body, headers: { "content-type": `application/${type}` } });
  beforeEach(async () => void (await call(server, "POST", MAPS, { body: aMap("x", { a: "1", b: "2" }) })));

  test("merge: null removes, maps merge", async () => {
    expect((await patch("merge-patch+json", { data: { a: null, c: "3" } })).body["data"]).toEqual({ b: "2", c: "3" });
  });

  test("JSON: operations apply in order, a failed test refuses all", async () => {
    expect((await patch("json-patch+json", [{ op: "add", path: "/data/c", value: "3" }, { op: "remove", path: "/data/a" }])).body["data"]).toEqual({ b: "2", c: "3" });
    expect((await patch("json-patch+json", [{ op: "test", path: "/data/b", value: "other" }, { op: "remove", path: "/data/b" }])).body).toMatchObject({ code: 422 });
    expect((await patch("json-patch+json", [{ op: "remove", path: "/data/nope" }])).body).toMatchObject({ code: 422, details: { causes: [{ message: "error in remove for path: '/data/nope': Unable to remove nonexistent key: nope: missing value" }] } });
    expect((await patch("json-patch+json", { data: {} })).status).toBe(400);
  });

  test("strategic: a value of a wrong type is told as upstream's converter tells it", async () => {
    await call(server, "POST", MAPS, { body: aMap("typed") });
    const { status, body } = await call(server, "PATCH", `${MAPS}/typed`, { body: { metadata: { labels: "invalid" } }, headers: { "content-type": "application/strategic-merge-patch+json" } });
    expect([status, body["message"]]).toEqual([422, ' "" is invalid: patch: Invalid value: "map[metadata:map[labels:invalid]]": cannot restore map from string']);
  });

  test("strategic: lists of objects merge by their key", async () => {
    await server.client.create(DEPLOYMENT, aDeployment("d"));
    const { body } = await call(server, "PATCH", "/apis/apps/v1/namespaces/default/deployments/d", { body: { spec: { template: { spec: { containers: [{ name: "side", image: "s" }] } } } }, headers: { "content-type": "application/strategic-merge-patch+json" } });
    expect(body["spec"].template.spec.containers.map((c: { name: string }) => c.name)).toEqual(["side", "c"]);
    expect(body.metadata.generation).toBe(2);
  });

  test("a version in the patch must be the current one", async () => {
    expect((await patch("merge-patch+json", { metadata: { resourceVersion: "999" }, data: { a: "9" } })).status).toBe(409);
    const { body } = await call(server, "GET", `${MAPS}/x`);
    expect((await patch("merge-patch+json", { metadata: { resourceVersion: body.metadata.resourceVersion }, data: { a: "9" } })).status).toBe(200);
  });

  test("name and kind cannot be patched away, unknown types are refused, and force is for apply", async () => {
    expect((await patch("merge-patch+json", { metadata: { name: "y" } })).body["message"]).toBe("the name of the object (y) does not match the name on the URL (x)");
    expect((await patch("cbor", {})).status).toBe(415);
    expect((await patch("merge-patch+json", {}, "?force=true")).status).toBe(422);
  });

  test("apply creates, owns what it says, and conflicts over what others own", async () => {
    const apply = (manager: string, data: Record<string, string>, force = false): ReturnType<typeof call> => call(server, "PATCH", `${MAPS}/applied?fieldManager=${manager}${force ? "&force=true" : ""}`, { body: JSON.stringify({ kind: "ConfigMap", apiVersion: "v1", metadata: { name: "applied" }, data }), headers: { "content-type": "application/apply-patch+yaml" } });
    expect((await apply("one", { a: "1", b: "1" })).status).toBe(201);
    const refused = await apply("two", { a: "2" });
    expect(refused.body).toMatchObject({ code: 409, reason: "Conflict" });
    expect(refused.body["message"]).toContain('conflict with "one"');
    expect((await apply("two", { a: "2" }, true)).body["data"]).toEqual({ a: "2", b: "1" });
    expect((await apply("one", {})).body["data"]).toEqual({ a: "2" });
    expect((await apply("", {})).body["message"]).toContain("fieldManager: Required value: is required for apply patch");
  });

  test("an apply that changes nothing keeps the version", async () => {
    const apply = (): ReturnType<typeof call> => call(server, "PATCH", `${MAPS}/applied?fieldManager=one`, { body: JSON.stringify(aMap("applied")), headers: { "content-type": "application/apply-patch+yaml" } });
    const { body: first } = await apply();
    expect((await apply()).body.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  });
});

describe("admission", () => {
  test("plugins see operation, object and old object, may change the one and refuse the other", async () => {
    const { body } = await call(server, "POST", MAPS, { body: aMap("x", {}, { labels: { mutate: "y" } }) });
    expect(body["data"]).toEqual({ mutated: "yes" });
    expect((await call(server, "POST", MAPS, { body: aMap("y", {}, { labels: { refuse: "y" } }) })).body).toMatchObject({ code: 403, message: "admission says no" });
    expect((await call(server, "GET", `${MAPS}/y`)).status).toBe(404);
    seen = [];
    await call(server, "PUT", `${MAPS}/x`, { body: aMap("x", { z: "1" }) });
    await call(server, "DELETE", `${MAPS}/x`);
    expect(seen.map(({ operation, object, oldObject }) => [operation, object?.["data"], oldObject?.["data"]])).toEqual([["UPDATE", { z: "1" }, { mutated: "yes" }], ["DELETE", undefined, { z: "1" }]]);
  });

  test("validation errors are all told, with their fields", async () => {
    const { body } = await call(server, "POST", "/api/v1/namespaces/default/secrets", { body: { metadata: { name: "Bad" }, type: "bad" } });
    expect(body).toMatchObject({ code: 422, reason: "Invalid", details: { kind: "Secret", name: "Bad", causes: [{ field: "type", reason: "FieldValueInvalid" }, { field: "metadata.name" }] } });
  });
});

describe("pods", () => {
  const aPod = (name: string): Pod => ({ metadata: { name, namespace: "default" }, spec: { containers: [{ name: "c", image: "i" }] } });
  const bind = (name: string, target: object, metadata = {}): ReturnType<typeof call> => call(server, "POST", `/api/v1/namespaces/default/pods/${name}/binding`, { body: { kind: "Binding", apiVersion: "v1", metadata: { name, ...metadata }, target } });

  test("a binding sets the node once, and says so in a condition", async () => {
    await server.client.create(POD, aPod("p"));
    const reply = await bind("p", { kind: "Node", name: "n1" });
    expect([reply.status, reply.body["status"]]).toEqual([201, "Success"]);
    const pod = await server.client.get<Pod>(POD, { name: "p", namespace: "default" });
    expect([pod.spec?.nodeName, pod.status?.conditions?.[0]]).toMatchObject(["n1", { type: "PodScheduled", status: "True" }]);
    expect((await bind("p", { kind: "Node", name: "n2" })).body).toMatchObject({ code: 409, message: 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"' });
    expect((await bind("gone", { name: "n1" })).status).toBe(404);
  });

  test("the bindings collection does the same", async () => {
    await server.client.create(POD, aPod("q"));
    const reply = await call(server, "POST", "/api/v1/namespaces/default/bindings", { body: { metadata: { name: "q" }, target: { name: "n1" } } });
    expect(reply.status).toBe(201);
    expect((await server.client.get<Pod>(POD, { name: "q", namespace: "default" })).spec?.nodeName).toBe("n1");
  });

  test("a binding for another pod of that name is refused", async () => {
    await server.client.create(POD, aPod("r"));
    expect((await bind("r", { name: "n1" }, { uid: "other" })).status).toBe(409);
  });
});

test("the in-process client gets the cache's own objects and gives copies nobody else has", async () => {
  const mine: ConfigMap = { metadata: { name: "x", namespace: "default" }, data: { a: "1" } };
  const created = await server.client.create(CONFIG_MAP, mine);
  expect(await server.client.get<ConfigMap>(CONFIG_MAP, { name: "x", namespace: "default" })).toBe(created);
  mine.data!["a"] = "changed";
  expect((await server.client.get<ConfigMap>(CONFIG_MAP, { name: "x", namespace: "default" })).data).toEqual({ a: "1" });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KindRegistry } from "../../../../api/registry.ts";
import { SchemaCodec } from "../../../../api/schema/codec.ts";
import { SchemaEngine } from "../../../../api/schema/engine.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { eventually } from "../../../../lib/testing.ts";
import { createStrategies } from "../../kinds/index.ts";
import { call, startTestServer, type TestServer } from "../../testing.ts";
import type { CallWebhook } from "../webhook/client.ts";
import { webhookConverters } from "./webhook.ts";
import { CustomResources } from "./definitions.ts";

let server: TestServer;

/** Stands in for a webhook that calls the field `host` `place` in v2. */
const convertV1: CallWebhook = ({ body }) => {
  const { uid, desiredAPIVersion, objects } = (body as AnyObject)["request"] as { uid: string; desiredAPIVersion: string; objects: AnyObject[] };
  const convertedObjects = objects.map(({ host, place, ...rest }) => ({ ...rest, apiVersion: desiredAPIVersion, ...(desiredAPIVersion.endsWith("/v2") ? { place: host ?? place } : { host: place ?? host }) }));
  return Promise.resolve({ response: { uid, convertedObjects, result: { status: "Success" } } });
};

async function aServer(): Promise<TestServer> {
  const kinds = new KindRegistry();
  const schema = new SchemaEngine();
  const custom = new CustomResources({ kinds, schema, converterOf: webhookConverters(convertV1) });
  return startTestServer({ kinds, codec: new SchemaCodec(schema), strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"], custom: custom.strategyFor }), extensions: [custom], http: true });
}

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

function aCrd(plural: string, version: Record<string, unknown> = {}, spec: Record<string, unknown> = {}): AnyObject {
  const singular = plural.slice(0, -1);
  return {
    apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: `${plural}.example.com` },
    spec: {
      group: "example.com", scope: "Namespaced", names: { plural, kind: singular[0]?.toUpperCase() + singular.slice(1) },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties: { replicas: { type: "integer" } } }, status: { type: "object", "x-kubernetes-preserve-unknown-fields": true } } } }, ...version }],
      ...spec,
    },
  };
}

async function define(crd: AnyObject): Promise<string> {
  const made = await call(server, "POST", CRDS, { body: crd });
  expect(made.text).toContain('"CustomResourceDefinition"');
  expect(made.status).toBe(201);
  await until(async () => (await call(server, "GET", `${CRDS}/${crd.metadata.name}`)).body["status"]?.conditions?.some((condition: AnyObject) => condition["type"] === "Established" && condition["status"] === "True"));
  return `/apis/example.com/v1/namespaces/default/${crd["spec"].names.plural}`;
}

const until = (holds: () => Promise<boolean>): Promise<unknown> => eventually("what the definition is in for", holds);

function anObject(kind: string, fields: Record<string, unknown>, name = "one"): AnyObject {
  return { apiVersion: "example.com/v1", kind, metadata: { name }, ...fields };
}

beforeAll(async () => {
  server = await aServer();
});
afterAll(() => server.stop());

describe("a custom resource", () => {
  test("is served, found in discovery and stored like any other once its definition is established", async () => {
    const path = await define(aCrd("foos", {}, { names: { plural: "foos", kind: "Foo", shortNames: ["fo"] } }));
    expect((await call(server, "POST", path, { body: anObject("Foo", { spec: { replicas: 1 } }) })).status).toBe(201);
    expect((await call(server, "GET", `${path}/one`)).body["spec"]).toEqual({ replicas: 1 });
    const resources = await call(server, "GET", "/apis/example.com/v1");
    expect(resources.body["resources"][0]).toMatchObject({ name: "foos", singularName: "foo", shortNames: ["fo"], kind: "Foo" });
  });

  test("of a wrong type is refused in upstream's words", async () => {
    const path = await define(aCrd("bars"));
    const { status, body } = await call(server, "POST", path, { body: anObject("Bar", { spec: { replicas: "many" } }) });
    expect(status).toBe(422);
    expect(body["message"]).toBe('Bar.example.com "one" is invalid: spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"');
  });

  test("has status and scale apart from the rest", async () => {
    const path = await define(aCrd("sets", { subresources: { status: {}, scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" } } }));
    await call(server, "POST", path, { body: anObject("Set", { spec: { replicas: 2 }, status: { replicas: 9 } }) });
    expect((await call(server, "GET", `${path}/one`)).body["status"]).toBeUndefined();
    const patched = await call(server, "PATCH", `${path}/one/status`, { body: { status: { replicas: 2 }, spec: { replicas: 7 } }, headers: { "content-type": "application/merge-patch+json" } });
    expect(patched.body["spec"]).toEqual({ replicas: 2 });
    const scaled = await call(server, "PATCH", `${path}/one/scale`, { body: { spec: { replicas: 5 } }, headers: { "content-type": "application/merge-patch+json" } });
    expect(scaled.body).toMatchObject({ spec: { replicas: 5 }, status: { replicas: 2 } });
    expect((await call(server, "GET", `${path}/one`)).body["spec"]).toEqual({ replicas: 5 });
  });

  test("gets the defaults its schema has today, though it was stored before", async () => {
    const crd = aCrd("olds");
    const path = await define(crd);
    await call(server, "POST", path, { body: anObject("Old", { spec: {} }) });
    const patch = [{ op: "add", path: "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/default", value: 4 }];
    expect((await call(server, "PATCH", `${CRDS}/${crd.metadata.name}`, { body: patch, headers: { "content-type": "application/json-patch+json" } })).status).toBe(200);
    expect((await call(server, "GET", `${path}/one`)).body["spec"]).toEqual({ replicas: 4 });
  });

  test("is read in every version that is served", async () => {
    const versions = ["v1", "v2"].map((name) => ({ name, served: true, storage: name === "v1", schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } } }));
    const path = await define(aCrd("twins", {}, { versions }));
    await call(server, "POST", path, { body: anObject("Twin", { data: 1 }) });
    const { body } = await call(server, "GET", `${path.replace("/v1/", "/v2/")}/one`);
    expect(body).toMatchObject({ apiVersion: "example.com/v2", data: 1 });
  });

  test("is converted by the webhook its definition names, when read, listed, watched and written", async () => {
    const versions = ["v1", "v2"].map((name) => ({ name, served: true, storage: name === "v1", schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } } }));
    const conversion = { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"], clientConfig: { url: "https://example.com/convert" } } };
    const path = await define(aCrd("moves", {}, { versions, conversion }));
    const path2 = path.replace("/v1/", "/v2/");
    await call(server, "POST", path, { body: anObject("Move", { host: "here" }) });
    expect((await call(server, "GET", `${path2}/one`)).body).toMatchObject({ apiVersion: "example.com/v2", place: "here" });
    const written = await call(server, "POST", path2, { body: { ...anObject("Move", { place: "there" }, "two"), apiVersion: "example.com/v2" } });
    expect(written.body).toMatchObject({ apiVersion: "example.com/v2", place: "there" });
    expect((await call(server, "GET", path)).body["items"].map(({ apiVersion, host }: AnyObject) => [apiVersion, host])).toEqual([["example.com/v1", "here"], ["example.com/v1", "there"]]);
    const patched = await call(server, "PATCH", `${path2}/two`, { body: { place: "elsewhere" }, headers: { "content-type": "application/merge-patch+json" } });
    expect(patched.body["place"]).toBe("elsewhere");
    const events = await fetch(`${server.url}${path2}?watch=1&timeoutSeconds=1`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } } as RequestInit);
    const seen = (await events.text()).trim().split("\n").map((line) => (JSON.parse(line) as { object: AnyObject }).object["place"] as string);
    expect(seen).toEqual(["here", "elsewhere"]);
  });

  test("shows the columns its definition asks for", async () => {
    const path = await define(aCrd("cols", { additionalPrinterColumns: [{ name: "Replicas", type: "integer", jsonPath: ".spec.replicas" }] }));
    await call(server, "POST", path, { body: anObject("Col", { spec: { replicas: 3 } }) });
    const { body } = await call(server, "GET", path, { headers: { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" } });
    expect(body["columnDefinitions"].map(({ name }: AnyObject) => name)).toEqual(["Name", "Replicas"]);
    expect(body["rows"][0].cells).toEqual(["one", 3]);
  });

  test("is selected by the fields its definition offers", async () => {
    const path = await define(aCrd("picks", { selectableFields: [{ jsonPath: ".spec.replicas" }] }));
    for (const replicas of [1, 2]) await call(server, "POST", path, { body: anObject("Pick", { spec: { replicas } }, `n${replicas}`) });
    const { body } = await call(server, "GET", `${path}?fieldSelector=spec.replicas%3D2`);
    expect(body["items"].map(({ metadata }: AnyObject) => metadata.name)).toEqual(["n2"]);
    expect((await call(server, "GET", `${path}?fieldSelector=spec.other%3D2`)).body["message"]).toBe("field label not supported: spec.other");
  });

  test("is selected by the fields of a version that a webhook makes, in lists, pages and watches", async () => {
    const schema = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true, properties: { host: { type: "string" }, place: { type: "string" } } } };
    const versions = ["v1", "v2"].map((name) => ({ name, served: true, storage: name === "v1", schema, selectableFields: [{ jsonPath: name === "v1" ? ".host" : ".place" }] }));
    const conversion = { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"], clientConfig: { url: "https://example.com/convert" } } };
    const path = await define(aCrd("lates", {}, { versions, conversion }));
    const path2 = path.replace("/v1/", "/v2/");
    for (const [name, host] of [["a", "here"], ["b", "there"], ["c", "here"]] as const) await call(server, "POST", path, { body: anObject("Late", { host }, name) });
    const names = (body: AnyObject): string[] => body["items"].map(({ metadata }: AnyObject) => metadata.name);
    const { body } = await call(server, "GET", `${path2}?fieldSelector=place%3Dhere`);
    expect(names(body)).toEqual(["a", "c"]);
    const first = await call(server, "GET", `${path2}?fieldSelector=place%3Dhere&limit=1`);
    expect(names(first.body)).toEqual(["a"]);
    expect(names((await call(server, "GET", `${path2}?fieldSelector=place%3Dhere&limit=1&continue=${(first.body.metadata as Record<string, unknown>)["continue"]}`)).body)).toEqual(["c"]);
    const watching = fetch(`${server.url}${path2}?watch=1&timeoutSeconds=1&fieldSelector=place%3Dhere&resourceVersion=${body.metadata.resourceVersion}`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } } as RequestInit).then((response) => response.text());
    await Bun.sleep(50);
    for (const [name, host] of [["a", "gone"], ["b", "here"], ["c", "here"]] as const) await call(server, "PATCH", `${path}/${name}`, { body: { host, touched: true }, headers: { "content-type": "application/merge-patch+json" } });
    expect((await watching).trim().split("\n").map((line) => JSON.parse(line) as { type: string; object: AnyObject }).map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual(["DELETED a", "ADDED b", "MODIFIED c"]);
  });

  test("takes no new objects while its definition is being deleted", async () => {
    const crd = aCrd("lasts");
    crd.metadata.finalizers = ["example.com/held"];
    const path = await define(crd);
    await call(server, "DELETE", `${CRDS}/${crd.metadata.name}`);
    await until(async () => (await call(server, "POST", path, { body: anObject("Last", {}, `n${Math.random()}`) })).status === 403);
    expect((await call(server, "POST", path, { body: anObject("Last", {}) })).body["message"]).toBe('lasts.example.com "one" is forbidden: create not allowed while custom resource definition is terminating');
    const listed = (await call(server, "GET", "/apis/example.com/v1")).body["resources"].find(({ name }: AnyObject) => name === "lasts");
    expect(listed.verbs).toEqual(["delete", "deletecollection", "get", "list", "watch"]);
    await call(server, "PATCH", `${CRDS}/${crd.metadata.name}`, { body: { metadata: { finalizers: null } }, headers: { "content-type": "application/merge-patch+json" } });
  });

  test("of a deprecated version says so to everybody, readers and watchers too", async () => {
    const path = await define(aCrd("dusts", { deprecated: true }));
    for (const query of ["", "?watch=1&timeoutSeconds=1"]) {
      const reply = await fetch(`${server.url}${path}${query}`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } } as RequestInit);
      await reply.text();
      expect(reply.headers.get("warning")).toBe('299 - "example.com/v1 Dust is deprecated"');
    }
  });

  test("may name properties and let others be, but not describe both", async () => {
    const both = (additionalProperties: unknown): Record<string, unknown> => ({ schema: { openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties: { a: { type: "string" } }, additionalProperties } } } } });
    expect((await call(server, "POST", CRDS, { body: aCrd("loose", both({ type: "string" })) })).status).toBe(422);
    const path = await define(aCrd("opens", both(true)));
    expect((await call(server, "POST", path, { body: anObject("Open", { spec: { a: "1", b: 2 } }) })).body["spec"]).toEqual({ a: "1", b: 2 });
  });

  test("is published without strategic merge, which it does not know", async () => {
    await define(aCrd("plains"));
    const { body } = await call(server, "GET", "/openapi/v3/apis/example.com/v1");
    const { patch } = body["paths"]["/apis/example.com/v1/namespaces/{namespace}/plains/{name}"];
    expect(Object.keys(patch.requestBody.content).toSorted()).toEqual(["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]);
  });

  test("lists itself under the kind its definition names", async () => {
    const path = await define(aCrd("oxen", {}, { names: { plural: "oxen", kind: "Ox", listKind: "Herd" } }));
    expect((await call(server, "GET", path)).body["kind"]).toBe("Herd");
  });

  test("is patched in every way but strategically", async () => {
    const path = await define(aCrd("pats"));
    await call(server, "POST", path, { body: anObject("Pat", { spec: { replicas: 1 } }) });
    const patch = (type: string, body: unknown): Promise<{ status: number; body: AnyObject }> => call(server, "PATCH", `${path}/one?fieldManager=me&force=${type === "apply" ? "true" : ""}`.replace(/&force=$/, ""), { body, headers: { "content-type": type === "apply" ? "application/apply-patch+yaml" : `application/${type}+json` } });
    expect((await patch("strategic-merge-patch", { spec: { replicas: 2 } })).status).toBe(415);
    expect((await patch("merge-patch", { spec: { replicas: 2 } })).body["spec"]).toEqual({ replicas: 2 });
    const applied = await patch("apply", { ...anObject("Pat", { spec: { replicas: 3 } }) });
    expect(applied.body["spec"]).toEqual({ replicas: 3 });
    expect((await patch("merge-patch", { spec: { replicas: "x" } })).status).toBe(422);
  });

  test("ends its watches and goes with its definition", async () => {
    const crd = aCrd("gones");
    const path = await define(crd);
    await call(server, "POST", path, { body: anObject("Gone", {}) });
    const watching = fetch(`${server.url}${path}?watch=1`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } } as RequestInit).then((response) => response.text());
    await call(server, "DELETE", `${CRDS}/${crd.metadata.name}`);
    await until(async () => (await call(server, "GET", `${CRDS}/${crd.metadata.name}`)).status === 404);
    expect((await call(server, "GET", path)).status).toBe(404);
    expect((await watching).trim().split("\n").map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(["ADDED", "DELETED"]);
    await define(crd);
    expect((await call(server, "GET", `${path}/one`)).status).toBe(404);
  });
});

describe("a definition", () => {
  test("whose schema is not structural is refused", async () => {
    const { status, body } = await call(server, "POST", CRDS, { body: aCrd("loose", { schema: { openAPIV3Schema: { type: "object", properties: { spec: {} } } } }) });
    expect(status).toBe(422);
    expect(body["message"]).toContain("spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields");
  });

  test("that a patch leaves without its spec, names or versions is refused for what is missing", async () => {
    const crd = aCrd("halves");
    await define(crd);
    for (const spec of [{ $patch: "delete" }, { names: null }, { versions: null }, { names: null, versions: [] }]) {
      const { status, body } = await call(server, "PATCH", `${CRDS}/${crd.metadata.name}`, { body: { spec }, headers: { "content-type": "application/strategic-merge-patch+json" } });
      expect([status, body["reason"]]).toEqual([422, "Invalid"]);
    }
  });

  test("is called as its resources are", async () => {
    const crd = aCrd("misnamed");
    crd.metadata.name = "other.example.com";
    expect((await call(server, "POST", CRDS, { body: crd })).body["message"]).toContain('must be spec.names.plural+"."+spec.group');
  });

  test("with a name that is taken is not established", async () => {
    await define(aCrd("firsts", {}, { names: { plural: "firsts", kind: "First" } }));
    await call(server, "POST", CRDS, { body: aCrd("seconds", {}, { names: { plural: "seconds", kind: "First", listKind: "SecondList" } }) });
    await until(async () => ((await call(server, "GET", `${CRDS}/seconds.example.com`)).body["status"]?.conditions ?? []).length > 0);
    const { body } = await call(server, "GET", `${CRDS}/seconds.example.com`);
    expect(body["status"].conditions[0]).toMatchObject({ type: "NamesAccepted", status: "False", reason: "KindConflict", message: '"First" is already in use' });
    expect((await call(server, "GET", "/apis/example.com/v1/seconds")).status).toBe(404);
  });
});

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { KINDS, row } from "../../kinds.ts";
import { loadDocs } from "../data.ts";
import { Definitions } from "../node.ts";
import { SPECIAL_BY_NAME } from "../special.ts";
import { documentV2, documentV3, documentsV3 } from "./documents.ts";
import { OpenApi } from "./openapi.ts";
import { encodeDocument } from "./protobuf.ts";

const sources = { definitions: new Definitions(), docs: loadDocs(), kinds: KINDS };
const text = (bytes: Uint8Array): any => JSON.parse(new TextDecoder().decode(bytes));

/** The documents Kubernetes 1.36 publishes, where they are at hand. */
const PUBLISHED = ["../../../../../shared/kubernetes-1.36", "../../../../shared/kubernetes-1.36"].map((path) => join(import.meta.dir, path)).find((path) => existsSync(path)) ?? "";
const UNSTABLE = /v\d+(alpha|beta)\d/;
const META = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** What differs, by path. Descriptions may differ in white space, and freely where the client's models have none. */
function differences(ours: any, theirs: any, path = ""): string[] {
  if (typeof ours !== "object" || typeof theirs !== "object" || ours === null || theirs === null) {
    return ours === theirs || path.endsWith("/description") ? [] : [`${path}: ${JSON.stringify(ours)} instead of ${JSON.stringify(theirs)}`];
  }
  if (Array.isArray(ours) && path.endsWith("/required")) return differences(Object.fromEntries(ours.map((key) => [key, 1])), Object.fromEntries(theirs.map((key: string) => [key, 1])), `${path}/`);
  return [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].flatMap((key) => {
    if (!(key in ours)) return [`${path}/${key} is missing`];
    return key in theirs ? differences(ours[key], theirs[key], `${path}/${key}`) : [`${path}/${key} is extra`];
  });
}

describe.skipIf(PUBLISHED === "")("compared with what Kubernetes publishes", () => {
  test("the document of version 2 is the same for every stable kind", () => {
    const theirs = JSON.parse(readFileSync(join(PUBLISHED, "openapi-v2.json"), "utf8"));
    const ours: any = structuredClone(documentV2(sources));
    for (const path of Object.keys(theirs.paths)) if (UNSTABLE.test(path) || /^\/logs|storagemigration|internal\.api/.test(path)) delete theirs.paths[path];
    for (const name of Object.keys(theirs.definitions)) if (UNSTABLE.test(name)) delete theirs.definitions[name];
    // Only group-versions that are served are listed, and node logs are not served.
    for (const name of ["DeleteOptions", "WatchEvent"]) for (const document of [ours, theirs]) delete document.definitions[`${META}.${name}`]["x-kubernetes-group-version-kind"];
    delete theirs.definitions[`${META}.GroupResource`];
    delete theirs.parameters["logpath-Noq7euwC"];
    expect(differences(ours, theirs)).toEqual([]);
  });

  for (const path of documentsV3(KINDS)) {
    const file = join(PUBLISHED, "openapi-v3", `${path.replaceAll("/", "__")}_openapi.json`);
    test.skipIf(!existsSync(file))(`the document ${path} of version 3 is the same`, () => {
      expect(differences(documentV3(sources, path), JSON.parse(readFileSync(file, "utf8")))).toEqual([]);
    });
  }

  test("descriptions of fields the models describe are the same but for white space", () => {
    const theirs = JSON.parse(readFileSync(join(PUBLISHED, "openapi-v2.json"), "utf8")).definitions;
    const plain = (sentence: string | undefined): string => (sentence ?? "").replace(/\s+/g, " ").trim();
    const wrong = Object.entries(sources.docs.descriptions).flatMap(([name, fields]) =>
      Object.entries(fields).filter(([field, description]) => {
        const property = field === "" ? theirs[name] : theirs[name]?.properties?.[field];
        const target = property?.$ref?.split("/").at(-1);
        return property?.description !== undefined && plain(description) !== plain(property.description) && !SPECIAL_BY_NAME.has(target) && theirs[target]?.description !== description;
      }).map(([field]) => `${name}.${field}`));
    expect(wrong).toEqual([]);
  });
});

describe("documents of version 3", () => {
  const openApi = new OpenApi(sources.definitions, () => KINDS);

  test("are listed with a hash, and found under the listed path with that tag", () => {
    const { paths } = text(openApi.v3Index().bytes);
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(["api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"]));
    const hash = new URL(paths["apis/apps/v1"].serverRelativeURL, "http://x").searchParams.get("hash") ?? "";
    const document = openApi.v3("apis/apps/v1");
    expect(document?.etag).toBe(hash);
    expect(text(document?.bytes ?? new Uint8Array()).components.schemas["io.k8s.api.apps.v1.Deployment"].properties.spec.allOf[0].$ref).toBe("#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec");
    expect(openApi.v3("apis/nope/v1")).toBeUndefined();
  });

  test("hold every definition they refer to", () => {
    for (const path of documentsV3(KINDS)) {
      const document: any = documentV3(sources, path);
      const referred = JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g);
      expect([...referred].filter(([, name]) => !document.components.schemas[name as string])).toEqual([]);
    }
  });

  test("change their hash when their kinds do, and only theirs", () => {
    const fewer = new OpenApi(sources.definitions, () => KINDS.filter(({ kind }) => kind !== "Deployment"));
    expect(fewer.v3Hash("apis/apps/v1")).not.toBe(openApi.v3Hash("apis/apps/v1"));
    expect(fewer.v3Hash("apis/batch/v1")).toBe(openApi.v3Hash("apis/batch/v1"));
  });
});

describe("the protobuf form", () => {
  // protobufjs comes with the gRPC client.
  const require = createRequire(createRequire(import.meta.url).resolve("@grpc/proto-loader"));
  const Document = require("protobufjs").parse(GNOSTIC).root.lookupType("openapi.v2.Document");

  test("has all that definitions and servers of others say of their values, and nothing no message has a place for", () => {
    const widget = {
      type: "object", title: "A widget", required: ["size"], example: { size: 1 },
      properties: {
        size: { type: "integer", minimum: 0.5, maximum: 5_000_000_000, exclusiveMinimum: true, default: 0 }, name: { type: "string", maxLength: 5_000_000_000, pattern: "^a$", enum: ["a", "b"], oneOf: [{}] },
        list: { type: "array", maxItems: 3, items: { type: "string" } }, map: { type: "object", additionalProperties: true }, all: { allOf: [{ $ref: "#/definitions/widget" }] },
      },
    };
    const parameters = [{ name: "mode", in: "query", type: "string", default: "x", enum: ["x"] }];
    const read = Document.toObject(Document.decode(encodeDocument({ swagger: "2.0", definitions: { widget }, paths: { "/w": { patch: { parameters } } } })), { longs: Number });
    const [{ value }] = read.definitions.entry;
    const property = (name: string): any => value.properties.entry.find((entry: any) => entry.name === name).value;
    expect(value).toMatchObject({ title: "A widget", required: ["size"], example: { yaml: '{"size":1}\n' } });
    expect(property("size")).toEqual({ type: { value: ["integer"] }, minimum: 0.5, maximum: 5_000_000_000, exclusiveMinimum: true, default: { yaml: "0\n" } });
    expect(property("name")).toEqual({ type: { value: ["string"] }, maxLength: 5_000_000_000, pattern: "^a$", enum: [{ yaml: '"a"\n' }, { yaml: '"b"\n' }] });
    expect(property("list")).toMatchObject({ maxItems: 3, items: { schema: [{ type: { value: ["string"] } }] } });
    expect([property("map").additionalProperties, property("all").allOf]).toEqual([{ boolean: true }, [{ ref: "#/definitions/widget" }]]);
    expect(read.paths.path[0].value.patch.parameters[0].parameter.nonBody.query).toEqual({ name: "mode", type: "string", default: { yaml: '"x"\n' }, enum: [{ yaml: '"x"\n' }] });
  });

  test("reads back as the same document", () => {
    const document: any = documentV2({ ...sources, kinds: KINDS.filter(({ kind }) => kind === "Pod" || kind === "ConfigMap") });
    const read = Document.toObject(Document.decode(encodeDocument(document)));
    expect(read.definitions.entry.map(({ name }: any) => name)).toEqual(Object.keys(document.definitions));
    expect(read.paths.path.map(({ name }: any) => name)).toEqual(Object.keys(document.paths));
    const pod = read.definitions.entry.find(({ name }: any) => name === "io.k8s.api.core.v1.Pod").value;
    expect(pod.type.value).toEqual(["object"]);
    expect(pod.extension).toEqual([{ name: "x-kubernetes-group-version-kind", value: { yaml: '[{"group":"","kind":"Pod","version":"v1"}]\n' } }]);
    const spec = pod.properties.entry.find(({ name }: any) => name === "spec").value;
    expect(spec.ref).toBe("#/definitions/io.k8s.api.core.v1.PodSpec");
    const { patch } = read.paths.path.find(({ name }: any) => name.endsWith("/configmaps/{name}")).value;
    expect(patch.parameters.map((item: any) => item.parameter?.nonBody?.query?.name ?? item.reference?.ref)).toContain("dryRun");
    expect(patch.extension.map(({ name }: any) => name)).toEqual(["x-kubernetes-action", "x-kubernetes-group-version-kind"]);
  });
});

test("a kind added at run time is described by its requests and its schema", () => {
  const definitions = new Definitions();
  definitions.published.set("com.example.v1.Widget", { description: "A widget.", type: "object", properties: { spec: { type: "object" } } });
  const openApi = new OpenApi(definitions, () => [...KINDS, row("example.com", "v1", "widgets", "Widget", true)]);
  const document = text(openApi.v3("apis/example.com/v1")?.bytes ?? new Uint8Array());
  expect(Object.keys(document.paths)).toContain("/apis/example.com/v1/namespaces/{namespace}/widgets/{name}");
  expect(document.components.schemas["com.example.v1.Widget"]).toMatchObject({ description: "A widget.", "x-kubernetes-group-version-kind": [{ group: "example.com", kind: "Widget", version: "v1" }] });
  expect(document.components.schemas["com.example.v1.WidgetList"].properties.items.items.$ref).toBe("#/components/schemas/com.example.v1.Widget");
  expect(document.components.schemas[`${META}.ObjectMeta`]).toBeDefined();
});

/** The part of gnostic's OpenAPIv2.proto the test reads, with names of its own. */
const GNOSTIC = `
syntax = "proto3"; package openapi.v2;
message Document { string swagger = 1; Paths paths = 8; Definitions definitions = 9; }
message Any { string yaml = 2; }
message NamedAny { string name = 1; Any value = 2; }
message Definitions { repeated NamedSchema entry = 1; }
message NamedSchema { string name = 1; Schema value = 2; }
message TypeItem { repeated string value = 1; }
message Items { repeated Schema schema = 1; }
message Additional { Schema schema = 1; bool boolean = 2; }
message Schema {
  string ref = 1; string description = 4; TypeItem type = 22; Items items = 23; repeated Schema allOf = 24; Definitions properties = 25; repeated NamedAny extension = 31;
  string title = 3; Any default = 5; double maximum = 7; double minimum = 9; bool exclusiveMinimum = 10; int64 maxLength = 11; string pattern = 13; int64 maxItems = 14; repeated string required = 19;
  repeated Any enum = 20; Additional additionalProperties = 21; Any example = 30;
}
message Paths { repeated NamedPath path = 2; }
message NamedPath { string name = 1; PathItem value = 2; }
message PathItem { Operation patch = 8; }
message Operation { repeated ParametersItem parameters = 8; repeated NamedAny extension = 13; }
message ParametersItem { Parameter parameter = 1; Reference reference = 2; }
message Reference { string ref = 1; }
message Parameter { NonBody nonBody = 2; }
message NonBody { Query query = 3; }
message Query { string description = 3; string name = 4; string type = 6; Any default = 10; repeated Any enum = 21; }
`;

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isExpired } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, ConfigMap } from "../../../api/types.ts";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { call, startTestServer, type TestServer } from "../testing.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const MAPS = "/api/v1/namespaces/default/configmaps";

const STRATEGIES: Record<string, Partial<Strategy>> = {
  Pod: { selectableFields: (pod) => ({ "spec.nodeName": pod["spec"]?.nodeName ?? "", "status.phase": pod["status"]?.phase ?? "" }) },
};
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ http: true, strategies: { for: ({ group, kind }) => ({ group, kind, ...STRATEGIES[kind] }) } });
  for (const [name, app] of [["a", "x"], ["b", "y"], ["c", "x"], ["d", "y"], ["e", "x"]] as const) await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name, namespace: "default", labels: { app } }, data: { v: "1" } });
  await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "z", namespace: "other" } });
});
afterAll(() => server.stop());

const names = ({ body }: { body: AnyObject }): string[] => body["items"].map((item: AnyObject) => item.metadata.name);
const list = (query: string, path = MAPS): ReturnType<typeof call> => call(server, "GET", `${path}?${query}`);
const setData = (name: string, v: string): Promise<unknown> => server.client.patch(CONFIG_MAP, { name, namespace: "default" }, { data: { v } }, { type: "merge" });

describe("list", () => {
  test("one namespace or all of them, with the store's revision", async () => {
    const one = await list("");
    expect([one.body.kind, one.body.apiVersion, names(one)]).toEqual(["ConfigMapList", "v1", ["a", "b", "c", "d", "e"]]);
    expect(Number(one.body.metadata.resourceVersion)).toBe(server.server.engine.store.revision);
    expect(names(await list("", "/api/v1/configmaps"))).toEqual(["a", "b", "c", "d", "e", "z"]);
  });

  test("an empty list is a list", async () => {
    expect((await list("", "/api/v1/secrets")).body).toMatchObject({ kind: "SecretList", items: [] });
  });

  test.each([
    ["labelSelector=app%3Dx", ["a", "c", "e"]],
    ["labelSelector=app+in+(x,y),app!%3Dx", ["b", "d"]],
    ["labelSelector=!app", []],
    ["fieldSelector=metadata.name%3Db", ["b"]],
    ["fieldSelector=metadata.name!%3Db", ["a", "c", "d", "e"]],
    ["fieldSelector=metadata.namespace%3Dother", []],
    ["fieldSelector=metadata.name%3Db,metadata.name%3Dc", []],
  ])("%s selects %p", async (query, expected) => {
    expect(names(await list(query))).toEqual(expected);
  });

  test.each([
    ["labelSelector=a+b", "unable to parse requirement"],
    ["fieldSelector=x", "invalid selector: 'x'; can't understand 'x'"],
    ["fieldSelector=data%3Dx", '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'],
    ["limit=x", 'strconv.ParseInt: parsing "x": invalid syntax'],
  ])("%s is refused", async (query, message) => {
    const reply = await list(query);
    expect(reply.status).toBe(400);
    expect(reply.body["message"]).toContain(message);
  });

  test("kinds offer fields of their own, and no others", async () => {
    expect((await list("fieldSelector=spec.nodeName%3Dn1", "/api/v1/pods")).status).toBe(200);
    expect((await list("fieldSelector=spec.nope%3Dn1", "/api/v1/pods")).body["message"]).toBe("field label not supported: spec.nope");
  });

  test("the legacy watch path and the watch of one name are watches", async () => {
    const one = await fetch(`${server.url}/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } } as RequestInit);
    expect((await one.text()).split("\n").filter(Boolean).map((line) => JSON.parse(line).object.metadata.name)).toEqual(["b"]);
  });
});

describe("pages", () => {
  test("follow each other without gaps, counting down, at the revision of the first", async () => {
    const first = await list("limit=2");
    expect([names(first), first.body.metadata["remainingItemCount" as never]]).toEqual([["a", "b"], 3] as never);
    const token = (first.body.metadata as { continue?: string }).continue as string;
    await setData("d", "2");
    await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "bb", namespace: "default" } });
    const second = await list(`limit=2&continue=${token}`);
    expect(names(second)).toEqual(["c", "d"]);
    expect(second.body["items"][1].data).toEqual({ v: "1" });
    expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion as string);
    const third = await list(`limit=2&continue=${(second.body.metadata as { continue?: string }).continue}`);
    expect([names(third), (third.body.metadata as { continue?: string }).continue]).toEqual([["e"], undefined]);
    await server.client.delete(CONFIG_MAP, { name: "bb", namespace: "default" });
  });

  test("go across namespaces", async () => {
    const first = await list("limit=5", "/api/v1/configmaps");
    const rest = await list(`continue=${(first.body.metadata as { continue?: string }).continue}`, "/api/v1/configmaps");
    expect([...names(first), ...names(rest)]).toEqual(["a", "b", "c", "d", "e", "z"]);
  });

  test("a token that is none is refused; one that is too old is told, with one that settles for now", async () => {
    expect((await list("continue=abc")).body["message"]).toBe("continue key is not valid: invalid character 'i' looking for beginning of value");
    expect((await list("continue=abc!")).body["message"]).toBe("continue key is not valid: illegal base64 data at input byte 3");
    expect((await list(`continue=${Buffer.from('{"v":"v0"}').toString("base64url")}`)).body["message"]).toBe('continue key is not valid: server does not recognize this encoded version "v0"');
    const small = await startTestServer({ http: true, historyBounds: { maxEvents: 2, maxAgeMs: 1e9 } });
    for (const name of ["a", "b", "c"]) await small.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name, namespace: "default" } });
    const first = await call(small, "GET", `${MAPS}?limit=1`);
    for (const v of ["1", "2", "3"]) await small.client.patch(CONFIG_MAP, { name: "c", namespace: "default" }, { data: { v } }, { type: "merge" });
    const late = await call(small, "GET", `${MAPS}?limit=1&continue=${(first.body.metadata as { continue?: string }).continue}`);
    expect(late.body).toMatchObject({ code: 410, reason: "Expired", message: expect.stringContaining("The provided continue parameter is too old to display a consistent list result.") });
    const again = await call(small, "GET", `${MAPS}?continue=${(late.body.metadata as { continue?: string }).continue}`);
    expect(names(again)).toEqual(["b", "c"]);
    await small.stop();
  });
});

describe("resourceVersion", () => {
  test("Exact shows the past, NotOlderThan the present", async () => {
    const then = (await list("")).body.metadata.resourceVersion;
    await setData("a", "changed");
    const data = async (query: string): Promise<string> => (await list(query)).body["items"][0].data.v;
    expect(await data(`resourceVersion=${then}&resourceVersionMatch=Exact`)).toBe("1");
    expect(await data(`resourceVersion=${then}&limit=1`)).toBe("1");
    expect(await data(`resourceVersion=${then}&resourceVersionMatch=NotOlderThan`)).toBe("changed");
    expect(await data(`resourceVersion=${then}`)).toBe("changed");
    expect(await data("resourceVersion=0")).toBe("changed");
    expect((await list(`resourceVersion=${then}&resourceVersionMatch=Exact`)).body.metadata.resourceVersion).toBe(then as string);
  });

  test("one from the future is waited for, then refused", async () => {
    const future = server.server.engine.store.revision + 1;
    const waiting = call(server, "GET", `${MAPS}/a?resourceVersion=${future}`);
    await setData("a", "arrived");
    expect((await waiting).body["data"]).toEqual({ v: "arrived" });
    const reply = await list(`resourceVersion=${future + 1000}`);
    expect(reply.body).toMatchObject({ code: 504, reason: "Timeout", message: `Timeout: Too large resource version: ${future + 1000}, current: ${future}`, details: { causes: [{ reason: "ResourceVersionTooLarge" }], retryAfterSeconds: 1 } });
  }, TEST_TIMEOUT_MS);

  test.each([
    ["resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"],
    ["resourceVersion=0&resourceVersionMatch=Exact", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'],
    ["resourceVersion=1&resourceVersionMatch=Nope", 'Unsupported value: "Nope"'],
    ["resourceVersion=1&resourceVersionMatch=Exact&continue=x", "resourceVersionMatch is forbidden when continue is provided"],
    ["sendInitialEvents=true", "sendInitialEvents is forbidden for list"],
    ["resourceVersion=x", "Invalid value: \"x\""],
  ])("%s is refused", async (query, message) => {
    const reply = await list(query);
    expect([400, 422]).toContain(reply.status);
    expect(reply.body["message"]).toContain(message);
  });

  test("a state too far back is gone", async () => {
    const small = await startTestServer({ historyBounds: { maxEvents: 1, maxAgeMs: 1e9 } });
    for (const name of ["a", "b", "c"]) await small.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name, namespace: "default" } });
    const error = await small.client.list(CONFIG_MAP, { resourceVersion: "1", resourceVersionMatch: "Exact" }).catch((e: unknown) => e);
    expect(isExpired(error)).toBe(true);
    await small.stop();
  });
});

describe("representations", () => {
  const TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json";

  test("items of a list leave their type to the list's, in every form", async () => {
    for (const accept of ["application/json", "application/yaml"]) {
      const { text } = await call(server, "GET", `${MAPS}?pretty=true`, { headers: { accept } });
      expect(text).toContain("ConfigMapList");
      expect(text).not.toMatch(/\bConfigMap\b/);
    }
    const { body } = await call(server, "GET", MAPS);
    expect(body).toMatchObject({ kind: "ConfigMapList", apiVersion: "v1" });
    for (const item of body["items"]) expect(Object.keys(item)).toEqual(["metadata", "data"]);
  });

  test("a Table of a list and of one object, with as much of the object as asked for", async () => {
    const { body } = await call(server, "GET", `${MAPS}?limit=1`, { headers: { accept: TABLE } });
    expect(body).toMatchObject({ kind: "Table", apiVersion: "meta.k8s.io/v1", metadata: { remainingItemCount: 4 }, columnDefinitions: [{ name: "Name", format: "name" }, { name: "Created At" }] });
    expect(body["rows"][0]).toMatchObject({ cells: ["a", expect.any(String)], object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: { name: "a" } } });
    expect(body["rows"][0].object).not.toHaveProperty("data");
    const one = await call(server, "GET", `${MAPS}/b?includeObject=Object`, { headers: { accept: TABLE } });
    expect(one.body["rows"][0].object.data).toEqual({ v: "1" });
    expect((await call(server, "GET", `${MAPS}/b?includeObject=None`, { headers: { accept: TABLE } })).body["rows"][0].object).toBeNull();
    expect((await call(server, "GET", `${MAPS}/b?includeObject=Nope`, { headers: { accept: TABLE } })).status).toBe(400);
  });

  test("metadata only, for one and for many", async () => {
    const one = await call(server, "GET", `${MAPS}/b`, { headers: { accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1" } });
    expect([one.body.kind, one.body["data"], one.body.metadata.name]).toEqual(["PartialObjectMetadata", undefined, "b"]);
    const many = await call(server, "GET", MAPS, { headers: { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" } });
    expect([many.body.kind, many.body["items"][0].kind, many.body["items"].length]).toEqual(["PartialObjectMetadataList", "PartialObjectMetadata", 5]);
  });

  test("who prefers protobuf but takes JSON gets JSON; who takes only protobuf is told", async () => {
    const both = await call(server, "GET", `${MAPS}/b`, { headers: { accept: "application/vnd.kubernetes.protobuf,application/json" } });
    expect([both.status, both.headers.get("content-type")]).toEqual([200, "application/json"]);
    const only = await call(server, "GET", `${MAPS}/b`, { headers: { accept: "application/vnd.kubernetes.protobuf" } });
    expect(only.body).toMatchObject({ code: 406, reason: "NotAcceptable", message: expect.stringContaining("only the following media types are accepted") });
  });

  test("what is no object has no Table: who insists on one is told, who takes JSON too gets it", async () => {
    const own = await startTestServer({ http: true, postHandlers: { selfsubjectaccessreviews: (_request, body) => body } });
    const review = (accept: string): ReturnType<typeof call> => call(own, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", { body: { spec: {} }, headers: { accept } });
    expect((await review("application/json;as=Table;v=v1;g=meta.k8s.io")).status).toBe(406);
    expect((await review("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")).body.kind).toBe("SelfSubjectAccessReview");
    await own.stop();
  });

  test("people who ask with curl get replies of many lines, unless they say otherwise; events stay on one", async () => {
    const curl = { headers: { "user-agent": "curl/8.0" } };
    expect((await call(server, "GET", `${MAPS}/b`, curl)).text).toContain('\n  "metadata": {');
    expect((await call(server, "GET", `${MAPS}/none`, curl)).text).toContain('\n  "status": "Failure"');
    expect((await call(server, "GET", "/apis", curl)).text).toContain('\n  "groups": [');
    expect((await call(server, "GET", `${MAPS}/b?pretty=false`, curl)).text).not.toContain("\n  ");
    expect((await call(server, "GET", `${MAPS}/b`)).text).not.toContain("\n  ");
    expect((await call(server, "GET", "/version")).text).toContain('\n  "gitVersion"');
    const events = (await call(server, "GET", `${MAPS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Db`, curl)).text.trim().split("\n");
    expect(events.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(["ADDED"]);
  });

  test("pretty means pretty, and large replies are compressed for who wants it", async () => {
    expect((await call(server, "GET", `${MAPS}/b?pretty=true`)).text).toContain('\n  "metadata": {');
    await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "big", namespace: "big" }, data: { v: "x".repeat(300_000) } });
    const reply = await call(server, "GET", "/api/v1/namespaces/big/configmaps", { headers: { "accept-encoding": "gzip" } });
    expect(reply.headers.get("content-encoding")).toBe("gzip");
    expect(reply.body["items"][0].data.v).toHaveLength(300_000);
  });
});

describe("events, which are served in two versions", () => {
  const CORE = "/api/v1/namespaces/default/events";
  const EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events";
  const convert = {
    toStored: ({ note, regarding, ...event }: AnyObject): AnyObject => ({ ...event, apiVersion: "v1", kind: "Event", message: note, involvedObject: regarding }),
    fromStored: ({ message, involvedObject, ...event }: AnyObject): AnyObject => ({ ...event, apiVersion: "events.k8s.io/v1", kind: "Event", note: message, regarding: involvedObject }),
  };

  test("are one set of objects, each read in the form asked for", async () => {
    const both = await startTestServer({ http: true, strategies: { for: ({ group, kind }) => ({ group, kind, ...(group === "events.k8s.io" && { convert, selectableFields: (event) => ({ "regarding.name": event["regarding"]?.name ?? "" }) }) }) } });
    const written = await call(both, "POST", EVENTS, { body: { metadata: { name: "e" }, note: "hello", regarding: { name: "p" }, eventTime: null } });
    expect(written.body).toMatchObject({ apiVersion: "events.k8s.io/v1", note: "hello", regarding: { name: "p" } });
    expect((await call(both, "GET", `${CORE}/e`)).body).toMatchObject({ apiVersion: "v1", message: "hello", involvedObject: { name: "p" } });
    expect((await call(both, "GET", `${EVENTS}?fieldSelector=regarding.name%3Dp`)).body["items"]).toMatchObject([{ note: "hello", metadata: { resourceVersion: "1" } }]);
    const patched = await call(both, "PATCH", `${EVENTS}/e`, { body: { note: "again" }, headers: { "content-type": "application/merge-patch+json" } });
    expect(patched.body).toMatchObject({ note: "again", metadata: { resourceVersion: "2" } });
    expect((await call(both, "GET", `${CORE}/e`)).body["message"]).toBe("again");
    await both.stop();
  });
});

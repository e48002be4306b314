import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { KINDS } from "../../../api/kinds.ts";
import { KindRegistry } from "../../../api/registry.ts";
import { row } from "../../../api/kinds.ts";
import { call, startTestServer, type TestServer } from "../testing.ts";

const PUBLISHED = `${import.meta.dir}/../../../../../shared/kubernetes-1.36/discovery`;
const hasPublished = existsSync(PUBLISHED);
/** Upstream still stores these in their beta form; the hash only says that versions share storage. */
const STORED_ELSEWHERE = ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "customresourcedefinitions"];
const comparable = (resources: any[]): any[] => resources.toSorted(byName).map(({ storageVersionHash, ...rest }) => (STORED_ELSEWHERE.includes(rest.name) ? rest : { ...rest, storageVersionHash }));
const published = (name: string): Record<string, any> => JSON.parse(readFileSync(`${PUBLISHED}/${name}.json`, "utf8"));
const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;q=0.9";

const kinds = new KindRegistry();
let server: TestServer;
beforeAll(async () => { server = await startTestServer({ kinds, http: true }); });
afterAll(() => server.stop());

const byName = (a: { name?: string; resource?: string }, b: { name?: string; resource?: string }): number => ((a.name ?? a.resource ?? "") < (b.name ?? b.resource ?? "") ? -1 : 1);

describe.if(hasPublished)("compared with what upstream publishes", () => {
  test("every served version lists its resources field for field", async () => {
    for (const path of new Set(KINDS.map(({ group, version }) => (group === "" ? `api/${version}` : `apis/${group}/${version}`)))) {
      const { body } = await call(server, "GET", `/${path}`);
      const expected = published(path.replaceAll("/", "__"));
      expect({ ...body, resources: comparable(body["resources"]) }).toEqual({ ...expected, resources: comparable(expected["resources"]) } as never);
    }
  });

  test("groups come in upstream's order with their stable versions", async () => {
    const { body } = await call(server, "GET", "/apis");
    const stable = published("apis")["groups"].map((group: any) => ({ ...group, versions: group.versions.filter(({ version }: any) => !/alpha|beta/.test(version)) })).filter((group: any) => group.versions.length > 0);
    expect(body["groups"]).toEqual(stable);
  });

  test("the aggregated document says the same as upstream's", async () => {
    const { body } = await call(server, "GET", "/apis", { headers: { accept: AGGREGATED } });
    const stable = published("aggregated_v2")["items"].map((item: any) => ({ ...item, versions: item.versions.filter(({ version }: any) => !/alpha|beta/.test(version)) })).filter((item: any) => item.versions.length > 0);
    const sorted = (items: any[]): any[] => items.map((item) => ({ ...item, metadata: { name: item.metadata.name }, versions: item.versions.map((v: any) => ({ ...v, resources: v.resources.toSorted(byName) })) }));
    expect(sorted(body["items"])).toEqual(sorted(stable));
  });
});

describe("discovery", () => {
  test("the aggregated form is only for those who ask, carries an ETag, and is not sent twice", async () => {
    const first = await call(server, "GET", "/apis", { headers: { accept: AGGREGATED } });
    expect(first.headers.get("content-type")).toBe("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    const etag = first.headers.get("etag") as string;
    expect((await call(server, "GET", "/apis", { headers: { accept: AGGREGATED, "if-none-match": etag } })).status).toBe(304);
    expect((await call(server, "GET", "/apis", { headers: { accept: "application/json" } })).body.kind).toBe("APIGroupList");
    expect((await call(server, "GET", "/api", { headers: { accept: AGGREGATED } })).body["items"][0].versions[0].version).toBe("v1");
  });

  test("a kind added while running shows up, and goes again", async () => {
    const widget = row("example.com", "v1", "widgets", "Widget", true);
    const before = await call(server, "GET", "/apis", { headers: { accept: AGGREGATED } });
    kinds.add(widget);
    expect((await call(server, "GET", "/apis/example.com/v1")).body["resources"][0].name).toBe("widgets");
    const after = await call(server, "GET", "/apis", { headers: { accept: AGGREGATED } });
    expect(after.headers.get("etag")).not.toBe(before.headers.get("etag"));
    kinds.remove(widget);
    expect((await call(server, "GET", "/apis/example.com")).status).toBe(404);
  });

  test("what does not exist is a Status inside the API and plain text outside", async () => {
    expect((await call(server, "GET", "/apis/nope.io/v1/things")).body).toMatchObject({ kind: "Status", code: 404, reason: "NotFound", message: "the server could not find the requested resource" });
    expect((await call(server, "GET", "/api/v1/nope")).body["message"]).toBe("the server could not find the requested resource");
    expect(await call(server, "GET", "/nope")).toMatchObject({ status: 404, text: "404 page not found\n" });
  });

  test("the root lists the paths", async () => {
    expect((await call(server, "GET", "/")).body["paths"]).toContain("/apis/apps/v1");
  });

  test("the version is one that clients can compare", async () => {
    expect((await call(server, "GET", "/version")).body).toMatchObject({ major: "1", minor: "36", gitVersion: "v1.36.2+minik8s" });
  });
});

describe("health", () => {
  test("one word when all is well, one line a check when asked", async () => {
    expect(await call(server, "GET", "/readyz")).toMatchObject({ status: 200, text: "ok" });
    expect((await call(server, "GET", "/livez?verbose")).text).toBe("[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n");
    expect((await call(server, "GET", "/livez?verbose&exclude=etcd")).text).toContain("[+]etcd excluded: ok");
    expect((await call(server, "GET", "/readyz?verbose&exclude=zebra&exclude=apple")).text).toBe('[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for "apple","zebra"\nreadyz check passed\n');
    expect((await call(server, "GET", "/healthz?verbose")).text).toBe("[+]ping ok\n[+]log ok\n[+]etcd ok\nhealthz check passed\n");
    expect((await call(server, "GET", "/metrics/slis")).text).toContain('kubernetes_healthcheck{name="etcd",type="livez"} 1');
    expect((await call(server, "GET", "/metrics/slis")).text).toContain('kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 2');
    const { paths } = (await call(server, "GET", "/index.html")).body as unknown as { paths: string[] };
    expect(paths).toEqual(expect.arrayContaining(["/healthz/ping", "/livez/etcd", "/metrics/slis", "/readyz/etcd-readiness", "/readyz/shutdown"]));
    expect(paths).not.toContain("/livez/shutdown");
    expect(await call(server, "GET", "/livez/ping")).toMatchObject({ status: 200, text: "ok" });
    expect((await call(server, "GET", "/livez/nope")).status).toBe(404);
  });

  test("a failing check is 500 and named, and can be excluded", async () => {
    const broken = await startTestServer({ http: { checks: [{ name: "thing", check: () => { throw new Error("secret"); } }, { name: "later", readinessOnly: true, check: () => Promise.reject(new Error("no")) }] } });
    const reply = await call(broken, "GET", "/readyz");
    expect([reply.status, reply.text]).toEqual([500, "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[-]thing failed: reason withheld\n[-]later failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"]);
    expect((await call(broken, "GET", "/livez?exclude=thing")).status).toBe(200);
    await broken.stop();
  });

  test("metrics count requests by verb, resource and code", async () => {
    await call(server, "GET", "/api/v1/namespaces/default/configmaps/none");
    const { text } = await call(server, "GET", "/metrics");
    expect(text).toMatch(/apiserver_request_total\{code="404",.*resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"\} 1/);
    expect(text).toContain("process_resident_memory_bytes");
  });
});

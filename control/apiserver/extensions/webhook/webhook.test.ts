import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { KindRegistry } from "../../../../api/registry.ts";
import type { AnyObject } from "../../../../api/types.ts";
import type { Engine } from "../../engine.ts";
import { call, selfSigned, startTestServer, type TestServer } from "../../testing.ts";
import { webhookCaller } from "./client.ts";
import { mutatingWebhooks, validatingWebhooks } from "./plugin.ts";

type Respond = (request: AnyObject) => Record<string, unknown> | undefined;

let server: TestServer;
let hookServer: Server;
let base = "";
let caBundle = "";
const responders = new Map<string, Respond>();
const asked: AnyObject[] = [];

const CONFIGS = { mutating: "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", validating: "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations" };
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";

beforeAll(async () => {
  const certificate = await selfSigned();
  caBundle = Buffer.from(certificate.cert).toString("base64");
  hookServer = createServer(certificate, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as AnyObject;
      asked.push(review["request"]);
      const answer = responders.get((request.url ?? "").split("?")[0] ?? "")?.(review["request"]);
      if (answer) response.end(JSON.stringify({ kind: "AdmissionReview", apiVersion: review.apiVersion, response: { uid: review["request"].uid, ...answer } }));
    });
  });
  await new Promise<void>((resolve) => hookServer.listen(0, "127.0.0.1", resolve));
  base = `https://127.0.0.1:${(hookServer.address() as AddressInfo).port}`;
  const parts: { engine?: () => Engine } = {};
  const engine = (): Engine => (parts.engine as () => Engine)();
  const deps = { engine, call: webhookCaller(engine) };
  server = await startTestServer({ kinds: new KindRegistry(), admission: [mutatingWebhooks(deps), validatingWebhooks(deps)], http: true });
  parts.engine = () => server.server.engine;
});

afterAll(async () => {
  hookServer.closeAllConnections();
  hookServer.close();
  await server.stop();
});

afterEach(async () => {
  for (const path of Object.values(CONFIGS)) await call(server, "DELETE", path);
  responders.clear();
  asked.length = 0;
});

const RULES = [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE", "UPDATE", "DELETE"], resources: ["configmaps"] }];

function aHook(path: string, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { name: `${path.slice(1)}.example.com`, clientConfig: { url: `${base}${path}`, caBundle }, rules: RULES, sideEffects: "None", admissionReviewVersions: ["v1"], ...fields };
}

async function configure(type: keyof typeof CONFIGS, ...webhooks: Record<string, unknown>[]): Promise<void> {
  const kind = type === "mutating" ? "MutatingWebhookConfiguration" : "ValidatingWebhookConfiguration";
  const made = await call(server, "POST", CONFIGS[type], { body: { apiVersion: "admissionregistration.k8s.io/v1", kind, metadata: { generateName: "hooks-" }, webhooks } });
  expect(made.status).toBe(201);
}

let made = 0;

async function createConfigMap(fields: Record<string, unknown> = {}, query = ""): Promise<{ status: number; body: AnyObject; headers: Headers }> {
  return call(server, "POST", `${CONFIG_MAPS}${query}`, { body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `c${made++}`, labels: fields["labels"] }, data: fields["data"] ?? { a: "1" } } });
}

const patchOf = (operations: unknown): Record<string, unknown> => ({ allowed: true, patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(operations)).toString("base64") });

describe("a validating webhook", () => {
  test("that refuses is quoted", async () => {
    responders.set("/deny", () => ({ allowed: false, status: { message: "not like this", reason: "Forbidden", code: 403 } }));
    await configure("validating", aHook("/deny"));
    const { status, body } = await createConfigMap();
    expect(status).toBe(403);
    expect(body["message"]).toBe('admission webhook "deny.example.com" denied the request: not like this');
  });

  test("is told the write, by whom, and what was before", async () => {
    responders.set("/ok", () => ({ allowed: true }));
    const { body } = await createConfigMap();
    await configure("validating", aHook("/ok"));
    await call(server, "PUT", `${CONFIG_MAPS}/${body.metadata.name}`, { body: { ...body, data: { a: "2" } } });
    expect(asked[0]).toMatchObject({ operation: "UPDATE", resource: { group: "", version: "v1", resource: "configmaps" }, kind: { kind: "ConfigMap" }, namespace: "default", userInfo: { username: "admin" }, object: { data: { a: "2" } }, oldObject: { data: { a: "1" } }, dryRun: false });
  });

  test("warns through to the client", async () => {
    responders.set("/warn", () => ({ allowed: true, warnings: ["mind the gap"] }));
    await configure("validating", aHook("/warn"));
    expect((await createConfigMap()).headers.get("warning")).toBe('299 - "mind the gap"');
  });

  test("is left alone when labels do not match", async () => {
    responders.set("/deny", () => ({ allowed: false }));
    await configure("validating", aHook("/deny", { objectSelector: { matchLabels: { watched: "yes" } } }));
    expect((await createConfigMap()).status).toBe(201);
    const { status, body } = await createConfigMap({ labels: { watched: "yes" } });
    expect([status, body["message"]]).toEqual([400, 'admission webhook "deny.example.com" denied the request without explanation']);
  });

  test("that does not answer in time fails the write, or is ignored, as its policy says", async () => {
    responders.set("/slow", () => undefined);
    await configure("validating", aHook("/slow", { timeoutSeconds: 1 }));
    const { status, body } = await createConfigMap();
    expect(status).toBe(500);
    expect(body["message"]).toContain('failed calling webhook "slow.example.com": failed to call webhook: Post');
    expect(body["message"]).toContain("context deadline exceeded");
    await call(server, "DELETE", CONFIGS.validating);
    await configure("validating", aHook("/slow", { timeoutSeconds: 1, failurePolicy: "Ignore" }));
    expect((await createConfigMap()).status).toBe(201);
  });

  test("whose certificate cannot be checked is not trusted", async () => {
    responders.set("/ok", () => ({ allowed: true }));
    await configure("validating", aHook("/ok", { clientConfig: { url: `${base}/ok` } }));
    expect((await createConfigMap()).body["message"]).toContain("certificate signed by unknown authority");
  });

  test("behind a Service that is not there, or has nobody behind it, says so", async () => {
    const clientConfig = { service: { namespace: "default", name: "hook", path: "/ok" }, caBundle };
    await configure("validating", aHook("/ok", { clientConfig }));
    expect((await createConfigMap()).body["message"]).toBe('Internal error occurred: failed calling webhook "ok.example.com": failed to call webhook: service "hook" not found');
    await call(server, "POST", "/api/v1/namespaces/default/services", { body: { apiVersion: "v1", kind: "Service", metadata: { name: "hook" }, spec: { ports: [{ port: 443 }] } } });
    expect((await createConfigMap()).body["message"]).toContain('failed to call webhook: no endpoints available for service "hook"');
  });

  test("with side effects is not asked about a dry run", async () => {
    responders.set("/ok", () => ({ allowed: true }));
    await configure("validating", aHook("/ok", { sideEffects: "Some" }));
    const { status, body } = await createConfigMap({}, "?dryRun=All");
    expect([status, body["message"]]).toEqual([400, 'admission webhook "ok.example.com" does not support dry run']);
    expect(asked).toEqual([]);
  });

  test("can keep an object from being deleted", async () => {
    const { body } = await createConfigMap();
    responders.set("/keep", ({ operation }) => ({ allowed: operation !== "DELETE" }));
    await configure("validating", aHook("/keep"));
    expect((await call(server, "DELETE", `${CONFIG_MAPS}/${body.metadata.name}`)).status).toBe(400);
    expect((await call(server, "GET", `${CONFIG_MAPS}/${body.metadata.name}`)).status).toBe(200);
  });

  test("can keep a pod from being evicted, and is not asked about the delete of one that may be", async () => {
    const pods = "/api/v1/namespaces/default/pods";
    const evict = (name: string): ReturnType<typeof call> => call(server, "POST", `${pods}/${name}/eviction`, { body: { kind: "Eviction", apiVersion: "policy/v1", metadata: { name } } });
    for (const name of ["kept", "let-go"]) await call(server, "POST", pods, { body: { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] } } });
    responders.set("/drain", ({ name }) => ({ allowed: name === "let-go", status: { message: "not drained yet", code: 429 } }));
    await configure("validating", aHook("/drain", { rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["*"], resources: ["pods", "pods/eviction"] }] }));
    expect((await evict("kept")).body).toMatchObject({ code: 429, message: 'admission webhook "drain.example.com" denied the request: not drained yet' });
    expect((await call(server, "GET", `${pods}/kept`)).body.metadata.deletionTimestamp).toBeUndefined();
    expect((await evict("let-go")).status).toBe(201);
    expect(asked.map(({ operation, kind, resource, subResource, name }) => [operation, kind, resource.resource, subResource, name])).toEqual(["kept", "let-go"].map((name) => ["CREATE", { group: "policy", version: "v1", kind: "Eviction" }, "pods", "eviction", name]));
  });

  test("has no say about webhook configurations", async () => {
    responders.set("/deny", () => ({ allowed: false }));
    const rules = [{ apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*/*"] }];
    await configure("validating", aHook("/deny", { rules }));
    await configure("validating", aHook("/deny", { rules }));
  });
});

describe("mutating webhooks", () => {
  test("change what is stored, one after the other", async () => {
    responders.set("/first", () => patchOf([{ op: "add", path: "/data/first", value: "yes" }]));
    responders.set("/second", ({ object }) => (object.data.first ? patchOf([{ op: "add", path: "/data/second", value: "after first" }]) : { allowed: true }));
    await configure("mutating", aHook("/first"), aHook("/second"));
    expect((await createConfigMap()).body["data"]).toEqual({ a: "1", first: "yes", second: "after first" });
  });

  test("are asked again when others changed the object after them, where they wish so", async () => {
    responders.set("/early", ({ object }) => (object.data.late ? patchOf([{ op: "add", path: "/data/sawLate", value: "yes" }]) : patchOf([{ op: "add", path: "/data/early", value: "yes" }])));
    responders.set("/late", () => patchOf([{ op: "add", path: "/data/late", value: "yes" }]));
    await configure("mutating", aHook("/early", { reinvocationPolicy: "IfNeeded" }), aHook("/late"));
    expect((await createConfigMap()).body["data"]).toEqual({ a: "1", early: "yes", late: "yes", sawLate: "yes" });
  });

  test("have their say before validating ones", async () => {
    responders.set("/add", () => patchOf([{ op: "add", path: "/data/added", value: "yes" }]));
    responders.set("/see", ({ object }) => ({ allowed: object.data.added === undefined, status: { message: "saw it" } }));
    await configure("mutating", aHook("/add"));
    await configure("validating", aHook("/see"));
    expect((await createConfigMap()).body["message"]).toContain("saw it");
  });
});

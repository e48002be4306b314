import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect as connectTls } from "node:tls";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, ConfigMap } from "../../../api/types.ts";
import type { AdmissionPlugin } from "../admission/plugin.ts";
import { FlowControl } from "../flowcontrol/control.ts";
import { ensureDefaults, keepFlowObjects } from "../flowcontrol/keep.ts";
import { createStrategies } from "../kinds/index.ts";
import { systemClock } from "../../../lib/clock.ts";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { ADMIN, adminToken, call, startTestServer, type TestServer } from "../testing.ts";
import { dumpOf } from "../flowcontrol/dump.ts";
import { InFlightLimits } from "../flowcontrol/inflight.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const FLOW_SCHEMA = builtinKind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema");
const LEVEL = builtinKind("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration");
const MAPS = "/api/v1/namespaces/default/configmaps";
const as = (name: string, more: Record<string, string> = {}): { headers: Record<string, string> } => ({ headers: { authorization: `Bearer user:${name}`, ...more } });

/** Holds back writes of objects named `slow-*` until told otherwise. */
function slowWrites(): AdmissionPlugin & { held: number; open(): void } {
  const waiting: (() => void)[] = [];
  return {
    name: "Slow", held: 0,
    handles: ({ object }) => object?.metadata.name?.startsWith("slow-") === true,
    admit() {
      this.held++;
      return new Promise((resolve) => waiting.push(resolve));
    },
    open() {
      this.held = 0;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

interface Limited {
  readonly server: TestServer;
  readonly flowControl: FlowControl;
  readonly slow: ReturnType<typeof slowWrites>;
  stop(): Promise<void>;
}

async function aLimitedServer({ seats = 40, requestMs = 60_000 }: { seats?: number; requestMs?: number } = {}): Promise<Limited> {
  const flowControl = new FlowControl({ seats });
  const slow = slowWrites();
  const users = { authenticate: ({ bearerToken = "" }: { bearerToken?: string | undefined }) => (bearerToken.startsWith("user:") ? { name: bearerToken.slice(5), groups: ["system:authenticated"] } : undefined) };
  const server = await startTestServer({
    strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }), extensions: [flowControl], admission: [slow],
    http: { authenticators: [adminToken, users], authorizer: { authorize: () => ({ allowed: true }) }, limits: { flowControl }, timeouts: { requestMs, minRequestSeconds: 1800 } },
  });
  const ending = new AbortController();
  await keepFlowObjects({ client: server.client, clock: systemClock, signal: ending.signal, onChange: (changed) => flowControl.onChange(changed) });
  return { server, flowControl, slow, stop: () => (slow.open(), ending.abort(), server.stop()) };
}

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await Bun.sleep(5);
};

describe("priority and fairness", () => {
  let limited: Limited;
  beforeAll(async () => void (limited = await aLimitedServer()));
  afterAll(() => limited.stop());

  test("tells which objects a request was served by", async () => {
    const { server } = limited;
    const [schema, level] = [await server.client.get(FLOW_SCHEMA, { name: "global-default" }), await server.client.get(LEVEL, { name: "global-default" })];
    const { headers } = await call(server, "GET", MAPS, as("alice"));
    expect([headers.get("x-kubernetes-pf-flowschema-uid"), headers.get("x-kubernetes-pf-prioritylevel-uid")]).toEqual([schema.metadata.uid, level.metadata.uid]);
  });

  test("a schema says whether its level exists, and a new one counts at once", async () => {
    const { server } = limited;
    const spec = { matchingPrecedence: 1000, priorityLevelConfiguration: { name: "mine" }, distinguisherMethod: { type: "ByUser" }, rules: [{ subjects: [{ kind: "User", user: { name: "noxu" } }], nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }] }] };
    await server.client.create<AnyObject>(FLOW_SCHEMA, { metadata: { name: "mine" }, spec });
    const condition = async (): Promise<AnyObject> => (await server.client.get<AnyObject>(FLOW_SCHEMA, { name: "mine" }))["status"]?.conditions?.[0];
    await until(async () => (await condition())?.["status"] === "True");
    expect(await condition()).toMatchObject({ type: "Dangling", reason: "NotFound", message: 'This FlowSchema references the PriorityLevelConfiguration object named "mine" but there is no such object' });
    const level = await server.client.create<AnyObject>(LEVEL, { metadata: { name: "mine" }, spec: { type: "Limited", limited: { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } } } });
    await until(async () => (await condition())?.["status"] === "False");
    expect(await condition()).toMatchObject({ reason: "Found", message: 'This FlowSchema references the PriorityLevelConfiguration object named "mine" and it exists' });
    expect((await call(server, "GET", "/version", as("noxu"))).headers.get("x-kubernetes-pf-prioritylevel-uid")).toBe(level.metadata.uid);
  });

  test("default objects come back as they were, unless somebody took a suggested one over; those of the past go", async () => {
    const { client } = limited.server;
    const change = (kind: typeof LEVEL, name: string, patch: object): Promise<unknown> => client.patch(kind, { name }, patch, { type: "merge" });
    await change(LEVEL, "system", { spec: { limited: { nominalConcurrencyShares: 7 } } });
    await change(LEVEL, "node-high", { metadata: { annotations: { "apf.kubernetes.io/autoupdate-spec": "false" } }, spec: { limited: { nominalConcurrencyShares: 7 } } });
    await client.delete(FLOW_SCHEMA, { name: "catch-all" });
    await client.create<AnyObject>(LEVEL, { metadata: { name: "of-the-past", annotations: { "apf.kubernetes.io/autoupdate-spec": "true" } }, spec: { type: "Limited", limited: { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } } } });
    await ensureDefaults(client);
    const shares = async (name: string): Promise<number> => (await client.get<AnyObject>(LEVEL, { name }))["spec"].limited.nominalConcurrencyShares;
    expect([await shares("system"), await shares("node-high")]).toEqual([30, 7]);
    expect((await client.list(FLOW_SCHEMA)).items.map(({ metadata }) => metadata.name)).toContain("catch-all");
    expect((await client.list(LEVEL)).items.map(({ metadata }) => metadata.name)).not.toContain("of-the-past");
    const versions = async (): Promise<unknown> => [...(await client.list(LEVEL)).items, ...(await client.list(FLOW_SCHEMA)).items].map(({ metadata }) => metadata.resourceVersion);
    await Bun.sleep(300);
    const before = await versions();
    await ensureDefaults(client);
    expect(await versions()).toEqual(before);
  });

  test("the tables and the numbers are those upstream shows", async () => {
    const { server, flowControl } = limited;
    await call(server, "GET", MAPS, as("alice"));
    const levels = await call(server, "GET", "/debug/api_priority_and_fairness/dump_priority_levels");
    expect(levels.headers.get("content-type")).toStartWith("text/plain");
    expect(levels.text.split("\n")[0]?.replaceAll(/, +/g, ",")).toBe("PriorityLevelName,ActiveQueues,IsIdle,IsQuiescing,WaitingRequests,ExecutingRequests,DispatchedRequests,RejectedRequests,TimedoutRequests,CancelledRequests");
    expect(levels.text).toMatch(/^exempt, +0, +false, +false, +0, +1, /m);
    expect((await call(server, "GET", "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1")).text).toMatch(/^exempt, +exempt, +-1, +-1, +, .*admin, +get, +\/debug\/api_priority_and_fairness\/dump_requests, /m);
    expect((await call(server, "GET", "/debug/api_priority_and_fairness/dump_queues")).text.split("\n").length).toBeGreaterThan(128);
    expect(dumpOf(flowControl, "/debug/api_priority_and_fairness/nonsense", false)).toBeUndefined();
    const text = flowControl.text();
    expect(text).toMatch(/^apiserver_flowcontrol_nominal_limit_seats\{priority_level="system"\} \d+$/m);
    expect(text).toMatch(/^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="global-default",priority_level="global-default"\} [1-9]/m);
  });

  test("a client that holds every seat and floods the queues keeps no other from being served", async () => {
    const { server, slow, flowControl } = limited;
    const greedy = connectHttp2(server.url, { rejectUnauthorized: false });
    const replies = flood(greedy, 600);
    await until(() => slow.held > 0 && [...replies.values()].some((status) => status === 429));
    // Its own level is full, and still another user of the same level gets through as soon as one seat is free.
    let status = 0;
    const modest = call(server, "GET", `${MAPS}/none`, as("modest")).then((reply) => (status = reply.status));
    await until(() => (flowControl.levels.get("global-default")?.waiting ?? 0) > 1);
    await until(() => {
      slow.open();
      return status !== 0;
    });
    await modest;
    expect(status).toBe(404);
    const unanswered = [...replies.values()].filter((reply) => reply === 0).length;
    expect(unanswered).toBeGreaterThan(0);
    await until(() => (slow.open(), [...replies.values()].every((reply) => reply !== 0)));
    expect(new Set(replies.values())).toEqual(new Set([201, 429]));
    greedy.destroy();
    await until(() => [...flowControl.levels.values()].every((level) => level.seatsInUse === 0));
  }, TEST_TIMEOUT_MS);

  test("refusals read as upstream's", async () => {
    const { server, slow } = limited;
    const greedy = connectHttp2(server.url, { rejectUnauthorized: false });
    flood(greedy, 600);
    const refused = await refusedOf(greedy, () => slow.held > 0);
    expect(refused).toMatchObject({ ":status": 429, "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff", body: "Too many requests, please try again later.\n" });
    expect(Number(refused["retry-after"])).toBeGreaterThan(0);
    expect(refused["x-kubernetes-pf-flowschema-uid"]).toBeString();
    greedy.destroy();
    await until(() => (slow.open(), [...limited.flowControl.levels.values()].every((level) => level.isIdle)));
  }, TEST_TIMEOUT_MS);

  test("a watch gives its seat back once it has begun", async () => {
    const { server, flowControl } = limited;
    const watching = await fetch(`${server.url}${MAPS}?watch=1`, { tls: { rejectUnauthorized: false }, ...as("alice") } as RequestInit);
    expect(watching.headers.get("x-kubernetes-pf-flowschema-uid")).toBeString();
    await until(() => flowControl.levels.get("global-default")?.seatsInUse === 0);
    await watching.body?.cancel();
  });
});

let floods = 0;

/** Sends this many writes at once; the statuses fill as replies come. */
function flood(session: ClientHttp2Session, count: number): Map<number, number> {
  const replies = new Map<number, number>();
  const wave = ++floods;
  for (let index = 0; index < count; index++) {
    replies.set(index, 0);
    const request = session.request({ ":method": "POST", ":path": MAPS, authorization: "Bearer user:greedy", "content-type": "application/json" });
    request.on("response", (headers) => replies.set(index, Number(headers[":status"])));
    request.on("error", () => {});
    request.resume();
    request.end(JSON.stringify({ metadata: { name: `slow-${wave}-${index}` } }));
  }
  return replies;
}

/** Sends more until one is refused; returns that reply. */
async function refusedOf(session: ClientHttp2Session, isFull: () => boolean): Promise<Record<string, unknown>> {
  await until(isFull);
  for (;;) {
    const reply = await Promise.race([new Promise<Record<string, unknown>>((resolve) => {
      const request = session.request({ ":path": MAPS, authorization: "Bearer user:greedy" });
      let head = {};
      let body = "";
      request.setEncoding("utf8").on("response", (headers) => (head = headers)).on("data", (text: string) => (body += text)).on("end", () => resolve({ ...head, body })).on("error", () => {});
    }), Bun.sleep(200).then(() => undefined)]);
    if (reply?.[":status"] === 429) return reply;
  }
}

describe("the plain limits", () => {
  test("refuse what is above them, reads and writes apart, but never an administrator", () => {
    const limits = new InFlightLimits({ reads: 2, writes: 1 });
    const user = { name: "u", groups: [] };
    const first = limits.enter(user, "get");
    limits.enter(user, "list");
    expect(() => limits.enter(user, "get")).toThrow("Too many requests, please try again later.");
    expect(limits.enter(user, "create")).toBeDefined();
    expect(() => limits.enter(user, "patch")).toThrow();
    expect(limits.enter(ADMIN, "get")).toBeDefined();
    first.release();
    first.release();
    expect(limits.enter(ADMIN, "get")).toBeDefined();
    expect(() => limits.enter(user, "get")).toThrow();
  });
});

describe("requests that take too long", () => {
  test("end with 504 in upstream's words, sooner when the client asks", async () => {
    const { server, stop } = await aLimitedServer();
    const reply = await call(server, "POST", `${MAPS}?timeout=100ms`, { body: { metadata: { name: "slow-one" } } });
    expect([reply.status, reply.body["reason"], reply.body["message"]]).toEqual([504, "Timeout", "Timeout: request did not complete within the allotted timeout"]);
    for (const [timeout, message] of [["soon", 'time: invalid duration "soon"'], ["10", 'time: missing unit in duration "10"'], ["1w", 'time: unknown unit "w" in duration "1w"']]) {
      const refused = await call(server, "GET", `${MAPS}?timeout=${timeout}`);
      expect([refused.status, refused.body["message"]]).toEqual([400, `invalid timeout specified in the request URL - ${message}`]);
    }
    for (const timeout of ["0", "1h", "1m30.5s", "-1s"]) expect((await call(server, "GET", `${MAPS}?timeout=${timeout}`)).status).toBe(200);
    await stop();
  });

  test("a body that does not come frees its seat, and the stream", async () => {
    const { server, flowControl, stop } = await aLimitedServer({ requestMs: 200 });
    const session = connectHttp2(server.url, { rejectUnauthorized: false });
    const request = session.request({ ":method": "POST", ":path": MAPS, authorization: "Bearer user:tardy", "content-type": "application/json" });
    request.write('{"metadata":');
    request.on("error", () => {});
    const status = await new Promise((resolve) => request.on("response", (headers) => resolve(headers[":status"])));
    expect(status).toBe(504);
    await until(() => flowControl.levels.get("global-default")?.seatsInUse === 0);
    session.destroy();
    await stop();
  });

  test("a watch that is about to end says how far it got", async () => {
    const { server, stop } = await aLimitedServer();
    const { text } = await call(server, "GET", `${MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=3`);
    expect(JSON.parse(text.trim().split("\n").at(-1) as string)).toMatchObject({ type: "BOOKMARK", object: { kind: "ConfigMap" } });
    expect((await call(server, "GET", `${MAPS}?watch=1&timeoutSeconds=x`)).body["message"]).toBe('strconv.ParseInt: parsing "x": invalid syntax');
    await stop();
  }, TEST_TIMEOUT_MS);
});

describe("an orderly end", () => {
  test("is not ready any more, finishes what is under way, ends watches, tells HTTP/2 clients to go, and takes nobody new", async () => {
    const slow = slowWrites();
    const server = await startTestServer({ admission: [slow], http: { shutdown: { delayMs: 3_000, graceMs: 60_000 } } });
    const session = connectHttp2(server.url, { rejectUnauthorized: false });
    let isToldToGo = false;
    session.on("goaway", () => (isToldToGo = true));
    const watching = call(server, "GET", `${MAPS}?watch=1`);
    const create = session.request({ ":method": "POST", ":path": MAPS, authorization: "Bearer admin", "content-type": "application/json" });
    create.end('{"metadata":{"name":"slow-last"}}');
    const created = new Promise((resolve) => create.on("response", (headers) => resolve(headers[":status"])));
    await until(() => slow.held === 1);
    const stopped = server.server.stop();
    const readiness = await call(server, "GET", "/readyz");
    expect([readiness.status, readiness.text]).toEqual([500, "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n"]);
    expect((await call(server, "GET", "/livez")).status).toBe(200);
    expect((await watching).text).toBe("");
    await until(() => isToldToGo);
    const refused = await new Promise((resolve) => connectTls({ port: server.server.port, host: "127.0.0.1", rejectUnauthorized: false }, () => resolve("connected")).on("error", (error) => resolve((error as NodeJS.ErrnoException).code)));
    expect(refused).toBe("ECONNREFUSED");
    slow.open();
    expect(await created).toBe(201);
    await stopped;
    expect((await server.client.get<ConfigMap>(CONFIG_MAP, { namespace: "default", name: "slow-last" })).metadata.name).toBe("slow-last");
    session.destroy();
    await server.stop();
  }, TEST_TIMEOUT_MS);
});

test("a client that only opens and resets requests is cut off", async () => {
  const server = await startTestServer({ http: true });
  const session = connectHttp2(server.url, { rejectUnauthorized: false });
  const closed = new Promise<void>((resolve) => session.on("close", () => resolve()));
  session.on("error", () => {});
  for (let sent = 0; sent < 8_000 && !session.destroyed; sent++) {
    try {
      const request = session.request({ ":path": `${MAPS}?watch=1`, authorization: "Bearer admin" });
      request.on("error", () => {});
      request.close(8);
    } catch {
      break;
    }
    if (sent % 100 === 99) await Bun.sleep(1);
  }
  await closed;
  expect((await call(server, "GET", "/livez")).status).toBe(200);
  await server.stop();
}, TEST_TIMEOUT_MS);

test("a client that leaves while it waits is forgotten, over HTTP/1.1 too", async () => {
  const { server, flowControl, slow, stop } = await aLimitedServer({ seats: 40 });
  const greedy = connectHttp2(server.url, { rejectUnauthorized: false });
  flood(greedy, 60);
  const level = () => flowControl.levels.get("global-default");
  await until(() => (level()?.waiting ?? 0) + (level()?.running.size ?? 0) === 60);
  const before = level()?.waiting ?? 0;
  const leaving = new AbortController();
  const asked = fetch(`${server.url}${MAPS}`, { signal: leaving.signal, tls: { rejectUnauthorized: false }, ...as("greedy") } as RequestInit).catch(() => "left");
  await until(() => level()?.waiting === before + 1);
  leaving.abort();
  expect(await asked).toBe("left");
  await until(() => level()?.waiting === before);
  greedy.destroy();
  await until(() => (slow.open(), level()?.isIdle === true));
  await stop();
}, TEST_TIMEOUT_MS);

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { podSecurity } from "../admission/podsecurity/plugin.ts";
import { createStrategies } from "../kinds/index.ts";
import { adminToken, call, startTestServer, type TestServer } from "../testing.ts";
import { Auditor, type AuditSink } from "./auditor.ts";
import { backupName, LogFile } from "./logfile.ts";
import { parsePolicy, verdictOf, type Level, type Rule } from "./policy.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const POLICY = { apiVersion: "audit.k8s.io/v1", kind: "Policy" };

describe("a policy file", () => {
  const refusal = (document: object): string => {
    try {
      parsePolicy(JSON.stringify(document));
      return "accepted";
    } catch (error) {
      return (error as Error).message;
    }
  };

  test.each<[object, string]>([
    [{ kind: "Policy" }, 'must be a Policy of apiVersion "audit.k8s.io/v1"'],
    [{ ...POLICY }, "rules: Required value: a policy without rules records nothing"],
    [{ ...POLICY, rules: [{}] }, "rules[0].level: Required value"],
    [{ ...POLICY, rules: [{ level: "None" }, { level: "All" }] }, 'rules[1].level: Unsupported value: "All": supported values: "None", "Metadata", "Request", "RequestResponse"'],
    [{ ...POLICY, rules: [{ level: "None", users: "me" }] }, 'rules[0].users: Invalid value: "me": must be a list'],
    [{ ...POLICY, rules: [{ level: "None", nonResourceURLs: ["healthz", "/a*b"] }] }, `rules[0].nonResourceURLs[0]: Invalid value: "healthz": non-resource URL rules must begin with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: "/a*b": non-resource URL wildcards '*' must be the final character of the rule`],
    [{ ...POLICY, rules: [{ level: "None", nonResourceURLs: ["/x"], namespaces: ["a"] }] }, 'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs'],
    [{ ...POLICY, rules: [{ level: "None", resources: [{ resourceNames: ["a"] }] }] }, 'rules[0].resources[0].resourceNames: Invalid value: ["a"]: using resourceNames requires at least one resource'],
    [{ ...POLICY, omitStages: ["Sometime"], rules: [{ level: "None" }] }, 'omitStages[0]: Invalid value: "Sometime": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic'],
    [{ ...POLICY, rules: [{ level: "None", users: null }] }, "accepted"],
  ])("%j: %s", (document, message) => expect(refusal(document)).toBe(message));
});

describe("what is recorded of a request", () => {
  const at = (rule: Omit<Rule, "level">): ((more?: object) => Level) => (more = {}) => verdictOf({ rules: [{ level: "Metadata", ...rule }] }, {
    user: { name: "ann", groups: ["dev"] }, verb: "get", target: { type: "resource", verb: "get", group: "", version: "v1", plural: "pods", namespace: "default", name: "p", subresource: "", rest: "" }, ...more,
  } as never).level;
  const pod = (more: object): object => ({ target: { type: "resource", verb: "get", group: "", version: "v1", plural: "pods", namespace: "default", name: "p", subresource: "", rest: "", ...more } });

  test("the first rule that fits decides; without one nothing is", () => {
    const audited = { user: { name: "ann", groups: [] }, verb: "get", target: { type: "path", path: "/version" } } as const;
    expect(verdictOf({ rules: [{ level: "Request", users: ["bob"] }, { level: "Metadata" }, { level: "None" }] }, audited).level).toBe("Metadata");
    expect(verdictOf({ rules: [{ level: "Request", users: ["bob"] }] }, audited).level).toBe("None");
    const { omitStages, omitManagedFields } = verdictOf({ omitStages: ["RequestReceived"], omitManagedFields: true, rules: [{ level: "Metadata", omitStages: ["ResponseStarted"], omitManagedFields: false }] }, audited);
    expect([[...omitStages], omitManagedFields]).toEqual([["RequestReceived", "ResponseStarted"], false]);
  });

  test("rules ask who, what and where", () => {
    expect([at({ users: ["ann"] })(), at({ users: ["bob"] })(), at({ users: ["ann"] })({ user: undefined })]).toEqual(["Metadata", "None", "None"]);
    expect([at({ userGroups: ["dev"] })(), at({ userGroups: ["ops"] })(), at({ verbs: ["list"] })()]).toEqual(["Metadata", "None", "None"]);
    expect([at({ namespaces: ["default"] })(), at({ namespaces: ["other"] })(), at({ namespaces: [""] })(pod({ namespace: "" }))]).toEqual(["Metadata", "None", "Metadata"]);
    const resources = (...entries: NonNullable<Rule["resources"]>) => at({ resources: entries });
    expect([resources({ group: "" })(), resources({})(), resources({ group: "*" })(), resources({ group: "apps" })()]).toEqual(["Metadata", "Metadata", "Metadata", "None"]);
    expect([resources({ resources: ["pods"] })(), resources({ resources: ["pods"] })(pod({ subresource: "log" })), resources({ resources: ["pods/*"] })(pod({ subresource: "log" })), resources({ resources: ["*/log"] })(pod({ subresource: "log" })), resources({ resources: ["*"] })()]).toEqual(["Metadata", "None", "Metadata", "Metadata", "Metadata"]);
    expect([resources({ resources: ["pods"], resourceNames: ["p"] })(), resources({ resources: ["pods"], resourceNames: ["q"] })()]).toEqual(["Metadata", "None"]);
    const path = (text: string): object => ({ target: { type: "path", path: text } });
    expect([at({ nonResourceURLs: ["/healthz*"] })(path("/healthz/etcd")), at({ nonResourceURLs: ["/healthz"] })(path("/healthz/etcd")), at({ nonResourceURLs: ["*"] })()]).toEqual(["Metadata", "None", "None"]);
  });
});

class Lines implements AuditSink {
  readonly plugin = "log";
  readonly lost = 0;
  events: any[] = [];
  add(line: string): void {
    expect(line).not.toContain("\n");
    this.events.push(JSON.parse(line));
  }
  async close(): Promise<void> {}
}

describe("events", () => {
  const sink = new Lines();
  const rules: Rule[] = [
    { level: "None", nonResourceURLs: ["/livez"] },
    { level: "Metadata", resources: [{ group: "", resources: ["secrets"] }] },
    { level: "RequestResponse", namespaces: ["whole"], omitStages: ["RequestReceived"], omitManagedFields: true },
    { level: "Request", verbs: ["create", "patch", "delete", "deletecollection"] },
    { level: "Metadata" },
  ];
  let server: TestServer;
  const as = (name: string, more: Record<string, string> = {}): Record<string, string> => ({ authorization: `Bearer user:${name}`, ...more });
  const auditor = new Auditor({ rules }, [sink]);
  beforeAll(async () => {
    const users = { authenticate: ({ bearerToken = "" }: { bearerToken?: string | undefined }) => (bearerToken.startsWith("user:") ? { name: bearerToken.slice(5), uid: "u-1", groups: ["team"], extra: { k: ["v"] } } : undefined) };
    server = await startTestServer({ strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }), admission: [podSecurity()], http: { audit: auditor, authenticators: [adminToken, users], authorizer: { authorize: ({ user, verb }) => ({ allowed: user.name !== "mallory" && verb !== "impersonate" ? true : user.name === "chief", reason: "because" }) } } });
    await call(server, "POST", "/api/v1/namespaces", { body: { metadata: { name: "default", labels: { "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/audit": "restricted" } } } });
    sink.events = [];
  });
  afterAll(() => server.stop());
  const recorded = async (stages: number): Promise<any[]> => {
    while (sink.events.length < stages) await Bun.sleep(2);
    await Bun.sleep(5);
    return sink.events.splice(0);
  };

  test("say who asked for what and how it went, once when it came and once when it was done", async () => {
    const reply = await call(server, "GET", `${MAPS}/none?x=1`, { headers: as("ann", { "user-agent": "tool/1", "x-forwarded-for": "10.1.1.1, 10.2.2.2" }) });
    const [received, complete, ...others] = await recorded(2);
    expect(others).toEqual([]);
    const common = { kind: "Event", apiVersion: "audit.k8s.io/v1", level: "Metadata", auditID: reply.headers.get("audit-id"), requestURI: `${MAPS}/none?x=1`, verb: "get", user: { username: "ann", uid: "u-1", groups: ["team", "system:authenticated"], extra: { k: ["v"] } }, sourceIPs: ["10.1.1.1", "10.2.2.2", "127.0.0.1"], userAgent: "tool/1", objectRef: { resource: "configmaps", namespace: "default", name: "none", apiVersion: "v1" } };
    const { requestReceivedTimestamp, stageTimestamp, ...first } = received;
    expect(first).toEqual({ ...common, stage: "RequestReceived" });
    expect(requestReceivedTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(stageTimestamp >= requestReceivedTimestamp).toBe(true);
    const { requestReceivedTimestamp: again, stageTimestamp: _end, ...last } = complete;
    expect(again).toBe(requestReceivedTimestamp);
    expect(last).toEqual({ ...common, stage: "ResponseComplete", responseStatus: { metadata: {}, status: "Failure", message: 'configmaps "none" not found', reason: "NotFound", details: { name: "none", kind: "configmaps" }, code: 404 }, annotations: { "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "because" } });
    expect(Object.keys(complete)).toEqual(["kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user", "sourceIPs", "userAgent", "objectRef", "responseStatus", "requestReceivedTimestamp", "stageTimestamp", "annotations"]);
  });

  test("go by the id a client gives, as it is", async () => {
    expect((await call(server, "GET", MAPS, { headers: { "audit-id": "mine" } })).headers.get("audit-id")).toBe("mine");
    expect((await call(server, "GET", MAPS, { headers: { "audit-id": "x".repeat(65) } })).headers.get("audit-id")).toBe("x".repeat(65));
    expect((await recorded(4))[0].auditID).toBe("mine");
  });

  test("hold what was sent from Request on, and what was answered with RequestResponse; of Secrets neither at Metadata", async () => {
    await call(server, "POST", MAPS, { body: { metadata: { generateName: "gen-" }, data: { a: "b" } } });
    const created = (await recorded(2))[1];
    expect(created.requestObject).toMatchObject({ kind: "ConfigMap", apiVersion: "v1", data: { a: "b" } });
    expect(created).not.toHaveProperty("responseObject");
    expect(created.responseStatus).toEqual({ metadata: {}, code: 201 });
    await call(server, "POST", "/api/v1/namespaces/whole/configmaps", { body: { metadata: { name: "w", managedFields: [] }, data: { a: "b" } } });
    const whole = await recorded(1);
    expect(whole.map(({ stage }) => stage)).toEqual(["ResponseComplete"]);
    expect(whole[0]).toMatchObject({ objectRef: { name: "w" }, requestObject: { data: { a: "b" } }, responseObject: { metadata: { name: "w", uid: expect.any(String) } } });
    expect(JSON.stringify(whole)).not.toContain("managedFields");
    await call(server, "GET", "/api/v1/namespaces/whole/configmaps?pretty=true");
    expect((await recorded(1))[0].responseObject.items).toHaveLength(1);
    await call(server, "POST", "/api/v1/namespaces/whole/secrets", { body: { metadata: { name: "s" }, stringData: { password: "hunter2" } } });
    await call(server, "PATCH", `${MAPS}/none`, { body: { data: { c: "d" } }, headers: { "content-type": "application/merge-patch+json" } });
    const [, secret, , patched] = await recorded(4);
    expect(secret).toMatchObject({ objectRef: { resource: "secrets", name: "s" }, responseStatus: { code: 201 } });
    expect(JSON.stringify(secret)).not.toContain("hunter2");
    expect(patched.requestObject).toEqual({ data: { c: "d" } });
    await call(server, "DELETE", `${MAPS}/none`, { body: { gracePeriodSeconds: 3 } });
    expect((await recorded(2))[1].requestObject).toMatchObject({ kind: "DeleteOptions", gracePeriodSeconds: 3 });
  });

  test("name who was refused and who acted as somebody else", async () => {
    await call(server, "GET", MAPS, { headers: as("mallory") });
    expect((await recorded(2))[1]).toMatchObject({ responseStatus: { code: 403, reason: "Forbidden" }, annotations: { "authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": "because" } });
    await call(server, "GET", MAPS, { headers: { authorization: "Bearer wrong" } });
    expect(await recorded(1)).toMatchObject([{ stage: "ResponseStarted", user: {}, responseStatus: { metadata: {}, message: "Authentication failed, attempted: bearer", code: 401 } }]);
    await call(server, "GET", MAPS, { headers: as("chief", { "impersonate-user": "bob", "impersonate-group": "dev" }) });
    expect((await recorded(2))[1]).toMatchObject({ user: { username: "chief" }, impersonatedUser: { username: "bob", groups: ["dev", "system:authenticated"] } });
  });

  test("of a watch begin when it does, and what plugins note is in them; what the policy leaves out is not", async () => {
    await call(server, "GET", "/livez");
    await call(server, "GET", `${MAPS}?watch=1&timeoutSeconds=1`);
    expect((await recorded(3)).map(({ stage, verb, responseStatus }) => [stage, verb, responseStatus?.code])).toEqual([["RequestReceived", "watch", undefined], ["ResponseStarted", "watch", 200], ["ResponseComplete", "watch", 200]]);
    await call(server, "POST", "/api/v1/namespaces/default/pods", { body: { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "i" }] } } });
    const { annotations } = (await recorded(2))[1];
    expect(annotations["pod-security.kubernetes.io/enforce-policy"]).toBe("baseline:latest");
    expect(annotations["pod-security.kubernetes.io/audit-violations"]).toStartWith('would violate PodSecurity "restricted:latest"');
    expect(auditor.text()).toMatch(/^apiserver_audit_level_total\{level="Metadata"\} [1-9]/m);
  });
});

describe("the log file", () => {
  const directory = mkdtempSync(join(tmpdir(), "minik8s-audit-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const lines = (path: string): string[] => readFileSync(path, "utf8").split("\n").filter(Boolean);

  test("holds every line, is its owner's alone, and is gone on with", async () => {
    const path = join(directory, "deep", "audit.log");
    for (const round of [0, 1]) {
      const file = new LogFile({ path, maxBytes: 1e6, maxAgeMs: 0, maxBackups: 0 });
      for (let index = 0; index < 1000; index++) file.add(`${round}-${index}`);
      await file.close();
    }
    expect(lines(path)).toHaveLength(2000);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("is put aside when it is full; old ones go by number and by age, others stay", async () => {
    const path = join(directory, "rotated.log");
    writeFileSync(join(directory, backupName(path, Date.parse("2020-01-01T00:00:00Z"))), "old");
    writeFileSync(join(directory, "rotated-by-hand.log"), "other");
    for (let round = 0; round < 6; round++) {
      const file = new LogFile({ path, maxBytes: 500, maxAgeMs: 86_400_000, maxBackups: 2 });
      for (let index = 0; index < 5; index++) file.add("x".repeat(99));
      await file.close();
      await Bun.sleep(2);
    }
    const names = readdirSync(directory).filter((name) => name.startsWith("rotated"));
    expect(names.filter((name) => /^rotated-\d/.test(name))).toHaveLength(2);
    expect(names).toContain("rotated-by-hand.log");
    expect(names.some((name) => name.includes("2020"))).toBe(false);
    expect(statSync(path).size).toBeLessThanOrEqual(500);
  });

  test("that cannot be written holds nobody up, keeps what it can and counts the rest", async () => {
    const blocked = join(directory, "blocked");
    writeFileSync(blocked, "a file, not a directory");
    const path = join(blocked, "audit.log");
    const file = new LogFile({ path, maxBytes: 1e6, maxAgeMs: 0, maxBackups: 0, maxWaitingBytes: 1000 });
    for (let index = 0; index < 200; index++) file.add(`line ${String(index).padStart(4, "0")}`);
    expect(file.lost).toBe(100);
    await Bun.sleep(200);
    rmSync(blocked);
    await file.close();
    expect(lines(path)).toHaveLength(100);
    expect(lines(path)[99]).toBe("line 0099");
  });
});

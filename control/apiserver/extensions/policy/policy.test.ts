import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { SchemaEngine } from "../../../../api/schema/engine.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { eventually } from "../../../../lib/testing.ts";
import type { Engine } from "../../engine.ts";
import { createStrategies } from "../../kinds/index.ts";
import { call, mastersOnly, startTestServer, type TestServer } from "../../testing.ts";
import { registrationStrategy } from "../registration.ts";
import { mapLiterals } from "./literals.ts";
import { PolicyStatus } from "./status.ts";
import { mutatingPolicies, validatingPolicies } from "./plugins.ts";

const ROOT = "/apis/admissionregistration.k8s.io/v1";
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
let server: TestServer;
let made = 0;
const schema = new SchemaEngine();

beforeAll(async () => {
  const parts: { engine?: () => Engine } = {};
  const deps = { engine: () => (parts.engine as () => Engine)(), authorizer: mastersOnly };
  server = await startTestServer({ admission: [mutatingPolicies(deps), validatingPolicies(deps)], strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"], custom: registrationStrategy }), extensions: [new PolicyStatus(schema)], http: true });
  parts.engine = () => server.server.engine;
  await call(server, "POST", "/api/v1/namespaces", { body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "default", labels: { team: "blue" } } } });
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const plural of ["validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"]) await call(server, "DELETE", `${ROOT}/${plural}`);
});

const MATCH = { resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: ["configmaps"] }] };

async function enact(type: "Validating" | "Mutating", spec: Record<string, unknown>, binding: Record<string, unknown> = {}): Promise<void> {
  const kind = `${type}AdmissionPolicy`;
  const plural = `${type.toLowerCase()}admissionpolicies`;
  const policy = await call(server, "POST", `${ROOT}/${plural}`, { body: { apiVersion: "admissionregistration.k8s.io/v1", kind, metadata: { name: "p" }, spec: { matchConstraints: MATCH, ...spec } } });
  expect(policy.text).toContain('"matchConstraints"');
  expect(policy.status).toBe(201);
  const bound = await call(server, "POST", `${ROOT}/${plural.replace("policies", "policybindings")}`, { body: { apiVersion: "admissionregistration.k8s.io/v1", kind: `${kind}Binding`, metadata: { name: "b" }, spec: { policyName: "p", ...(type === "Validating" && { validationActions: ["Deny"] }), ...binding } } });
  expect(bound.status).toBe(201);
}

async function createConfigMap(data: Record<string, string>, metadata: Record<string, unknown> = {}): Promise<{ status: number; body: AnyObject; headers: Headers }> {
  return call(server, "POST", CONFIG_MAPS, { body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `c${made++}`, ...metadata }, data } });
}

describe("a validating policy", () => {
  test("refuses what its expressions do not allow, in upstream's words", async () => {
    await enact("Validating", { validations: [{ expression: "object.data.size == 'small'" }] });
    expect((await createConfigMap({ size: "small" })).status).toBe(201);
    const { status, body } = await createConfigMap({ size: "large" }, { name: "big" });
    expect(status).toBe(422);
    expect(body["reason"]).toBe("Invalid");
    expect(body["message"]).toBe(`configmaps "big" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.data.size == 'small'`);
  });

  test("sees the namespace, the request, its variables and what the caller may do", async () => {
    await enact("Validating", {
      variables: [{ name: "team", expression: "namespaceObject.metadata.labels.team" }, { name: "isBlue", expression: "variables.team == 'blue'" }],
      validations: [{ expression: "variables.isBlue && request.operation == 'CREATE' && request.userInfo.username == 'admin' && authorizer.group('').resource('pods').namespace('default').check('create').allowed()" }],
    });
    expect((await createConfigMap({})).status).toBe(201);
  });

  test("only warns where its binding says so", async () => {
    await enact("Validating", { validations: [{ expression: "false", message: "no good" }] }, { validationActions: ["Warn"] });
    const { status, headers } = await createConfigMap({});
    expect(status).toBe(201);
    expect(headers.get("warning")).toContain("Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no good");
  });

  test("with parameters is told for each, and refuses when there should be some and are none", async () => {
    await createConfigMap({ most: "3" }, { name: "limits" });
    await enact("Validating", { paramKind: { apiVersion: "v1", kind: "ConfigMap" }, validations: [{ expression: "int(object.data.n) <= int(params.data.most)", messageExpression: "'at most ' + params.data.most" }] }, { paramRef: { name: "limits", parameterNotFoundAction: "Deny" } });
    expect((await createConfigMap({ n: "3" })).status).toBe(201);
    expect((await createConfigMap({ n: "4" })).body["message"]).toContain("at most 3");
    await call(server, "DELETE", `${CONFIG_MAPS}/limits`);
    expect((await createConfigMap({ n: "1" })).body["message"]).toContain("no params found for policy binding with `Deny` parameterNotFoundAction");
  });

  test("that cannot be told refuses or lets pass, as its failure policy says", async () => {
    const validations = [{ expression: "object.data.missing.deeper == 'x'" }];
    await enact("Validating", { validations });
    expect((await createConfigMap({})).body["message"]).toContain("resulted in error: no such key: ");
    await call(server, "DELETE", `${ROOT}/validatingadmissionpolicies`);
    await call(server, "DELETE", `${ROOT}/validatingadmissionpolicybindings`);
    await enact("Validating", { validations, failurePolicy: "Ignore" });
    expect((await createConfigMap({})).status).toBe(201);
  });

  test("on scales sees the Scale, and one on the object behind it sees no scaling", async () => {
    const match = (resource: string): Record<string, unknown> => ({ resourceRules: [{ apiGroups: ["apps"], apiVersions: ["v1"], operations: ["UPDATE"], resources: [resource] }] });
    const labels = { app: "x" };
    await call(server, "POST", "/apis/apps/v1/namespaces/default/deployments", { body: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d" }, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } } } } });
    const scale = (replicas: number): Promise<{ status: number; body: AnyObject }> => call(server, "PATCH", "/apis/apps/v1/namespaces/default/deployments/d/scale", { body: { spec: { replicas } }, headers: { "content-type": "application/merge-patch+json" } });
    await enact("Validating", { matchConstraints: match("deployments"), validations: [{ expression: "false" }] });
    expect((await scale(3)).status).toBe(200);
    await call(server, "DELETE", `${ROOT}/validatingadmissionpolicies`);
    await call(server, "DELETE", `${ROOT}/validatingadmissionpolicybindings`);
    await enact("Validating", { matchConstraints: match("deployments/scale"), validations: [{ expression: "object.kind == 'Scale' && object.spec.replicas < 5" }] });
    expect((await scale(4)).body["spec"]).toEqual({ replicas: 4 });
    expect((await scale(5)).status).toBe(422);
  });

  test("whose expression does not compile is refused", async () => {
    const { status, body } = await call(server, "POST", `${ROOT}/validatingadmissionpolicies`, { body: { apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingAdmissionPolicy", metadata: { name: "bad" }, spec: { matchConstraints: MATCH, validations: [{ expression: "... [] bad" }] } } });
    expect(status).toBe(422);
    expect(body["message"]).toContain("compilation failed");
  });
});

test("a policy's status tells which of its expressions do not fit the kinds it is for", async () => {
  const matchConstraints = { resourceRules: [{ apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] }] };
  await enact("Validating", { matchConstraints, validations: [{ expression: "object.spec.replicas > 1" }, { expression: "object.spec.replicas > '1'", messageExpression: "'got ' + object.spec.replicas" }] });
  const status = await eventually("what was found", async () => {
    const found = (await call(server, "GET", `${ROOT}/validatingadmissionpolicies/p`)).body["status"] as AnyObject | undefined;
    return found?.["typeChecking"] ? found : undefined;
  });
  expect(status).toMatchObject({ observedGeneration: 1, typeChecking: { expressionWarnings: [{ fieldRef: "spec.validations[1].expression" }, { fieldRef: "spec.validations[1].messageExpression" }] } });
  expect(JSON.stringify(status)).toContain("found no matching overload for '_>_' applied to '(int, string)'");
});

describe("a mutating policy", () => {
  test("applies the configuration it evaluates to", async () => {
    await enact("Mutating", { failurePolicy: "Fail", reinvocationPolicy: "Never", mutations: [{ patchType: "ApplyConfiguration", applyConfiguration: { expression: `Object{ metadata: Object.metadata{ annotations: { "mutated-by": "policy" } }, data: {"count": string(size(object.data))} }` } }] });
    const { status, body } = await createConfigMap({ a: "1" });
    expect(status).toBe(201);
    expect([body.metadata.annotations, body["data"]]).toEqual([{ "mutated-by": "policy" }, { a: "1", count: "1" }]);
  });

  test("adds to sets instead of replacing them", async () => {
    await enact("Mutating", { failurePolicy: "Fail", reinvocationPolicy: "Never", mutations: [{ patchType: "ApplyConfiguration", applyConfiguration: { expression: `Object{ metadata: Object.metadata{ finalizers: ["example.com/added"] } }` } }] });
    const made = await call(server, "POST", "/api/v1/namespaces/default/configmaps", { body: { metadata: { generateName: "set-", finalizers: ["example.com/own"] } } });
    expect(made.body.metadata.finalizers).toEqual(["example.com/own", "example.com/added"]);
  });

  test("may not set what the schema does not know", async () => {
    await enact("Mutating", { failurePolicy: "Fail", reinvocationPolicy: "Never", mutations: [{ patchType: "ApplyConfiguration", applyConfiguration: { expression: `Object{ nonsense: "x" }` } }] });
    expect((await createConfigMap({ a: "1" })).body["message"]).toContain("error applying patch: failed to convert patch object to typed object: .nonsense: field not declared in schema");
  });

  test("applies the JSON patch it evaluates to", async () => {
    await enact("Mutating", { failurePolicy: "Fail", reinvocationPolicy: "Never", mutations: [{ patchType: "JSONPatch", jsonPatch: { expression: `[JSONPatch{op: "add", path: "/data/b", value: "it's, {fine}"}]` } }] });
    expect((await createConfigMap({ a: "1" })).body["data"]).toEqual({ a: "1", b: "it's, {fine}" });
  });
});

test.each([
  [{ validations: [] }, "spec.validations: Required value: validations or auditAnnotations must contain at least one item"],
  [{ failurePolicy: "Maybe" }, 'spec.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"'],
  [{ paramKind: { apiVersion: "a/b/c", kind: "" } }, "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"],
  [{ variables: [{ name: "in", expression: "1" }] }, 'spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier'],
  [{ validations: [{ expression: "true", message: "a\nb" }] }, "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks"],
  [{ matchConstraints: { resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["*", "pods"] }] } }, "if '*' is present, must not specify other resources without subresources"],
  [{ auditAnnotations: [{ key: "bad key", valueExpression: "'x'" }] }, "spec.auditAnnotations[0].key: Invalid value"],
])("a policy of %j is refused", async (spec, message) => {
  const body = { metadata: { name: "wrong" }, spec: { matchConstraints: { resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] }] }, validations: [{ expression: "true" }], ...spec } };
  const refused = await call(server, "POST", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", { body });
  expect(refused.status).toBe(422);
  expect(refused.body["message"]).toContain(message);
});

test("typed literals become maps, and nothing else changes", () => {
  expect(mapLiterals(`Object{spec: Object.spec{replicas: object.n ? 1 : 2, labels: {"a": b}}}`)).toBe(`{"spec": {"replicas": object.n ? 1 : 2, "labels": {"a": b}}}`);
  expect(mapLiterals(`[JSONPatch{op: "test", path: "Object{x: 1}"}] + [1].map(x, x)`)).toBe(`[{"op": "test", "path": "Object{x: 1}"}] + [1].map(x, x)`);
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, Stored } from "../../../../api/types.ts";
import { flowSchemas, priorityLevels } from "../../flowcontrol/objects.ts";
import type { TestServer } from "../../testing.ts";
import { apiServiceStrategy } from "../apiregistration/apiservice.ts";
import { refusal, startKindServer } from "../testing.ts";
import { flowSchemaStrategy, priorityLevelStrategy } from "./schemas.ts";

const SCHEMA = builtinKind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema");
const LEVEL = builtinKind("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration");
const SERVICE = builtinKind("apiregistration.k8s.io", "v1", "APIService");
let server: TestServer;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

test("the classes of requests a cluster starts with are valid", async () => {
  for (const level of priorityLevels()) await server.client.create(LEVEL, level);
  for (const schema of flowSchemas()) expect((await server.client.create(SCHEMA, schema)).metadata.generation).toBe(1);
});

test("a schema says who, what and how", async () => {
  const create = (spec: object): Promise<Stored<AnyObject>> => server.client.create<AnyObject>(SCHEMA, { metadata: { name: "mine" }, spec: { priorityLevelConfiguration: { name: "system" }, ...spec } });
  const subjects = [{ kind: "User", user: { name: "me" } }];
  expect(await refusal(create({ matchingPrecedence: 1 }))).toContain("only the schema named 'exempt' may have matchingPrecedence 1");
  expect(await refusal(create({ rules: [{ subjects }] }))).toContain("spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty");
  expect(await refusal(create({ rules: [{ subjects: [{ ...subjects[0], group: { name: "g" } }], nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["*/x"] }] }] }))).toContain("spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'");
  expect(await refusal(create({ rules: [{ subjects, resourceRules: [{ verbs: ["*"], apiGroups: ["*", "apps"], resources: ["*"] }] }] }))).toContain("if '*' is present, must not specify other api groups");
  expect((await create({}))["spec"]).toMatchObject({ matchingPrecedence: 1000 });
});

test("a level is limited in a way its queues can keep", async () => {
  const create = (spec: object): Promise<Stored<AnyObject>> => server.client.create<AnyObject>(LEVEL, { metadata: { name: "mine" }, spec });
  expect(await refusal(create({ type: "Exempt" }))).toContain("must be 'Exempt' if and only if `name` is 'exempt'");
  expect(await refusal(create({ type: "Limited", limited: { limitResponse: { type: "Queue", queuing: { queues: 1024, handSize: 7 } } } }))).toContain("required entropy bits of deckSize 1024 and handSize 7 should not be greater than 60");
  const made = await create({ type: "Limited", limited: { limitResponse: { type: "Queue", queuing: {} } } });
  expect(priorityLevelStrategy.printer?.cells(made, 0).slice(1, 6)).toEqual(["Limited", 30, 64, 8, 50]);
});

test("schemas are listed in the order they are tried", () => {
  const shown = flowSchemas().toReversed().toSorted((a, b) => flowSchemaStrategy.printer?.compare?.(a, b) ?? 0);
  expect(shown.slice(0, 2).map((schema) => flowSchemaStrategy.printer?.cells(schema, 0).slice(0, 4))).toEqual([["exempt", "exempt", 1, "<none>"], ["probes", "exempt", 2, "<none>"]]);
});

test("an API service is named after what it serves, and local ones are there at once", async () => {
  const spec = { group: "example.com", version: "v1", groupPriorityMinimum: 100, versionPriority: 10 };
  const create = (fields: object, name = "v1.example.com"): Promise<Stored<AnyObject>> => server.client.create<AnyObject>(SERVICE, { metadata: { name }, spec: { ...spec, ...fields } });
  expect(await refusal(create({}, "other"))).toContain('metadata.name: Invalid value: "other": must be `spec.version+"."+spec.group`: "v1.example.com"');
  expect(await refusal(create({ versionPriority: 0 }))).toContain("spec.versionPriority: Invalid value: 0: must be positive and less than 1000");
  expect(await refusal(create({ insecureSkipTLSVerify: true }))).toContain("local APIServices may not have insecureSkipTLSVerify");
  const local = await create({});
  expect(local["status"].conditions).toMatchObject([{ type: "Available", status: "True", reason: "Local" }]);
  expect(apiServiceStrategy.printer?.cells(local, 0).slice(1, 3)).toEqual(["Local", "True"]);
  const remote = await create({ group: "metrics.k8s.io", version: "v1beta1", service: { namespace: "kube-system", name: "metrics" } }, "v1beta1.metrics.k8s.io");
  expect(remote["spec"].service.port).toBe(443);
  expect(apiServiceStrategy.printer?.cells(remote, 0).slice(1, 3)).toEqual(["kube-system/metrics", "Unknown"]);
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Engine } from "../engine.ts";
import { validatingPolicies } from "../extensions/policy/plugins.ts";
import { registrationStrategy } from "../extensions/registration.ts";
import { webhookCaller } from "../extensions/webhook/client.ts";
import { validatingWebhooks } from "../extensions/webhook/plugin.ts";
import { createStrategies } from "../kinds/index.ts";
import { call, mastersOnly, selfSigned, startTestServer, type TestServer } from "../testing.ts";
import { Auditor } from "./auditor.ts";

const ROOT = "/apis/admissionregistration.k8s.io/v1";
const RULES = [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] }];
const events: any[] = [];
let server: TestServer;
let hook: Server;

beforeAll(async () => {
  const certificate = await selfSigned();
  hook = createServer(certificate, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => response.end(JSON.stringify({ kind: "AdmissionReview", apiVersion: "admission.k8s.io/v1", response: { uid: JSON.parse(Buffer.concat(chunks).toString()).request.uid, allowed: true, auditAnnotations: { judged: "yes" } } })));
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  const parts: { engine?: () => Engine } = {};
  const engine = (): Engine => (parts.engine as () => Engine)();
  const audit = new Auditor({ rules: [{ level: "Metadata" }], omitStages: ["RequestReceived"] }, [{ plugin: "test", lost: 0, add: (line) => void events.push(JSON.parse(line)), close: async () => {} }]);
  server = await startTestServer({ admission: [validatingPolicies({ engine, authorizer: mastersOnly }), validatingWebhooks({ engine, call: webhookCaller(engine) })], strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"], custom: registrationStrategy }), http: { audit } });
  parts.engine = () => server.server.engine;
  await call(server, "POST", "/api/v1/namespaces", { body: { metadata: { name: "default" } } });
  const made = [
    await call(server, "POST", `${ROOT}/validatingadmissionpolicies`, { body: { metadata: { name: "p" }, spec: { matchConstraints: { resourceRules: RULES }, validations: [{ expression: "true" }, { expression: "has(object.data)", message: "no data" }], auditAnnotations: [{ key: "named", valueExpression: "object.metadata.name" }, { key: "nothing", valueExpression: "null" }] } } }),
    await call(server, "POST", `${ROOT}/validatingadmissionpolicybindings`, { body: { metadata: { name: "b" }, spec: { policyName: "p", validationActions: ["Audit"] } } }),
    await call(server, "POST", `${ROOT}/validatingwebhookconfigurations`, { body: { metadata: { name: "w" }, webhooks: [{ name: "judge.example.org", sideEffects: "None", admissionReviewVersions: ["v1"], clientConfig: { url: `https://127.0.0.1:${(hook.address() as AddressInfo).port}/`, caBundle: Buffer.from(certificate.cert).toString("base64") }, rules: RULES }] } }),
  ];
  expect(made.map(({ status }) => status)).toEqual([201, 201, 201]);
});
afterAll(async () => {
  await server.stop();
  hook.closeAllConnections();
  hook.close();
});

test("what policies and webhooks note of a request is in its event", async () => {
  events.length = 0;
  expect((await call(server, "POST", "/api/v1/namespaces/default/configmaps", { body: { metadata: { name: "bare" } } })).status).toBe(201);
  while (events.length === 0) await Bun.sleep(2);
  const { "authorization.k8s.io/decision": _d, "authorization.k8s.io/reason": _r, ...noted } = events[0].annotations;
  expect(noted).toEqual({
    "judge.example.org/judged": "yes", "p/named": "bare",
    "validation.policy.admission.k8s.io/validation_failure": '[{"message":"no data","policy":"p","binding":"b","expressionIndex":1,"validationActions":["Audit"]}]',
  });
});

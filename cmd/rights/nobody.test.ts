import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { askAll, discover, isUnauthorized, questionsOf, startPlane, textOf, type Asker, type Question, type TestPlane } from "./testing.ts";

const PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
const DISCOVERY = ["/api", "/api/", "/api/v1", "/apis", "/apis/", "/apis/apps", "/apis/apps/v1", "/openapi", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1"];
const CLOSED = [
  "/", "/metrics", "/metrics/slis", "/metrics/cadvisor", "/healthz/etcd", "/livez/ping", "/readyz/log", "/healthz/", "/logs", "/logs/", "/debug/pprof/", "/debug/flags/v", "/flagz", "/statusz", "/configz", "/minik8s/secrets",
  "/.well-known/openid-configuration", "/openid/v1/jwks", "/api/v1/", "/versionx", "/version/x", "/apiz", "//version", "/./version", "/%6detrics",
];
/** What these start with is for those who are known. */
const KNOWN_ONLY = ["/api/v1/"];

let plane: TestPlane;
let questions: Question[];
beforeAll(async () => {
  plane = await startPlane();
  for (const name of ["team", "other"]) await plane.admin.create(builtinKind("", "v1", "Namespace"), { metadata: { name } });
  const admin = await plane.as("root", "system:masters");
  questions = questionsOf(await discover(admin), { namespaces: ["team", "kube-system"], names: ["thing"] });
});
afterAll(() => plane.stop());

async function allowedPaths(asker: Asker, method = "GET"): Promise<string[]> {
  const allowed: string[] = [];
  for (const path of [...PUBLIC, ...DISCOVERY, ...CLOSED]) if (!isUnauthorized(await asker.request(method, path))) allowed.push(path);
  return allowed;
}

async function allowedResources(asker: Asker): Promise<string[]> {
  return [...await askAll(asker, questions)].filter(([, answer]) => !isUnauthorized(answer)).map(([question]) => textOf(question)).toSorted();
}

test("there is something to ask about", () => {
  expect(questions.length).toBeGreaterThan(1200);
  expect(new Set(questions.map(({ group, resource }) => `${group}/${resource}`)).size).toBeGreaterThan(60);
});

test("nobody in particular reads health and version, and nothing else", async () => {
  const nobody = await plane.as();
  expect(await allowedPaths(nobody)).toEqual(PUBLIC);
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) expect(await allowedPaths(nobody, method)).toEqual([]);
  // Upstream's rules name the method; HEAD is not GET.
  expect(await allowedPaths(nobody, "HEAD")).toEqual([]);
  expect(await allowedResources(nobody)).toEqual([]);
}, TEST_TIMEOUT_MS);

test("who is known but has no rights also sees what there is and asks about themselves", async () => {
  const ann = await plane.as("ann", "dev");
  expect((await allowedPaths(ann)).toSorted()).toEqual([...PUBLIC, ...DISCOVERY, ...KNOWN_ONLY].toSorted());
  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) expect(await allowedPaths(ann, method)).toEqual([]);
  expect(await allowedResources(ann)).toEqual([
    "create authentication.k8s.io/selfsubjectreviews", "create authorization.k8s.io/selfsubjectaccessreviews", "create authorization.k8s.io/selfsubjectrulesreviews",
  ]);
}, TEST_TIMEOUT_MS);

test("a bad credential is nobody's, not even that of nobody in particular", async () => {
  for (const token of ["nonsense", "abcdef.0123456789abcdef", "a.b.c"]) expect((await plane.withToken(token).request("GET", "/version")).status).toBe(401);
});

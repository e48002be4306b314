import { afterAll, beforeAll, expect, test } from "bun:test";
import { call, startTestServer, type TestServer } from "../testing.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const OWNER = { apiVersion: "v1", kind: "Pod", name: "a", uid: "u1" };
const WARNING = ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u1";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ http: true });
});
afterAll(() => server.stop());

const ownersOf = ({ body }: Awaited<ReturnType<typeof call>>): unknown => (body["metadata"] as { ownerReferences: unknown }).ownerReferences;

test("an owner that is named twice is kept once, and the client is warned, on create and update", async () => {
  const created = await call(server, "POST", MAPS, { body: { metadata: { name: "x", ownerReferences: [OWNER, OWNER] } } });
  const updated = await call(server, "PUT", `${MAPS}/x`, { body: { metadata: { name: "x", ownerReferences: [OWNER, OWNER] } } });
  for (const reply of [created, updated]) {
    expect(ownersOf(reply)).toEqual([OWNER]);
    expect(reply.headers.get("warning")).toBe(`299 - "${WARNING}"`);
  }
});

test("a patch that names an owner once more changes nothing but for the warning", async () => {
  await call(server, "POST", MAPS, { body: { metadata: { name: "y", ownerReferences: [OWNER] } } });
  const patched = await call(server, "PATCH", `${MAPS}/y`, { headers: { "content-type": "application/json-patch+json" }, body: [{ op: "add", path: "/metadata/ownerReferences/-", value: OWNER }] });
  expect(ownersOf(patched)).toEqual([OWNER]);
  expect(patched.headers.get("warning")).toContain("contains duplicate entries after mutating admission happens");
});

test("owners of one uid that differ otherwise are all kept", async () => {
  const other = { ...OWNER, controller: true };
  expect(ownersOf(await call(server, "POST", MAPS, { body: { metadata: { name: "z", ownerReferences: [OWNER, other] } } }))).toEqual([OWNER, other]);
});

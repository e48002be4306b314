import { afterAll, beforeAll, expect, test } from "bun:test";
import { call, startTestServer, type TestServer } from "../testing.ts";
import { StartHooks } from "./starthooks.ts";

let server: TestServer;
const hooks = new StartHooks(["informer-sync", "poststarthook/rbac/bootstrap-roles", { name: "autoregister-completion", check: () => {} }]);
beforeAll(async () => void (server = await startTestServer({ http: { checks: hooks.checks } })));
afterAll(() => server.stop());

test("a server is ready when all that its start consists of is done, and says why it is not", async () => {
  expect((await call(server, "GET", "/readyz")).text).toContain("[+]etcd-readiness ok\n[-]informer-sync failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n[+]autoregister-completion ok\n[+]shutdown ok\n");
  expect(await call(server, "GET", "/livez/poststarthook/rbac/bootstrap-roles")).toMatchObject({ status: 500, text: "internal server error: not finished\n" });
  expect((await call(server, "GET", "/livez/informer-sync")).status).toBe(404);

  await hooks.run(Promise.reject(new Error("no luck")), "informer-sync").catch(() => {});
  await hooks.run(Promise.resolve(), "poststarthook/rbac/bootstrap-roles");
  expect((await call(server, "GET", "/livez")).status).toBe(200);
  expect((await call(server, "GET", "/readyz")).status).toBe(500);
  await hooks.run(undefined, "informer-sync");
  expect((await call(server, "GET", "/readyz")).status).toBe(200);
  expect(await call(server, "GET", "/healthz/poststarthook/rbac/bootstrap-roles")).toMatchObject({ status: 200, text: "ok" });
});

import { expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { Lease } from "../../../../api/types.ts";
import { createStrategies } from "../index.ts";
import { startTestServer } from "../../testing.ts";

const LEASES = builtinKind("coordination.k8s.io", "v1", "Lease");
const NAMESPACES = builtinKind("", "v1", "Namespace");

test("a lease is given back with an empty holder, as client-go does", async () => {
  const server = await startTestServer({ strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }) });
  await server.client.create(NAMESPACES, { metadata: { name: "default" } });
  const lease = await server.client.create<Lease>(LEASES, { metadata: { name: "a", namespace: "default" }, spec: { holderIdentity: "me", leaseDurationSeconds: 15 } });
  const given = await server.client.update<Lease>(LEASES, { ...lease, spec: { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 } });
  expect(given.spec?.holderIdentity ?? "").toBe("");
  await server.stop();
});

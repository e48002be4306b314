import { expect, test } from "bun:test";
import { MemoryClient } from "../../api/client/testing.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Service } from "../../api/types.ts";
import { ensureDnsService } from "./service.ts";

test("the DNS Service is made once, and another's is left as it is", async () => {
  const client = new MemoryClient();
  await ensureDnsService(client, "10.96.0.10");
  await ensureDnsService(client, "10.96.0.99");
  const service = await client.get<Service>(builtinKind("", "v1", "Service"), { namespace: "kube-system", name: "kube-dns" });
  expect(service.spec?.clusterIP).toBe("10.96.0.10");
});

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, Pod, ResourceQuota, Stored } from "../../../api/types.ts";
import { aPod, aService, create, POD, refusal, SERVICE, startKindServer } from "../kinds/testing.ts";
import type { TestServer } from "../testing.ts";
import { resourceQuota } from "./quota.ts";

const QUOTA = builtinKind("", "v1", "ResourceQuota");
let server: TestServer;
beforeEach(async () => {
  server = await startKindServer({ admission: [resourceQuota()] });
});
afterEach(() => server.stop());

/** A quota as the controller leaves it: the limits are in its status, and nothing is used. */
async function quota(hard: Record<string, string>, spec: object = {}): Promise<void> {
  const made = await create(server, ["", "v1", "ResourceQuota"], { metadata: { name: "q" }, spec: { hard, ...spec } } as AnyObject);
  await server.client.update(QUOTA, { ...made, status: { hard, used: Object.fromEntries(Object.keys(hard).map((name) => [name, "0"])) } }, { subresource: "status" });
}
const used = async (): Promise<Record<string, string> | undefined> => (await server.client.get<ResourceQuota>(QUOTA, { name: "q", namespace: "default" })).status?.used;
const pod = (name: string, requests: Record<string, string> = {}): Promise<Stored<Pod>> => server.client.create(POD, aPod({ containers: [{ name: "c", image: "i", resources: { requests } }] }, { name }));

describe("a quota", () => {
  test("counts what is made and refuses what is too much", async () => {
    await quota({ pods: "2", "requests.cpu": "1" });
    await pod("a", { cpu: "600m" });
    expect(await used()).toEqual({ pods: "1", "requests.cpu": "600m" });
    expect(await refusal(pod("b", { cpu: "500m" }))).toBe('pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1');
    await pod("b", { cpu: "400m" });
    expect(await refusal(pod("c", { cpu: "0" }))).toContain("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2");
  });

  test("of compute wants every container to say what it needs", async () => {
    await quota({ "limits.cpu": "1", "requests.memory": "1Gi" });
    expect(await refusal(pod("a"))).toBe('pods "a" is forbidden: failed quota: q: must specify limits.cpu for: c; requests.memory for: c');
  });

  test("gives the last place to one of many who ask at once", async () => {
    await quota({ pods: "3" });
    const replies = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => pod(`p${index}`)));
    expect(replies.filter(({ status }) => status === "fulfilled").length).toBe(3);
    expect(await used()).toEqual({ pods: "3" });
  });

  test("takes back what was booked for a write that failed", async () => {
    await quota({ pods: "5" });
    await pod("a");
    expect(await refusal(pod("a"))).toBe('pods "a" already exists');
    // The next write to the namespace is checked after what the last one booked is back.
    await pod("b");
    expect(await used()).toEqual({ pods: "2" });
  });

  test("is not used up by a dry run", async () => {
    await quota({ pods: "1" });
    await server.client.create(POD, aPod({}, { name: "dry" }), { dryRun: true });
    expect(await used()).toEqual({ pods: "0" });
  });

  test("counts objects of any kind by name", async () => {
    await quota({ "count/deployments.apps": "1", configmaps: "1", "services.nodeports": "1" });
    await create(server, ["", "v1", "ConfigMap"], { metadata: { name: "a" } });
    expect(await refusal(create(server, ["", "v1", "ConfigMap"], { metadata: { name: "b" } }))).toContain("exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1");
    const service = await server.client.create(SERVICE, aService());
    expect(await refusal(server.client.update(SERVICE, { ...service, spec: { ...service.spec, type: "NodePort", ports: [{ name: "a", port: 1 }, { name: "b", port: 2 }] } }))).toContain("exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1");
  });

  test("looks only at what is in its scopes", async () => {
    await quota({ pods: "0" }, { scopes: ["BestEffort"] });
    await pod("a", { cpu: "1" });
    expect(await refusal(pod("b"))).toContain("exceeded quota: q");
  });
});

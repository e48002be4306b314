import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { run } from "../../lib/exec.ts";
import { eventually, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { makeNode, type TestNode } from "../host/node.suite.ts";
import { type TestNamespace } from "../host/testing.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let setup: TestNode;
let pod: TestNamespace;
beforeEach(async () => {
  setup = await makeNode();
  pod = await setup.addPod("pod", "10.244.1.2");
});
afterEach(() => setup[Symbol.asyncDispose]());

/** Cluster DNS in a process of its own, because a socket belongs to the network namespace it was opened in. */
const program = `
  const { createDns } = await import(${JSON.stringify(join(import.meta.dir, "dns.ts"))});
  const { FakeInformers, aService } = await import(${JSON.stringify(join(import.meta.dir, "../testing.ts"))});
  const { builtinKind } = await import(${JSON.stringify(join(import.meta.dir, "../../api/registry.ts"))});
  const { hostExec } = await import(${JSON.stringify(join(import.meta.dir, "../../lib/exec.ts"))});
  const { systemClock } = await import(${JSON.stringify(join(import.meta.dir, "../../lib/clock.ts"))});
  const informers = new FakeInformers();
  informers.put(builtinKind("", "v1", "Namespace"), { metadata: { name: "ns" } });
  informers.put(builtinKind("", "v1", "Service"), aService());
  await createDns({ informers, clusterDomain: "cluster.local", dnsIp: "10.96.0.10", exec: hostExec, clock: systemClock, resolvConf: "/dev/null" }).start();
`;

const resolve = (from: TestNamespace, name: string): Promise<string> =>
  eventually(`an answer for ${name}`, async () => {
    const { stdout, stderr } = await from.exec(["sh", "-c", `busybox nslookup ${name} 10.96.0.10`], { timeoutMs: 20_000 });
    const said = stdout + stderr;
    return /Address(?: \d)?:\s+(?!10\.96\.0\.10)\S+/.test(said) || said.includes("NXDOMAIN") ? said : undefined;
  });

describe("cluster DNS on a node", () => {
  test("answers pods and the node itself on the cluster's DNS address, which nobody else has to hold", async () => {
    await run(setup.node.exec, ["ip", "route", "del", "default"]);
    setup.node.spawn([process.execPath, "-e", program]);
    for (const from of [pod, setup.node]) expect(await resolve(from, "web.ns.svc.cluster.local")).toContain("10.96.0.80");
    expect(await resolve(pod, "nobody.ns.svc.cluster.local")).toContain("NXDOMAIN");
  });
});

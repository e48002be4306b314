import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HttpClient as Connection } from "../api/client/http.ts";
import { loadKubeconfig } from "../api/client/kubeconfig.ts";
import { builtinKind } from "../api/registry.ts";
import type { ConfigMap, Deployment, ReplicaSet } from "../api/types.ts";
import { eventually, TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { hasEtcd, TestEtcd } from "../control/store/etcd/testing.ts";
import { aDeployment, command, holderOf, Plane } from "./planes.testing.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const DEPLOYMENTS = builtinKind("apps", "v1", "Deployment");
const REPLICA_SETS = builtinKind("apps", "v1", "ReplicaSet");

describe.skipIf(!hasEtcd)("two control planes on one etcd", () => {
  const root = mkdtempSync(join(tmpdir(), "minik8s-planes-"));
  const etcd = new TestEtcd();
  const first = new Plane(join(root, "first"), `etcd://${etcd.endpoint}`);
  const second = new Plane(join(root, "second"), `etcd://${etcd.endpoint}`);

  beforeAll(async () => {
    etcd.start();
    first.start(["--init"]);
    await first.ready();
    const token = (await command(["token", "create", "--control-plane", "--data-dir", first.directory])).trim();
    second.start(["--join", `https://127.0.0.1:${first.port}`, "--token", token]);
    await second.ready();
  });

  afterAll(async () => {
    await Promise.all([first.stop(), second.stop()]);
    await etcd.remove();
    rmSync(root, { recursive: true, force: true });
  });

  test("both belong to one cluster: either's admin is the other's", async () => {
    const config = await loadKubeconfig(join(first.directory, "admin.conf"));
    const asFirst = new Connection({ ...config, server: `https://127.0.0.1:${second.port}` });
    expect((await asFirst.get<ConfigMap>(CONFIG_MAPS, { namespace: "kube-system", name: "minik8s-cluster" })).data).toMatchObject({ clusterDomain: "cluster.local" });
    await asFirst.close();
  });

  test("an object written on one is seen by a watch on the other", async () => {
    const [one, two] = await Promise.all([first.connect(), second.connect()]);
    const stop = new AbortController();
    const { metadata } = await two.list<ConfigMap>(CONFIG_MAPS, { namespace: "default" });
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of two.watch<ConfigMap>(CONFIG_MAPS, { namespace: "default", resourceVersion: metadata.resourceVersion, signal: stop.signal })) {
        seen.push(`${event.type} ${event.object.metadata.name}`);
      }
    })().catch(() => {});
    await one.create<ConfigMap>(CONFIG_MAPS, { metadata: { name: "shared", namespace: "default" } });
    await eventually("the event", () => seen.includes("ADDED shared"));
    stop.abort();
    await watching;
    await Promise.all([one.close(), two.close()]);
  });

  test("what was written through one is read through the other at once", async () => {
    const [one, two] = await Promise.all([first.connect(), second.connect()]);
    for (let i = 0; i < 30; i++) {
      await one.create<ConfigMap>(CONFIG_MAPS, { metadata: { name: `fresh-${i}`, namespace: "default" } });
      expect((await two.get<ConfigMap>(CONFIG_MAPS, { namespace: "default", name: `fresh-${i}` })).metadata.name).toBe(`fresh-${i}`);
    }
    await Promise.all([one.close(), two.close()]);
  });

  test("one runs the controllers; when it is killed the other goes on with nothing lost", async () => {
    const [one, two] = await Promise.all([first.connect(), second.connect()]);
    await two.create<Deployment>(DEPLOYMENTS, aDeployment("before"));
    await eventually("its ReplicaSet", async () => (await two.list<ReplicaSet>(REPLICA_SETS, { namespace: "default" })).items.length === 1);
    const holder = await holderOf(two);
    const acknowledged: string[] = [];
    const writing = (async () => {
      for (let i = 0; ; i++) acknowledged.push((await one.create<ConfigMap>(CONFIG_MAPS, { metadata: { name: `w-${i}`, namespace: "default" } })).metadata.name);
    })().catch(() => {});
    await eventually("thirty writes", () => acknowledged.length > 30);
    await first.kill();
    await writing;
    const kept = new Set((await two.list<ConfigMap>(CONFIG_MAPS, { namespace: "default" })).items.map(({ metadata }) => metadata.name));
    expect(acknowledged.filter((name) => !kept.has(name))).toEqual([]);
    await two.create<Deployment>(DEPLOYMENTS, aDeployment("after"));
    await eventually("its ReplicaSet", async () => (await two.list<ReplicaSet>(REPLICA_SETS, { namespace: "default" })).items.length === 2);
    expect(await holderOf(two)).not.toBe(holder);
    await Promise.all([one.close(), two.close()]);
  });

  test("one that is stopped gives its leases back, and comes back without a token", async () => {
    first.start(["--init"]);
    await first.ready();
    const two = await second.connect();
    const holder = await holderOf(two);
    await two.close();
    await second.stop();
    const one = await first.connect();
    await eventually("another holder", async () => ![holder, ""].includes(await holderOf(one)));
    second.start(["--join", `https://127.0.0.1:${first.port}`]);
    await second.ready();
    await one.close();
  });
});

import { afterEach, describe, expect, test } from "bun:test";
import type { ConfigMap, Namespace, Pod, ServiceAccount } from "../../api/types.ts";
import { aNamespace, becomes, consistently, eventually, TestCluster } from "./cluster.suite.ts";
import { findCondition } from "./conditions.ts";
import { CONFIG_MAP, NAMESPACE, POD, SECRET, SERVICE_ACCOUNT } from "./kinds.ts";
import { namespaceController } from "./namespace.ts";
import { rootCaPublisher, serviceAccountController } from "./serviceaccount.ts";

const clusters: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
function aCluster(): TestCluster {
  const cluster = new TestCluster();
  clusters.push(cluster);
  return cluster;
}
const names = async (cluster: TestCluster, namespace: string): Promise<string[]> => (await cluster.list(CONFIG_MAP, namespace)).map((object) => object.metadata.name);
const isGone = async (cluster: TestCluster): Promise<boolean> => (await cluster.list(NAMESPACE)).length === 0;

describe("a new namespace", () => {
  test("gets its default service account, and gets it again when it is deleted", async () => {
    const cluster = aCluster();
    await cluster.start(serviceAccountController);
    await aNamespace(cluster.client, "team");
    const read = (): Promise<string[]> => cluster.list<ServiceAccount>(SERVICE_ACCOUNT, "team").then((all) => all.map((a) => a.metadata.name));
    await becomes(read, ["default"]);
    await cluster.client.delete(SERVICE_ACCOUNT, { namespace: "team", name: "default" });
    await becomes(read, ["default"]);
  });

  test("gets the authority to trust, which heals when edited or deleted", async () => {
    const cluster = aCluster();
    await cluster.start(rootCaPublisher);
    await aNamespace(cluster.client, "team");
    const data = async (): Promise<unknown> => (await cluster.list<ConfigMap>(CONFIG_MAP, "team")).map((map) => [map.metadata.name, map.data]);
    const wanted = [["kube-root-ca.crt", { "ca.crt": "CA" }]];
    await becomes(data, wanted);
    await cluster.client.patch(CONFIG_MAP, { namespace: "team", name: "kube-root-ca.crt" }, { data: { "ca.crt": "forged" } }, { type: "merge" });
    await becomes(data, wanted);
    await cluster.client.delete(CONFIG_MAP, { namespace: "team", name: "kube-root-ca.crt" });
    await becomes(data, wanted);
  });
});

describe("a deleted namespace", () => {
  test("is emptied and goes; others keep their content", async () => {
    const cluster = aCluster();
    for (const name of ["doomed", "safe"]) {
      await aNamespace(cluster.client, name);
      await cluster.create(CONFIG_MAP, { metadata: { name: "c", namespace: name } });
      await cluster.create(SECRET, { metadata: { name: "s", namespace: name } });
    }
    await cluster.start(namespaceController);
    await cluster.client.delete(NAMESPACE, { name: "doomed" });
    await becomes(async () => (await cluster.list(NAMESPACE)).map((n) => n.metadata.name), ["safe"]);
    expect(await names(cluster, "doomed")).toEqual([]);
    expect(await names(cluster, "safe")).toEqual(["c"]);
  });

  test("waits for its pods before touching what they use, and goes on the moment they are gone", async () => {
    const cluster = aCluster();
    await aNamespace(cluster.client, "doomed");
    await cluster.create(CONFIG_MAP, { metadata: { name: "config", namespace: "doomed" } });
    await cluster.create<Pod>(POD, { metadata: { name: "p", namespace: "doomed" }, spec: { nodeName: "n", containers: [], terminationGracePeriodSeconds: 30 } });
    await cluster.start(namespaceController);
    await cluster.client.delete(NAMESPACE, { name: "doomed" });
    await eventually(async () => (await cluster.get<Pod>(POD, "p", "doomed")).metadata.deletionTimestamp !== undefined);
    await consistently(async () => (await names(cluster, "doomed")).length === 1);
    await cluster.client.delete(POD, { namespace: "doomed", name: "p" }, { gracePeriodSeconds: 0 });
    await eventually(() => isGone(cluster));
  });

  test("held by a finalizer, says which, and goes once it is taken off", async () => {
    const cluster = aCluster();
    await aNamespace(cluster.client, "doomed");
    await cluster.create(CONFIG_MAP, { metadata: { name: "held", namespace: "doomed", finalizers: ["example.com/keep"] } });
    await cluster.start(namespaceController);
    await cluster.client.delete(NAMESPACE, { name: "doomed" });
    const condition = async (type: string) => findCondition((await cluster.get<Namespace>(NAMESPACE, "doomed")).status?.conditions, type);
    await eventually(async () => (await condition("NamespaceFinalizersRemaining")) !== undefined);
    expect(await condition("NamespaceContentRemaining")).toMatchObject({ status: "True", reason: "SomeResourcesRemain", message: "Some resources are remaining: configmaps. has 1 resource instances" });
    expect(await condition("NamespaceFinalizersRemaining")).toMatchObject({ status: "True", message: "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances" });
    expect(await condition("NamespaceDeletionContentFailure")).toMatchObject({ status: "False", reason: "ContentDeleted" });
    await cluster.change<ConfigMap>(CONFIG_MAP, "held", () => undefined).catch(() => undefined);
    await cluster.client.patch(CONFIG_MAP, { namespace: "doomed", name: "held" }, { metadata: { finalizers: null } }, { type: "merge" });
    await cluster.crash();
    await cluster.start(namespaceController);
    await eventually(() => isGone(cluster));
  });

  test("whose content cannot be deleted says so and tries again", async () => {
    const cluster = aCluster();
    await aNamespace(cluster.client, "doomed");
    await cluster.create(SECRET, { metadata: { name: "s", namespace: "doomed" } });
    cluster.client.intercept = ({ verb, kind }) => {
      if (verb === "deleteCollection" && kind === SECRET) throw new Error("disk is on fire");
    };
    await cluster.start(namespaceController);
    await cluster.client.delete(NAMESPACE, { name: "doomed" });
    const message = async (): Promise<string | undefined> => findCondition((await cluster.get<Namespace>(NAMESPACE, "doomed")).status?.conditions, "NamespaceDeletionContentFailure")?.message;
    await becomes(message, "Failed to delete all resource types, 1 remaining: disk is on fire");
    cluster.client.intercept = () => undefined;
    await eventually(() => isGone(cluster));
  });
});

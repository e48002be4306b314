import { afterEach, expect, test } from "bun:test";
import type { Secret, ServiceAccount } from "../../api/types.ts";
import { becomes, TestCluster } from "./cluster.suite.ts";
import { SECRET, SERVICE_ACCOUNT } from "./kinds.ts";
import { tokenSecretController } from "./tokensecrets.ts";

let cluster: TestCluster;
afterEach(() => cluster.stop());

const aSecret = (annotations: Record<string, string>): Secret => ({ metadata: { name: "robot-token", namespace: "default", annotations }, type: "kubernetes.io/service-account-token" });
const plain = (text: string | undefined): string => Buffer.from(text ?? "", "base64").toString();

async function start(): Promise<void> {
  cluster = new TestCluster({ settings: { issueLegacyToken: (account, secretName) => `${account.metadata.name}:${secretName}` } });
  await cluster.start(tokenSecretController);
}

const exists = async (): Promise<boolean> => (await cluster.list<Secret>(SECRET)).length > 0;

test("a token Secret gets a token, the namespace and the authority, and belongs to its account", async () => {
  await start();
  const account = await cluster.create<ServiceAccount>(SERVICE_ACCOUNT, { metadata: { name: "robot", namespace: "default" } });
  await cluster.create<Secret>(SECRET, aSecret({ "kubernetes.io/service-account.name": "robot" }));
  await becomes(async () => plain((await cluster.get<Secret>(SECRET, "robot-token")).data?.["token"]), "robot:robot-token");
  const { data, metadata } = await cluster.get<Secret>(SECRET, "robot-token");
  expect([plain(data?.["namespace"]), plain(data?.["ca.crt"])]).toEqual(["default", "CA"]);
  expect(metadata.annotations?.["kubernetes.io/service-account.uid"]).toBe(account.metadata.uid);
});

test("a token goes with its account", async () => {
  await start();
  await cluster.create<ServiceAccount>(SERVICE_ACCOUNT, { metadata: { name: "robot", namespace: "default" } });
  await cluster.create<Secret>(SECRET, aSecret({ "kubernetes.io/service-account.name": "robot" }));
  await becomes(async () => plain((await cluster.get<Secret>(SECRET, "robot-token")).data?.["token"]), "robot:robot-token");
  await cluster.client.delete(SERVICE_ACCOUNT, { namespace: "default", name: "robot" });
  await becomes(exists, false);
});

test("a token meant for an earlier account of the name is removed", async () => {
  await start();
  await cluster.create<ServiceAccount>(SERVICE_ACCOUNT, { metadata: { name: "robot", namespace: "default" } });
  await cluster.create<Secret>(SECRET, aSecret({ "kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": "another" }));
  await becomes(exists, false);
});

// What the controllers of the cluster itself do, seen with kubectl on hollow nodes: nodes and their zones, rights, tokens, certificates, ranges.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
// The certificate library needs its metadata store before it is loaded.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { parse } from "yaml";
import { hostExec } from "../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { HollowCluster, type Wire } from "./hollow.suite.ts";
import { BINARY, eventually } from "./support.ts";

const cluster = new HollowCluster();
const { kubectl } = cluster;
const ZONE = "topology.kubernetes.io/zone";

beforeAll(async () => {
  await cluster.start();
  await Promise.all([cluster.addNodes("east", 3, "--node-labels", `${ZONE}=east`), cluster.addNodes("west", 3, "--node-labels", `${ZONE}=west`)]);
  await kubectl.apply(["east", "west"].map(deploymentIn).join("---"));
  for (const zone of ["east", "west"]) await kubectl.run("rollout", "status", `deployment/${zone}`, "--timeout=120s");
  // Two small zones: one loses all its nodes, the other most of them. Everything else is tested while the silence is waited for.
  await cluster.addNodes("south", 1, "--node-labels", `${ZONE}=south`);
  await cluster.addNodes("lost", 4, "--node-labels", `${ZONE}=south`);
  await Promise.all([cluster.silence("west"), cluster.silence("lost")]);
}, TEST_TIMEOUT_MS);
afterAll(() => cluster.stop(), TEST_TIMEOUT_MS);

/** Pods that stay in their zone, and leave a lost node at once. */
function deploymentIn(zone: string): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${zone} }
spec:
  replicas: 3
  selector: { matchLabels: { app: ${zone} } }
  template:
    metadata: { labels: { app: ${zone} } }
    spec:
      nodeSelector: { ${ZONE}: ${zone} }
      tolerations: [{ key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 0 }]
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app: ${zone} } } }]
      containers: [{ name: c, image: i }]
`;
}

test("a controller nobody knows is refused at the start, in upstream's words", async () => {
  const result = await hostExec([BINARY, "control", "--init", "--data-dir", join(cluster.directory, "never"), "--controllers", "*,-red-controller"], { timeoutMs: 90_000 });
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain('"red-controller" is not in the list of known controllers');
});

test("a role that aggregates has the rules of all it selects, and loses those of one that goes", async () => {
  const role = (name: string, extra: string): string => `apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: ${name}, labels: { into: whole } }\n${extra}\n`;
  await kubectl.apply(`${role("part", "rules: [{ apiGroups: [''], resources: [pods], verbs: [get] }]")}---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: whole }\naggregationRule: { clusterRoleSelectors: [{ matchLabels: { into: whole } }] }\nrules: []\n`);
  await eventually("it has the rules", async () => (await kubectl.value("{.rules[*].resources[*]}", "clusterrole", "whole")) === "pods");
  await kubectl.run("delete", "clusterrole", "part");
  await eventually("it has none", async () => (await kubectl.value("{.rules[*].resources[*]}", "clusterrole", "whole")) === "");
}, TEST_TIMEOUT_MS);

test("a bootstrap token signs what joining nodes read, and is cleared away when its time is up", async () => {
  const secret = (id: string, expiration: Date): string => `apiVersion: v1\nkind: Secret\nmetadata: { name: bootstrap-token-${id}, namespace: kube-system }\ntype: bootstrap.kubernetes.io/token\nstringData: { token-id: ${id}, token-secret: 0123456789abcdef, usage-bootstrap-signing: 'true', expiration: '${expiration.toISOString()}' }\n`;
  const server = await kubectl.run("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}");
  // Who joins has no rights yet, and trusts nobody.
  const info = async (): Promise<Wire> => (await fetch(`${server}/api/v1/namespaces/kube-public/configmaps/cluster-info`, { tls: { rejectUnauthorized: false } })).json();
  const [discovered] = parse((await info()).data.kubeconfig).clusters as Wire[];
  expect(discovered.cluster.server).toBe(server);
  expect(Buffer.from(discovered.cluster["certificate-authority-data"], "base64").toString()).toStartWith("-----BEGIN CERTIFICATE-----");
  await kubectl.apply(secret("longer", new Date(Date.now() + 3_600_000)));
  const signed = await eventually("it signs", async () => (await info()).data["jws-kubeconfig-longer"] as string);
  const [header, , signature] = signed.split(".");
  expect(signature).toBe(createHmac("sha256", "0123456789abcdef").update(`${header}.${Buffer.from((await info()).data.kubeconfig).toString("base64url")}`).digest("base64url"));
  await kubectl.apply(secret("sooner", new Date(Date.now() + 2_000)));
  await eventually("it is cleared away", async () => (await kubectl.attempt("get", "secret", "-n", "kube-system", "bootstrap-token-sooner")).stderr.includes("NotFound"));
  await eventually("its signature too", async () => (await info()).data["jws-kubeconfig-sooner"] === undefined);
}, TEST_TIMEOUT_MS);

describe("a certificate somebody asks for", () => {
  async function ask(name: string, signerName: string, usages: readonly string[]): Promise<string> {
    const keys = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])) as CryptoKeyPair;
    const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: "CN=ann, O=dev", keys, signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } });
    const spec = { request: Buffer.from(request.toString("pem")).toString("base64"), signerName, usages, expirationSeconds: 600 };
    await cluster.request("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", { apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest", metadata: { name }, spec });
    return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  }

  test("waits for a person, is signed once approved, and lets its owner in", async () => {
    const key = await ask("ann", "kubernetes.io/kube-apiserver-client", ["client auth"]);
    expect(await kubectl.run("get", "csr", "ann")).toContain("Pending");
    await kubectl.run("certificate", "approve", "ann");
    const certificate = await eventually("it is signed", () => kubectl.value("{.status.certificate}", "csr", "ann"));
    expect(await kubectl.run("get", "csr", "ann")).toContain("Approved,Issued");
    const files = ["ann.pem", "ann.key"].map((file) => join(cluster.directory, file)) as [string, string];
    writeFileSync(files[0], Buffer.from(certificate, "base64"));
    writeFileSync(files[1], key);
    const server = await kubectl.run("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}");
    const answer = await hostExec(["kubectl", "--kubeconfig", "/dev/null", "--server", server, "--insecure-skip-tls-verify", "--client-certificate", files[0], "--client-key", files[1], "get", "pods"], { timeoutMs: 30_000 });
    expect(answer.stderr).toContain('User "ann" cannot list resource "pods"');
  }, TEST_TIMEOUT_MS);

  test("is refused where its signer must not sign it, and where a person denies it", async () => {
    await ask("wrong", "kubernetes.io/kube-apiserver-client-kubelet", ["client auth", "digital signature"]);
    await kubectl.run("certificate", "approve", "wrong");
    await eventually("it failed", async () => (await kubectl.value("{.status.conditions[?(@.type==\"Failed\")].message}", "csr", "wrong")) === "subject organization is not system:nodes");
    await ask("denied", "kubernetes.io/kube-apiserver-client", ["client auth"]);
    await kubectl.run("certificate", "deny", "denied");
    expect(await kubectl.run("get", "csr", "denied")).toContain("Denied");
    expect(await kubectl.value("{.status.certificate}", "csr", "denied")).toBe("");
  }, TEST_TIMEOUT_MS);
});

test("a range of addresses stays while a Service has one of them, and goes with the last", async () => {
  const path = "/apis/networking.k8s.io/v1/servicecidrs/more";
  await cluster.request("POST", "/apis/networking.k8s.io/v1/servicecidrs", { apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", metadata: { name: "more" }, spec: { cidrs: ["10.77.0.0/24"] } });
  await eventually("it is ready", async () => (await cluster.get(path)).status?.conditions?.[0]?.status === "True");
  expect((await cluster.get(path)).metadata.finalizers).toContain("networking.k8s.io/service-cidr-finalizer");
  await kubectl.apply("apiVersion: v1\nkind: Service\nmetadata: { name: far }\nspec: { clusterIP: 10.77.0.7, ports: [{ port: 80 }] }\n");
  await cluster.request("DELETE", path);
  await eventually("it says what it waits for", async () => (await cluster.get(path)).status.conditions[0].message === "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR");
  await kubectl.run("delete", "service", "far");
  await eventually("it is gone", () => cluster.get(path).then(() => false, (error: Error) => error.message.includes("not found")));
}, TEST_TIMEOUT_MS);

describe("a budget", () => {
  const evict = (name: string): Promise<Wire> => cluster.request("POST", `/api/v1/namespaces/default/pods/${name}/eviction`, { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace: "default" } }).then(() => "granted", (error: Error) => error.message);
  const policyOf = (policy: string): Promise<Wire> => cluster.request("PATCH", "/apis/policy/v1/namespaces/default/poddisruptionbudgets/picky", { spec: { unhealthyPodEvictionPolicy: policy } }, "application/merge-patch+json");

  test("that is not met keeps pods that are not ready, unless it is told to let them go", async () => {
    const pod = (name: string, extra: string): string => `apiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, labels: { app: picky } }\nspec: { ${extra} nodeSelector: { ${ZONE}: east }, containers: [{ name: c, image: i }] }\n---\n`;
    await kubectl.apply(`${pod("well", "")}${pod("sick", "readinessGates: [{ conditionType: never }],")}apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: { name: picky }\nspec: { minAvailable: 2, selector: { matchLabels: { app: picky } } }\n`);
    await kubectl.run("wait", "--for=condition=Ready", "pod/well", "--timeout=120s");
    await eventually("sick runs", async () => (await kubectl.value("{.status.phase}", "pod", "sick")) === "Running");
    await eventually("it is counted", async () => (await kubectl.value("{.status.currentHealthy}/{.status.desiredHealthy}", "pdb", "picky")) === "1/2");
    expect(await evict("sick")).toContain("Cannot evict pod as it would violate the pod's disruption budget.");
    await policyOf("AlwaysAllow");
    expect(await evict("well")).toContain("Cannot evict pod as it would violate the pod's disruption budget.");
    expect(await evict("sick")).toBe("granted");
  }, TEST_TIMEOUT_MS);
});

test("nodes are told to keep what they read for longer when there are more than a hundred", async () => {
  const told = (name: string): Promise<string> => kubectl.value("{.metadata.annotations.node\\.alpha\\.kubernetes\\.io/ttl}", "node", name);
  await eventually("few nodes keep nothing", async () => (await told("east-0")) === "0");
  await cluster.addNodes("crowd", 101, "--node-labels", "group=crowd");
  await eventually("many keep it for a while", async () => (await told("crowd-100")) === "15");
  await cluster.silence("crowd");
  await cluster.request("DELETE", "/api/v1/nodes?labelSelector=group%3Dcrowd");
}, TEST_TIMEOUT_MS);

test("a zone that falls silent as a whole is emptied node by node, and no other is touched", async () => {
  const nodes = async (): Promise<Wire[]> => (await cluster.get(`/api/v1/nodes?labelSelector=${encodeURIComponent(`${ZONE}=west`)}`)).items;
  const evicted = async (): Promise<string[]> => (await nodes()).flatMap(({ spec }) => (spec.taints ?? []).filter(({ key, effect }: Wire) => key === "node.kubernetes.io/unreachable" && effect === "NoExecute").map(({ timeAdded }: Wire) => timeAdded));
  const untouched = await kubectl.value("{.items[*].metadata.uid}", "pods", "-l", "app=east");
  await eventually("the silent nodes are not ready", async () => (await nodes()).every(({ status }) => status.conditions.find(({ type }: Wire) => type === "Ready").status === "Unknown"), 120_000);
  await eventually("all three are emptied", async () => (await evicted()).length === 3, 120_000);
  const times = (await evicted()).map((time) => Date.parse(time)).toSorted((a, b) => a - b) as [number, number, number];
  // One node in ten seconds, however many are lost at once; dates have whole seconds.
  expect(times[1] - times[0]).toBeGreaterThanOrEqual(9_000);
  expect(times[2] - times[1]).toBeGreaterThanOrEqual(9_000);
  await eventually("their pods have been told to go", async () => (await cluster.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dwest")).items.filter(({ metadata }: Wire) => metadata.deletionTimestamp).length === 3, 60_000);
  expect(await kubectl.value("{.items[*].metadata.uid}", "pods", "-l", "app=east")).toBe(untouched);
}, 300_000);

test("a small zone that lost most of its nodes is not emptied any further, which its numbers tell", async () => {
  const zone = async (): Promise<Wire[]> => (await cluster.get(`/api/v1/nodes?labelSelector=${encodeURIComponent(`${ZONE}=south`)}`)).items;
  const numbers = async (): Promise<string[]> => ((await cluster.get("/metrics")) as string).split("\n").filter((line) => /^node_collector_(zone|unhealthy)/.test(line) && line.includes('zone=":south"'));
  await eventually("four of five are unhealthy", async () => (await numbers()).toSorted().join() === 'node_collector_unhealthy_nodes_in_zone{zone=":south"} 4,node_collector_zone_health{zone=":south"} 20,node_collector_zone_size{zone=":south"} 5', 120_000);
  await eventually("none is to be scheduled to", async () => (await zone()).filter(({ spec }) => (spec.taints ?? []).some(({ key, effect }: Wire) => key === "node.kubernetes.io/unreachable" && effect === "NoSchedule")).length === 4);
  // In the time the other zone was emptied in, three of these would have been, too; one or two may have been begun before the others were missed.
  expect((await zone()).filter(({ spec }) => (spec.taints ?? []).some(({ effect }: Wire) => effect === "NoExecute")).length).toBeLessThan(3);
}, 300_000);

// A container's environment: order, sources, expansion and services.
import { expect, test } from "bun:test";
import type { Container, Service } from "../../api/types.ts";
import { aContainer, aPod } from "./builders.ts";
import { environment, type ObjectSource } from "./env.ts";
import { expand } from "./expand.ts";
import { fieldValue, formatMap, resourceValue } from "./fields.ts";

const facts = { podIps: ["10.0.0.9", "fd00::9"], nodeIp: "192.168.0.1", allocatable: { cpu: "4", memory: "8Gi" } };
const objects: ObjectSource = {
  configMap: async (_namespace, name) => (name === "cm" ? { metadata: {}, data: { a: "1", "b.c": "2" } } : undefined),
  secret: async (_namespace, name) => (name === "s" ? { metadata: {}, data: { key: Buffer.from("shh").toString("base64") } } : undefined),
};
const service = (name: string, namespace = "default"): Service => ({ metadata: { name, namespace }, spec: { clusterIP: "10.96.0.5", ports: [{ name: "http", port: 80, protocol: "TCP" }, { name: "dns", port: 53, protocol: "UDP" }] } });
const of = async (container: Partial<Container>, services: Service[] = [], enableServiceLinks = true): Promise<Record<string, string>> => Object.fromEntries((await environment({ pod: aPod({ spec: { enableServiceLinks } }), container: aContainer(container), facts, objects, services })).map(({ name, value }) => [name, value]));

test("references see what was declared before them, envFrom and services included", async () => {
  expect(await of({ envFrom: [{ prefix: "P_", configMapRef: { name: "cm" } }], env: [{ name: "X", value: "$(P_a)$(LATER)$$(P_a)" }, { name: "LATER", value: "z" }, { name: "Y", value: "$(X)$(DB_SERVICE_HOST)" }] }, [service("db")])).toMatchObject({ P_a: "1", "P_b.c": "2", X: "1$(LATER)$(P_a)", Y: "1$(LATER)$(P_a)10.96.0.5" });
});

test("a declared variable replaces one from envFrom", async () => {
  expect((await of({ envFrom: [{ configMapRef: { name: "cm" } }], env: [{ name: "a", value: "mine" }] }))["a"]).toBe("mine");
});

test("keys come from config maps and secrets, optional ones may be missing", async () => {
  const from = (valueFrom: NonNullable<Container["env"]>[number]["valueFrom"]): Promise<Record<string, string>> => of({ env: [{ name: "V", valueFrom }] });
  expect(await from({ configMapKeyRef: { name: "cm", key: "a" } })).toEqual({ V: "1" });
  expect(await from({ secretKeyRef: { name: "s", key: "key" } })).toEqual({ V: "shh" });
  expect(await from({ secretKeyRef: { name: "none", key: "key", optional: true } })).toEqual({});
  await expect(from({ configMapKeyRef: { name: "cm", key: "zz" } })).rejects.toThrow("couldn't find key zz in ConfigMap default/cm");
  await expect(from({ secretKeyRef: { name: "none", key: "k" } })).rejects.toThrow(`secret "none" not found`);
});

test("services of the namespace are told of, the kubernetes service always, others not", async () => {
  const services = [service("my-db"), service("kubernetes"), service("far", "elsewhere")];
  expect(await of({}, services)).toMatchObject({ MY_DB_SERVICE_HOST: "10.96.0.5", MY_DB_SERVICE_PORT: "80", MY_DB_SERVICE_PORT_HTTP: "80", MY_DB_PORT: "tcp://10.96.0.5:80", MY_DB_PORT_53_UDP: "udp://10.96.0.5:53", MY_DB_PORT_53_UDP_ADDR: "10.96.0.5", KUBERNETES_SERVICE_HOST: "10.96.0.5" });
  expect(Object.keys(await of({}, services, false)).some((name) => name.startsWith("MY_DB"))).toBe(false);
  expect(Object.keys(await of({}, services)).some((name) => name.startsWith("FAR"))).toBe(false);
});

test("expansion leaves what it does not know as it was written", () => {
  const known = (name: string): string | undefined => (name === "A" ? "1" : undefined);
  expect(["$(A)", "$$(A)", "$(B)", "$A", "$", "$$", "$(A", "x$(A)y$(A)"].map((text) => expand(text, known))).toEqual(["1", "$(A)", "$(B)", "$A", "$", "$", "$(A", "x1y1"]);
});

test("the downward API gives fields as text", () => {
  const pod = aPod({ metadata: { labels: { b: `q"u`, a: "1" }, annotations: { "x/y": "z" } }, spec: { serviceAccountName: "sa" } });
  expect(fieldValue(pod, "metadata.labels['a']", facts)).toBe("1");
  expect(fieldValue(pod, "metadata.annotations['x/y']", facts)).toBe("z");
  expect(fieldValue(pod, "status.podIPs", facts)).toBe("10.0.0.9,fd00::9");
  expect(fieldValue(pod, "status.hostIP", facts)).toBe("192.168.0.1");
  expect(formatMap(pod.metadata.labels)).toBe(`a="1"\nb="q\\"u"`);
});

test("resources are told in multiples of their divisor, rounded up, with the node's room for missing limits", () => {
  const container = aContainer({ resources: { requests: { cpu: "250m" }, limits: { memory: "64Mi" } } });
  const ask = (resource: string, divisor?: string): string => resourceValue(aPod(), container, { resource, divisor }, facts);
  expect([ask("requests.cpu"), ask("requests.cpu", "1m"), ask("limits.memory"), ask("limits.memory", "1Mi"), ask("limits.cpu"), ask("requests.memory")]).toEqual(["1", "250", "67108864", "64", "4", "0"]);
});

// The environment of a container: declared variables, their sources, and the services of its namespace.
// Config maps and secrets are asked of the source given; what cannot be resolved throws EnvError in upstream's words.
import type { ConfigMap, Container, EnvVar, Pod, Secret, Service } from "../../api/types.ts";
import { expand } from "./expand.ts";
import { fieldValue, resourceValue, type NodeFacts } from "./fields.ts";

/** Config maps and secrets by name; undefined when they do not exist. */
export interface ObjectSource {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
}

/** The environment cannot be built; the message is upstream's. */
export class EnvError extends Error {
  override readonly name = "EnvError";
}

export interface EnvInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly facts: NodeFacts;
  readonly objects: ObjectSource;
  readonly services: readonly Service[];
}

/** Declared variables in their order, then those of services that no declaration replaces. */
export async function environment(input: EnvInput): Promise<{ name: string; value: string }[]> {
  const services = serviceEnvironment(input.pod, input.services);
  const values = new Map<string, string>();
  for (const source of input.container.envFrom ?? []) await addAll(input, source, values);
  for (const variable of input.container.env ?? []) {
    const value = variable.value ? expand(variable.value, (name) => values.get(name) ?? services.get(name)) : await sourced(input, variable);
    if (value === undefined) continue;
    // Declaring a name again moves it: later values may refer to what came before.
    values.delete(variable.name);
    values.set(variable.name, value);
  }
  for (const [name, value] of services) if (!values.has(name)) values.set(name, value);
  return [...values].map(([name, value]) => ({ name, value }));
}

type EnvFrom = NonNullable<Container["envFrom"]>[number];

async function addAll({ pod, objects }: EnvInput, source: EnvFrom, values: Map<string, string>): Promise<void> {
  const namespace = pod.metadata.namespace ?? "";
  const prefix = source.prefix ?? "";
  if (source.configMapRef) {
    const { name = "", optional } = source.configMapRef;
    const map = await objects.configMap(namespace, name);
    if (!map && !optional) throw new EnvError(`configmap "${name}" not found`);
    for (const [key, value] of Object.entries(map?.data ?? {})) values.set(prefix + key, value);
  }
  if (source.secretRef) {
    const { name = "", optional } = source.secretRef;
    const secret = await objects.secret(namespace, name);
    if (!secret && !optional) throw new EnvError(`secret "${name}" not found`);
    for (const [key, value] of Object.entries(secret?.data ?? {})) values.set(prefix + key, decode(value));
  }
}

/** undefined: an optional source that is not there leaves the variable out. */
async function sourced(input: EnvInput, variable: EnvVar): Promise<string | undefined> {
  const from = variable.valueFrom;
  if (!from) return "";
  if (from.fieldRef) return fieldValue(input.pod, from.fieldRef.fieldPath, input.facts);
  if (from.resourceFieldRef) {
    const wanted = from.resourceFieldRef.containerName;
    const container = wanted ? [...(input.pod.spec?.containers ?? []), ...(input.pod.spec?.initContainers ?? [])].find((c) => c.name === wanted) : input.container;
    return resourceValue(input.pod, container ?? input.container, from.resourceFieldRef, input.facts);
  }
  if (from.configMapKeyRef) return configMapKey(input, from.configMapKeyRef);
  if (from.secretKeyRef) return secretKey(input, from.secretKeyRef);
  return "";
}

interface KeyRef {
  readonly name?: string | undefined;
  readonly key: string;
  readonly optional?: boolean | undefined;
}

async function configMapKey({ pod, objects }: EnvInput, { name = "", key, optional }: KeyRef): Promise<string | undefined> {
  const namespace = pod.metadata.namespace ?? "";
  const map = await objects.configMap(namespace, name);
  if (!map && !optional) throw new EnvError(`configmap "${name}" not found`);
  const value = map?.data?.[key];
  if (value === undefined && !optional) throw new EnvError(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
  return value;
}

async function secretKey({ pod, objects }: EnvInput, { name = "", key, optional }: KeyRef): Promise<string | undefined> {
  const namespace = pod.metadata.namespace ?? "";
  const secret = await objects.secret(namespace, name);
  if (!secret && !optional) throw new EnvError(`secret "${name}" not found`);
  const value = secret?.data?.[key];
  if (value === undefined && !optional) throw new EnvError(`couldn't find key ${key} in Secret ${namespace}/${name}`);
  return value === undefined ? undefined : decode(value);
}

const decode = (base64: string): string => Buffer.from(base64, "base64").toString("utf8");

/** `KUBERNETES_*` always; other services of the pod's namespace unless `enableServiceLinks` is false. */
export function serviceEnvironment(pod: Pod, services: readonly Service[]): Map<string, string> {
  const wantsLinks = pod.spec?.enableServiceLinks !== false;
  const result = new Map<string, string>();
  for (const service of services) {
    const isMaster = service.metadata.namespace === "default" && service.metadata.name === "kubernetes";
    const isOwn = service.metadata.namespace === pod.metadata.namespace;
    const ip = service.spec?.clusterIP;
    if (!ip || ip === "None" || !(isMaster || (isOwn && wantsLinks))) continue;
    // The pod's own namespace may hold a service named like the master's, and then that one counts.
    if (isMaster && !isOwn && result.has("KUBERNETES_SERVICE_HOST")) continue;
    for (const [name, value] of variablesOf(service, ip)) result.set(name, value);
  }
  return result;
}

function* variablesOf(service: Service, ip: string): Generator<[string, string]> {
  const prefix = (service.metadata.name ?? "").toUpperCase().replaceAll("-", "_");
  const ports = service.spec?.ports ?? [];
  const [first] = ports;
  if (!first) return;
  const host = ip.includes(":") ? `[${ip}]` : ip;
  yield [`${prefix}_SERVICE_HOST`, ip];
  yield [`${prefix}_SERVICE_PORT`, String(first.port)];
  for (const port of ports) if (port.name) yield [`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll("-", "_")}`, String(port.port)];
  yield [`${prefix}_PORT`, `${(first.protocol ?? "TCP").toLowerCase()}://${host}:${first.port}`];
  for (const port of ports) {
    const protocol = port.protocol ?? "TCP";
    const name = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    yield [name, `${protocol.toLowerCase()}://${host}:${port.port}`];
    yield [`${name}_PROTO`, protocol.toLowerCase()];
    yield [`${name}_PORT`, String(port.port)];
    yield [`${name}_ADDR`, ip];
  }
}

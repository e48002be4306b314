// Where a connect request goes: which host, port and path serve `pods/log`, `pods/exec`, `services/proxy` and their like.
// Upstream: pkg/registry/core/{pod,node,service}. Nothing here opens a connection.
import { ApiError, badRequest, notFound, serviceUnavailable } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Endpoint, EndpointSlice, Node, Pod, Service } from "../../../api/types.ts";
import { cacheOf, type Engine } from "../engine.ts";
import { isTrue, type ResourceTarget } from "../http/target.ts";

/** One place to connect to. `path` carries its query. */
export interface Location {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** The other end is a node's own API: our client certificate goes along. */
  readonly isNode: boolean;
}

const POD = builtinKind("", "v1", "Pod");
const NODE = builtinKind("", "v1", "Node");
const SERVICE = builtinKind("", "v1", "Service");
const SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");
const NODE_PORT = 10250;
const NODE_PATHS: Readonly<Record<string, string>> = { exec: "exec", attach: "attach" };
const LOG_PARAMETERS = ["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];
const LOG_SWITCHES = ["follow", "previous", "timestamps"];
const STREAM_PARAMETERS: Readonly<Record<string, string>> = { stdin: "input", stdout: "output", stderr: "error", tty: "tty" };

/** The place that serves this target; undefined for the log of a pod that runs nowhere yet. Throws ApiError. */
export function locate(engine: Engine, target: ResourceTarget, query: URLSearchParams): Location | undefined {
  const { plural, subresource } = target;
  if (plural === "pods" && subresource === "proxy") return podProxy(engine, target, query);
  if (plural === "services") return serviceProxy(engine, target, query);
  if (plural === "nodes") return nodeProxy(engine, target, query);
  const pod = podOf(engine, target.namespace, target.name);
  if (subresource === "log") return logLocation(engine, pod, query);
  const nodeName = pod.spec?.nodeName;
  if (subresource === "portforward") return onNode(engine, assigned(pod, nodeName), { path: `/portForward/${target.namespace}/${target.name}`, query: portQuery(query) });
  const container = containerOf(pod, query.get("container") ?? "");
  return onNode(engine, assigned(pod, nodeName), { path: `/${NODE_PATHS[subresource] as string}/${target.namespace}/${target.name}/${container}`, query: streamQuery(query) });
}

function podOf(engine: Engine, namespace: string, name: string): Pod {
  const entry = cacheOf(engine, POD).get(namespace, name);
  if (!entry) throw notFound(POD, name);
  return entry.object as unknown as Pod;
}

function logLocation(engine: Engine, pod: Pod, query: URLSearchParams): Location | undefined {
  requireLogOptions(pod, query);
  const container = containerOf(pod, query.get("container") ?? "");
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) return undefined;
  return onNode(engine, nodeName, { path: `/containerLogs/${pod.metadata.namespace}/${pod.metadata.name}/${container}`, query: logQuery(query) });
}

function requireLogOptions(pod: Pod, query: URLSearchParams): void {
  for (const name of ["tailLines", "sinceSeconds", "limitBytes"]) {
    const value = query.get(name);
    if (value === null) continue;
    const least = name === "tailLines" ? 0 : 1;
    if (!/^-?\d+$/.test(value)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
    if (Number(value) < least) throw invalidLog(pod, name, value, least === 0 ? "must be greater than or equal to 0" : "must be greater than 0");
  }
  if (query.has("sinceSeconds") && query.has("sinceTime")) throw invalidLog(pod, "", "", "at most one of `sinceTime` or `sinceSeconds` may be specified");
  requireLogStream(pod, query);
}

function requireLogStream(pod: Pod, query: URLSearchParams): void {
  const stream = query.get("stream");
  if (stream === null || stream === "All") return;
  if (stream !== "Stdout" && stream !== "Stderr") throw unsupportedStream(pod, stream);
  if (query.has("tailLines")) throw invalidLog(pod, "", "", "`tailLines` and specific `stream` are mutually exclusive for now");
}

function unsupportedStream(pod: Pod, stream: string): ApiError {
  const message = `stream: Unsupported value: ${JSON.stringify(stream)}: supported values: "All", "Stderr", "Stdout"`;
  return new ApiError(422, "Invalid", `PodLogOptions "${pod.metadata.name}" is invalid: ${message}`, { name: pod.metadata.name as string, kind: "PodLogOptions", causes: [{ reason: "FieldValueNotSupported", message, field: "stream" }] });
}

// The four parts of one sentence.
// oxlint-disable-next-line max-params
function invalidLog(pod: Pod, field: string, value: string, why: string): ApiError {
  const message = field === "" ? `Forbidden: ${why}` : `${field}: Invalid value: ${value}: ${why}`;
  return new ApiError(422, "Invalid", `PodLogOptions "${pod.metadata.name}" is invalid: ${message}`, { name: pod.metadata.name as string, kind: "PodLogOptions", causes: [{ reason: field === "" ? "FieldValueForbidden" : "FieldValueInvalid", message, field }] });
}

/** The container meant: the one named, or the only one there is. */
export function containerOf(pod: Pod, wanted: string): string {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const names = [...initContainers, ...containers, ...ephemeralContainers].map(({ name }) => name);
  if (wanted !== "") {
    if (!names.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${pod.metadata.name}`);
    return wanted;
  }
  if (containers.length === 1) return (containers[0] as { name: string }).name;
  throw badRequest(`a container name must be specified for pod ${pod.metadata.name}${containers.length === 0 ? "" : `, choose one of: [${names.join(" ")}]`}`);
}

function assigned(pod: Pod, nodeName: string | undefined): string {
  if (!nodeName) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  return nodeName;
}

/** A page of a node's own API. */
export function nodePage(engine: Engine, nodeName: string, path: string): Location {
  return onNode(engine, nodeName, { path, query: new URLSearchParams() });
}

function onNode(engine: Engine, nodeName: string, { path, query }: { path: string; query: URLSearchParams }): Location {
  const entry = cacheOf(engine, NODE).get("", nodeName);
  if (!entry) throw notFound(NODE, nodeName);
  const { status } = entry.object as unknown as Node;
  if (status?.daemonEndpoints?.kubeletEndpoint?.Port === 0) throw new ApiError(503, "ServiceUnavailable", `node ${nodeName} answers no requests: it is simulated`);
  const text = query.toString();
  return { scheme: "https", host: addressOf(nodeName, status), port: status?.daemonEndpoints?.kubeletEndpoint?.Port || NODE_PORT, path: text === "" ? path : `${path}?${text}`, isNode: true };
}

function addressOf(nodeName: string, status: Node["status"]): string {
  const addresses = status?.addresses ?? [];
  for (const type of ["InternalIP", "Hostname", "ExternalIP"]) {
    const found = addresses.find((address) => address.type === type);
    if (found) return found.address;
  }
  throw new ApiError(503, "ServiceUnavailable", `no preferred addresses found; known addresses: []; node ${nodeName}`);
}

function logQuery(query: URLSearchParams): URLSearchParams {
  const switches = LOG_SWITCHES.filter((name) => isTrue(query.get(name))).map((name): [string, string] => [name, "true"]);
  return new URLSearchParams([...[...query].filter(([name]) => LOG_PARAMETERS.includes(name)), ...switches]);
}

/** Nodes know the streams under names of their own. */
function streamQuery(query: URLSearchParams): URLSearchParams {
  const out = new URLSearchParams();
  for (const [name, ours] of Object.entries(STREAM_PARAMETERS)) if (isTrue(query.get(name))) out.set(ours, "1");
  for (const word of query.getAll("command")) out.append("command", word);
  return out;
}

function portQuery(query: URLSearchParams): URLSearchParams {
  const ports = query.getAll("ports");
  return new URLSearchParams(ports.length === 0 ? [] : [["port", ports.join(",")]]);
}

/** `name`, `name:port` or `scheme:name:port`. */
function splitName(text: string, kind: string): { scheme: "http" | "https"; name: string; port: string } {
  const parts = text.split(":");
  if (parts.length === 1) return { scheme: "http", name: text, port: "" };
  if (parts.length === 2) return { scheme: "http", name: parts[0] as string, port: parts[1] as string };
  const [scheme, name = "", port = ""] = parts;
  if (parts.length > 3 || !["", "http", "https"].includes(scheme as string)) throw badRequest(`invalid ${kind} request ${JSON.stringify(text)}`);
  return { scheme: scheme === "https" ? "https" : "http", name, port };
}

function podProxy(engine: Engine, { namespace, name: asked, rest }: ResourceTarget, query: URLSearchParams): Location {
  const { scheme, name, port } = splitName(asked, "pod");
  const pod = podOf(engine, namespace, name);
  const host = pod.status?.podIP;
  if (!host) throw badRequest("address not allowed");
  const declared = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports)[0]?.containerPort;
  return { scheme, host, port: Number(port || declared || (scheme === "https" ? 443 : 80)), path: proxiedPath(rest, query), isNode: false };
}

function nodeProxy(engine: Engine, { name: asked, rest }: ResourceTarget, query: URLSearchParams): Location {
  const { name, port } = splitName(asked, "node");
  const location = onNode(engine, name, { path: proxiedPath(rest, query), query: new URLSearchParams() });
  return port === "" ? location : { ...location, port: Number(port), isNode: Number(port) === location.port, scheme: Number(port) === location.port ? "https" : "http" };
}

function serviceProxy(engine: Engine, { namespace, name: asked, rest }: ResourceTarget, query: URLSearchParams): Location {
  const { scheme, name, port } = splitName(asked, "service");
  const entry = cacheOf(engine, SERVICE).get(namespace, name);
  if (!entry) throw notFound(SERVICE, name);
  const service = entry.object as unknown as Service;
  const portName = portNameOf(service, port);
  if (portName === undefined) throw serviceUnavailable(`no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`);
  const backends = backendsOf(engine, service, portName);
  const chosen = backends[Math.floor(Math.random() * backends.length)];
  if (!chosen) throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(asked)}`);
  return { scheme, ...chosen, path: proxiedPath(rest, query), isNode: false };
}

/** The name of the service port meant by name or number; the only port when none is named. */
function portNameOf({ spec }: Service, wanted: string): string | undefined {
  const ports = spec?.ports ?? [];
  if (wanted === "") return ports.length === 1 || ports.some(({ name = "" }) => name === "") ? (ports.find(({ name = "" }) => name === "") ?? ports[0])?.name ?? "" : undefined;
  const found = ports.find(({ name, port }) => name === wanted || String(port) === wanted);
  return found && (found.name ?? "");
}

function backendsOf(engine: Engine, { metadata }: Service, portName: string): { host: string; port: number }[] {
  const found: { host: string; port: number }[] = [];
  for (const { object } of cacheOf(engine, SLICE).entries(metadata.namespace)) {
    const slice = object as unknown as EndpointSlice;
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== metadata.name) continue;
    const port = (slice.ports ?? []).find(({ name = "" }) => name === portName)?.port;
    if (port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) if (isReady(endpoint)) found.push({ host: endpoint.addresses[0] as string, port });
  }
  return found;
}

function isReady({ conditions, addresses }: Endpoint): boolean {
  return conditions?.ready !== false && addresses.length > 0;
}

function proxiedPath(rest: string, query: URLSearchParams): string {
  const text = query.toString();
  return `${rest === "" ? "/" : rest}${text === "" ? "" : `?${text}`}`;
}

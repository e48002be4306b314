// The cluster's own names: which records Services, endpoints and pods have.
// Pure over a view of the cluster; follows the DNS specification for Kubernetes, version 1.1.0.
import type { Answer } from "dns-packet";
import type { EndpointSlice, Service } from "../../api/types.ts";
import { formatAddress, parseAddress } from "../../lib/cidr.ts";

/** What the zone needs to see of the cluster. */
export interface ClusterView {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): readonly EndpointSlice[];
  hasNamespace(name: string): boolean;
  /** Services having this cluster IP. */
  servicesAt(ip: string): readonly Service[];
  /** Slices with this endpoint address. */
  slicesAt(ip: string): readonly EndpointSlice[];
}

export interface ZoneOptions {
  /** Without a trailing dot. */
  readonly clusterDomain: string;
  /** The address this server is reached at. */
  readonly dnsIp: string;
}

/** What the zone says: records (none: the name has no such type), absence of the name, or an alias to something outside. */
export type ZoneReply =
  | { readonly kind: "records"; readonly answers: readonly Answer[]; readonly additionals: readonly Answer[] }
  | { readonly kind: "alias"; readonly answers: readonly Answer[]; readonly target: string }
  | { readonly kind: "absent" };

/** Cluster IPs hardly move; endpoints do. Seconds. */
const SERVICE_TTL = 30;
const ENDPOINT_TTL = 5;
export const NEGATIVE_TTL = 5;
const SPEC_VERSION = "1.1.0";

const ABSENT: ZoneReply = { kind: "absent" };
const EMPTY: ZoneReply = { kind: "records", answers: [], additionals: [] };

/** The reply for a name of the cluster domain or a reverse name of the cluster; undefined for names of others. `name` is lower-case, without a trailing dot. */
export function lookup(view: ClusterView, name: string, type: string, options: ZoneOptions): ZoneReply | undefined {
  const { clusterDomain } = options;
  if (name.endsWith(".in-addr.arpa") || name.endsWith(".ip6.arpa")) return reverse(view, name, type, options);
  if (name === clusterDomain) return apex(type, options);
  if (!name.endsWith(`.${clusterDomain}`)) return undefined;
  const labels = name.slice(0, -clusterDomain.length - 1).split(".").reverse();
  const [area, namespace, ...rest] = labels as [string, string | undefined, ...string[]];
  if (area === "dns-version" && labels.length === 1) return type === "TXT" ? records([{ type: "TXT", name, ttl: SERVICE_TTL, data: SPEC_VERSION }]) : EMPTY;
  if (area === "dns" && (namespace === undefined || namespace === "ns") && rest.length === 0) return namespace === "ns" ? addresses(name, [options.dnsIp], { type, ttl: SERVICE_TTL }) : EMPTY;
  if (area !== "svc" && area !== "pod") return ABSENT;
  if (namespace === undefined) return EMPTY;
  if (!view.hasNamespace(namespace)) return ABSENT;
  if (rest.length === 0) return EMPTY;
  return area === "pod" ? podReply(name, rest, type) : serviceReply({ view, name, type, namespace, rest, options });
}

/** The start-of-authority record that goes with every negative answer; clients may keep the absence for its TTL. */
export function authority({ clusterDomain }: ZoneOptions, serial: number): Answer {
  return { type: "SOA", name: clusterDomain, ttl: NEGATIVE_TTL, data: { mname: `ns.dns.${clusterDomain}`, rname: `hostmaster.${clusterDomain}`, serial, refresh: 7200, retry: 1800, expire: 86400, minimum: NEGATIVE_TTL } };
}

function apex(type: string, { clusterDomain, dnsIp }: ZoneOptions): ZoneReply {
  if (type !== "NS") return EMPTY;
  const server = `ns.dns.${clusterDomain}`;
  return records([{ type: "NS", name: clusterDomain, ttl: SERVICE_TTL, data: server }], addressRecords(server, [dnsIp], SERVICE_TTL));
}

/** `10-244-1-2.<namespace>.pod`: the address spelled in the name, whether or not such a pod exists. */
function podReply(name: string, rest: readonly string[], type: string): ZoneReply {
  const [label = ""] = rest;
  const address = parseAddress(label.replaceAll("-", ".")) ?? parseAddress(label.replaceAll("-", ":"));
  return rest.length === 1 && address ? addresses(name, [formatAddress(address)], { type, ttl: ENDPOINT_TTL }) : ABSENT;
}

interface ServiceQuery {
  readonly view: ClusterView;
  readonly name: string;
  readonly type: string;
  readonly namespace: string;
  /** Labels below the namespace, nearest first: service, then what is asked of it. */
  readonly rest: readonly string[];
  readonly options: ZoneOptions;
}

function serviceReply(query: ServiceQuery): ZoneReply {
  const { view, name, type, namespace, rest } = query;
  const [serviceName = "", second, third] = rest;
  const service = view.service(namespace, serviceName);
  if (!service?.spec || rest.length > 3) return ABSENT;
  if (service.spec.type === "ExternalName") return rest.length === 1 ? externalName(name, service) : ABSENT;
  if (third !== undefined) return isSrvName(third, second) ? portReply(query, service, { port: third.slice(1), protocol: (second as string).slice(1) }) : ABSENT;
  if (second !== undefined) return second.startsWith("_") ? protocolReply(query, service, second.slice(1)) : endpointReply(query, second);
  if (type === "SRV") return portReply(query, service, {});
  const ips = isHeadless(service) ? [...new Set(endpointsOf(query).flatMap((endpoint) => endpoint.ips))] : (service.spec.clusterIPs ?? [service.spec.clusterIP ?? ""]);
  // A headless Service without ready endpoints does not resolve at all.
  if (ips.length === 0) return ABSENT;
  return addresses(name, ips, { type, ttl: isHeadless(service) ? ENDPOINT_TTL : SERVICE_TTL });
}

function externalName(name: string, service: Service): ZoneReply {
  const target = (service.spec?.externalName ?? "").replace(/\.$/, "").toLowerCase();
  return target === "" ? ABSENT : { kind: "alias", target, answers: [{ type: "CNAME", name, ttl: SERVICE_TTL, data: target }] };
}

/** `<hostname>.<service>`: one endpoint of a headless Service. */
function endpointReply(query: ServiceQuery, hostname: string): ZoneReply {
  const found = endpointsOf(query).filter((endpoint) => endpoint.hostname === hostname);
  return found.length === 0 ? ABSENT : addresses(query.name, found.flatMap((endpoint) => endpoint.ips), { type: query.type, ttl: ENDPOINT_TTL });
}

/** `_tcp.<service>` exists when the Service has such a port, but has no records. */
function protocolReply({ rest }: ServiceQuery, service: Service, protocol: string): ZoneReply {
  const exists = (service.spec?.ports ?? []).some((port) => (port.protocol ?? "TCP").toLowerCase() === protocol);
  return exists && rest.length === 2 ? EMPTY : ABSENT;
}

/** SRV records of the matching ports: to the Service itself, or to each endpoint of a headless one. */
function portReply(query: ServiceQuery, service: Service, wanted: { port?: string; protocol?: string }): ZoneReply {
  const matches = (port: { name?: string | undefined; protocol?: string | undefined }): boolean => (wanted.port === undefined || port.name === wanted.port) && (wanted.protocol === undefined || (port.protocol ?? "TCP").toLowerCase() === wanted.protocol);
  const base = `${query.rest[0]}.${query.namespace}.svc.${query.options.clusterDomain}`;
  const targets = isHeadless(service)
    ? endpointsOf(query).flatMap((endpoint) => endpoint.ports.filter(matches).map((port) => ({ target: `${endpoint.hostname}.${base}`, ips: endpoint.ips, port: port.port, ttl: ENDPOINT_TTL })))
    : (service.spec?.ports ?? []).filter(matches).map((port) => ({ target: base, ips: service.spec?.clusterIPs ?? [], port: port.port, ttl: SERVICE_TTL }));
  if (targets.length === 0) return ABSENT;
  if (query.type !== "SRV") return EMPTY;
  const weight = Math.max(1, Math.floor(100 / targets.length));
  return records(
    targets.map(({ target, port, ttl }) => ({ type: "SRV", name: query.name, ttl, data: { priority: 0, weight, port, target } })),
    [...new Map(targets.map((entry) => [entry.target, entry])).values()].flatMap(({ target, ips, ttl }) => addressRecords(target, ips, ttl)),
  );
}

/** The name of a cluster address; addresses of nobody here are for others to answer. */
function reverse(view: ClusterView, name: string, type: string, { clusterDomain }: ZoneOptions): ZoneReply | undefined {
  const ip = addressOf(name);
  if (ip === undefined) return undefined;
  const services = view.servicesAt(ip).map((service) => `${service.metadata.name}.${service.metadata.namespace}.svc.${clusterDomain}`);
  const endpoints = view.slicesAt(ip).flatMap((slice) => {
    const service = slice.metadata.labels?.["kubernetes.io/service-name"];
    const own = (slice.endpoints ?? []).filter((endpoint) => endpoint.addresses.includes(ip) && endpoint.conditions?.ready !== false);
    return service === undefined ? [] : own.map((endpoint) => `${hostnameOf(endpoint.hostname, ip)}.${service}.${slice.metadata.namespace}.svc.${clusterDomain}`);
  });
  const names = services.length > 0 ? services : [...new Set(endpoints)];
  if (names.length === 0) return undefined;
  return type === "PTR" ? records(names.map((data) => ({ type: "PTR", name, ttl: ENDPOINT_TTL, data }))) : EMPTY;
}

interface NamedEndpoint {
  readonly hostname: string;
  readonly ips: readonly string[];
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
}

function endpointsOf({ view, namespace, rest }: ServiceQuery): NamedEndpoint[] {
  return view.slices(namespace, rest[0] ?? "").flatMap((slice) => {
    const ports = (slice.ports ?? []).flatMap((port) => (port.port === undefined ? [] : [{ name: port.name ?? "", protocol: port.protocol ?? "TCP", port: port.port }]));
    const ready = (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready !== false && slice.addressType !== "FQDN");
    return ready.map((endpoint) => ({ hostname: hostnameOf(endpoint.hostname, endpoint.addresses[0] ?? ""), ips: endpoint.addresses, ports }));
  });
}

function hostnameOf(hostname: string | undefined, ip: string): string {
  return hostname || ip.replaceAll(/[.:]/g, "-");
}

function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === "None";
}

function isSrvName(port: string, protocol: string | undefined): boolean {
  return port.startsWith("_") && protocol !== undefined && protocol.startsWith("_");
}

function addresses(name: string, ips: readonly string[], { type, ttl }: { type: string; ttl: number }): ZoneReply {
  return records(addressRecords(name, ips, ttl).filter((record) => type === "ANY" || record.type === type));
}

function addressRecords(name: string, ips: readonly string[], ttl: number): Answer[] {
  return ips.map((ip) => ({ type: ip.includes(":") ? ("AAAA" as const) : ("A" as const), name, ttl, data: ip }));
}

function records(answers: readonly Answer[], additionals: readonly Answer[] = []): ZoneReply {
  return { kind: "records", answers, additionals };
}

/** The address a reverse name spells, or undefined. */
function addressOf(name: string): string | undefined {
  const labels = name.split(".").slice(0, -2).reverse();
  if (name.endsWith(".in-addr.arpa")) return labels.length === 4 ? labels.join(".") : undefined;
  const address = labels.length === 32 ? parseAddress((labels.join("").match(/.{4}/g) ?? []).join(":")) : undefined;
  return address && formatAddress(address);
}

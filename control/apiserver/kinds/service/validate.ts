// Rules for services, in upstream's words.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Service, ServicePort, ServiceSpec } from "../../../../api/types.ts";
import { parseCidr } from "../../../../lib/cidr.ts";
import { NOT_AN_IP } from "../validation/addresses.ts";
import { checkLabels } from "../validation/labels.ts";
import { check, dnsLabel, dnsSubdomain, forPrefix, portName, portNumber, qualifiedName } from "../validation/names.ts";
import { isExternallyAccessible, isHeadless, needsClusterIP, needsHealthCheck } from "./defaults.ts";
import { clusterIPErrors } from "./validate-ips.ts";

const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITIES = ["ClientIP", "None"];
const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const POLICIES = ["Cluster", "Local"];
const DISTRIBUTIONS = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const MAX_AFFINITY_SECONDS = 86_400;
const NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** Names of services are DNS labels. */
export const validateServiceName = forPrefix(dnsLabel);

/** Everything wrong with a service. */
export function validateService({ metadata, spec }: Service): FieldError[] {
  if (!spec) return [field.required("spec.ports")];
  const errors: FieldError[] = [];
  typeErrors(spec, errors);
  portErrors(spec, errors);
  if (spec.selector) checkLabels(errors, "spec.selector", spec.selector);
  affinityErrors(spec, errors);
  errors.push(...clusterIPErrors(spec, undefined));
  for (const [index, ip] of (spec.externalIPs ?? []).entries()) externalIPErrors(`spec.externalIPs[${index}]`, ip, errors);
  sourceRangeErrors(spec, metadata.annotations, errors);
  loadBalancerErrors(spec, errors);
  policyErrors(spec, errors);
  return errors;
}

/** Everything a new version of a service may not change. */
export function validateServiceUpdate(service: Service, { spec: old = {} }: Service): FieldError[] {
  const errors: FieldError[] = [];
  const spec = service.spec ?? {};
  if (needsClusterIP(spec) && needsClusterIP(old)) {
    clusterIPChangeErrors(spec, old, errors);
    familyChangeErrors(spec, old, errors);
  }
  if (spec.type === "LoadBalancer" && old.type === "LoadBalancer" && spec.loadBalancerClass !== old.loadBalancerClass) errors.push(field.invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set"));
  if (needsHealthCheck(old) && needsHealthCheck(spec) && old.healthCheckNodePort !== spec.healthCheckNodePort) errors.push(field.forbidden("spec.healthCheckNodePort", "field is immutable"));
  return errors;
}

/** What is wrong with a load balancer's report. */
export function validateServiceStatus({ spec, status }: Service): FieldError[] {
  const errors: FieldError[] = [];
  const ingress = status?.loadBalancer?.ingress ?? [];
  if (spec?.type !== "LoadBalancer" && ingress.length > 0) return [field.forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is 'LoadBalancer'")];
  for (const [index, { ip, hostname, ipMode }] of ingress.entries()) {
    const path = `status.loadBalancer.ingress[${index}]`;
    if (ip && isIP(ip) === 0) errors.push(field.invalid(`${path}.ip`, ip, NOT_AN_IP));
    if (ip && !ipMode) errors.push(field.required(`${path}.ipMode`, "must be specified when `ip` is set"));
    if (!ip && ipMode) errors.push(field.forbidden(`${path}.ipMode`, "may not be specified when `ip` is not set"));
    if (ipMode && !["Proxy", "VIP"].includes(ipMode)) errors.push(field.notSupported(`${path}.ipMode`, ipMode, ["Proxy", "VIP"]));
    if (!hostname) continue;
    check(errors, `${path}.hostname`, hostname, dnsSubdomain);
    if (isIP(hostname) !== 0) errors.push(field.invalid(`${path}.hostname`, hostname, "must be a DNS name, not an IP address"));
  }
  return errors;
}

function typeErrors(spec: ServiceSpec, errors: FieldError[]): void {
  const { type = "", ports = [] } = spec;
  if (ports.length === 0 && !isHeadless(spec) && type !== "ExternalName") errors.push(field.required("spec.ports"));
  if ((type === "LoadBalancer" || type === "NodePort") && isHeadless(spec)) errors.push(field.invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`));
  if (type === "ExternalName") externalNameErrors(spec, errors);
  if (type === "") errors.push(field.required("spec.type"));
  else if (!TYPES.includes(type)) errors.push(field.notSupported("spec.type", type, TYPES));
}

function externalNameErrors({ clusterIPs, ipFamilies, ipFamilyPolicy, externalName = "" }: ServiceSpec, errors: FieldError[]): void {
  const refuse = (name: string): void => void errors.push(field.forbidden(`spec.${name}`, "may not be set for ExternalName services"));
  if (clusterIPs?.length) refuse("clusterIPs");
  if (ipFamilies?.length) refuse("ipFamilies");
  if (ipFamilyPolicy !== undefined) refuse("ipFamilyPolicy");
  const name = externalName.replace(/\.$/, "");
  if (name === "") errors.push(field.required("spec.externalName"));
  else check(errors, "spec.externalName", name, dnsSubdomain);
}

function portErrors({ ports = [], type }: ServiceSpec, errors: FieldError[]): void {
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) onePortErrors(port, { path: `spec.ports[${index}]`, needsName: ports.length > 1, names, errors });
  const nodePorts = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, { nodePort, port, protocol = "TCP" }] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    if (nodePort && type === "ClusterIP") errors.push(field.forbidden(`${path}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    if (nodePort && seen(nodePorts, `${protocol}/${nodePort}`)) errors.push(field.duplicate(`${path}.nodePort`, nodePort));
    if (seen(numbers, `${protocol}/${port}`)) errors.push(field.duplicate(path, { port, protocol }));
  }
}

function seen(values: Set<string>, value: string): boolean {
  if (values.has(value)) return true;
  values.add(value);
  return false;
}

function onePortErrors(port: ServicePort, { path, needsName, names, errors }: { path: string; needsName: boolean; names: Set<string>; errors: FieldError[] }): void {
  const { name = "", protocol = "", targetPort, appProtocol } = port;
  if (name !== "") {
    check(errors, `${path}.name`, name, dnsLabel);
    if (seen(names, name)) errors.push(field.duplicate(`${path}.name`, name));
  } else if (needsName) errors.push(field.required(`${path}.name`));
  for (const sentence of portNumber(port.port)) errors.push(field.invalid(`${path}.port`, port.port, sentence));
  if (protocol === "") errors.push(field.required(`${path}.protocol`));
  else if (!PROTOCOLS.includes(protocol)) errors.push(field.notSupported(`${path}.protocol`, protocol, PROTOCOLS));
  if (typeof targetPort === "string") check(errors, `${path}.targetPort`, targetPort, portName);
  else for (const sentence of portNumber((targetPort as number | undefined) ?? 0)) errors.push(field.invalid(`${path}.targetPort`, targetPort ?? 0, sentence));
  if (appProtocol !== undefined) check(errors, `${path}.appProtocol`, appProtocol, qualifiedName);
}

function affinityErrors({ sessionAffinity = "", sessionAffinityConfig }: ServiceSpec, errors: FieldError[]): void {
  if (sessionAffinity === "") errors.push(field.required("spec.sessionAffinity"));
  else if (!AFFINITIES.includes(sessionAffinity)) errors.push(field.notSupported("spec.sessionAffinity", sessionAffinity, AFFINITIES));
  const path = "spec.sessionAffinityConfig";
  if (sessionAffinity === "None" && sessionAffinityConfig) errors.push(field.forbidden(path, "must not be set when session affinity is None"));
  if (sessionAffinity !== "ClientIP") return;
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (!sessionAffinityConfig) errors.push(field.required(path, "when session affinity type is ClientIP"));
  else if (!sessionAffinityConfig.clientIP) errors.push(field.required(`${path}.clientIP`, "when session affinity type is ClientIP"));
  else if (seconds === undefined) errors.push(field.required(`${path}.clientIP.timeoutSeconds`, "when session affinity type is ClientIP"));
  else if (seconds <= 0 || seconds > MAX_AFFINITY_SECONDS) errors.push(field.invalid(`${path}.clientIP.timeoutSeconds`, seconds, `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`));
}

/** Addresses traffic can really be sent to. */
export function externalIPErrors(path: string, ip: string, errors: FieldError[]): void {
  const refuse = (why: string): void => void errors.push(field.invalid(path, ip, why));
  if (isIP(ip) === 0) return refuse(NOT_AN_IP);
  const lower = ip.toLowerCase();
  if (ip === "0.0.0.0" || lower === "::") refuse("may not be unspecified (0.0.0.0 or ::)");
  if (ip.startsWith("127.") || lower === "::1") refuse("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (ip.startsWith("169.254.") || /^fe[89ab]/.test(lower)) refuse("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (ip.startsWith("224.0.0.") || lower.startsWith("ff02:")) refuse("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

function sourceRangeErrors({ type, loadBalancerSourceRanges = [] }: ServiceSpec, annotations: Record<string, string> | undefined, errors: FieldError[]): void {
  const key = "service.beta.kubernetes.io/load-balancer-source-ranges";
  const annotated = annotations?.[key];
  const fromSpec = loadBalancerSourceRanges.length > 0;
  if (!fromSpec && annotated === undefined) return;
  const path = fromSpec ? "spec.LoadBalancerSourceRanges" : `metadata.annotations[${key}]`;
  if (type !== "LoadBalancer") errors.push(field.forbidden(path, "may only be used when `type` is 'LoadBalancer'"));
  const ranges = fromSpec ? loadBalancerSourceRanges : (annotated ?? "").trim().split(",").filter(Boolean);
  for (const [index, range] of ranges.entries()) if (!parseCidr(range.trim())) errors.push(field.invalid(fromSpec ? `${path}[${index}]` : path, range.trim(), NOT_A_CIDR));
}

function loadBalancerErrors({ type, allocateLoadBalancerNodePorts, loadBalancerClass }: ServiceSpec, errors: FieldError[]): void {
  const only = "may only be used when `type` is 'LoadBalancer'";
  if (type === "LoadBalancer") {
    if (loadBalancerClass !== undefined) check(errors, "spec.loadBalancerClass", loadBalancerClass, qualifiedName);
    return;
  }
  if (allocateLoadBalancerNodePorts !== undefined) errors.push(field.forbidden("spec.allocateLoadBalancerNodePorts", only));
  if (loadBalancerClass !== undefined) errors.push(field.forbidden("spec.loadBalancerClass", only));
}

function policyErrors(spec: ServiceSpec, errors: FieldError[]): void {
  const { externalTrafficPolicy = "", internalTrafficPolicy, trafficDistribution, healthCheckNodePort } = spec;
  if (!isExternallyAccessible(spec)) {
    if (externalTrafficPolicy !== "") errors.push(field.invalid("spec.externalTrafficPolicy", externalTrafficPolicy, "may only be set for externally-accessible services"));
  } else if (externalTrafficPolicy === "") errors.push(field.required("spec.externalTrafficPolicy"));
  else if (!POLICIES.includes(externalTrafficPolicy)) errors.push(field.notSupported("spec.externalTrafficPolicy", externalTrafficPolicy, POLICIES));
  if (healthCheckNodePort) {
    if (!needsHealthCheck(spec)) errors.push(field.invalid("spec.healthCheckNodePort", healthCheckNodePort, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"));
    else for (const sentence of portNumber(healthCheckNodePort)) errors.push(field.invalid("spec.healthCheckNodePort", healthCheckNodePort, sentence));
  }
  if (internalTrafficPolicy !== undefined && !POLICIES.includes(internalTrafficPolicy)) errors.push(field.notSupported("spec.internalTrafficPolicy", internalTrafficPolicy, POLICIES));
  if (trafficDistribution !== undefined && !DISTRIBUTIONS.includes(trafficDistribution)) errors.push(field.notSupported("spec.trafficDistribution", trafficDistribution, DISTRIBUTIONS));
}

function clusterIPChangeErrors(spec: ServiceSpec, old: ServiceSpec, errors: FieldError[]): void {
  if (isHeadless(spec) && isHeadless(old)) return;
  const { clusterIPs = [], ipFamilyPolicy } = spec;
  const before = old.clusterIPs ?? [];
  const changed = (index: number): void => void errors.push(field.invalid(`spec.clusterIPs[${index}]`, clusterIPs, "may not change once set"));
  if (clusterIPs.length === before.length) {
    for (const [index, ip] of before.entries()) if (ip !== clusterIPs[index]) changed(index);
    return;
  }
  if (clusterIPs.length === 0) errors.push(field.invalid("spec.clusterIPs[0]", clusterIPs, "primary clusterIP can not be unset"));
  else if (before.length > 0 && clusterIPs[0] !== before[0]) changed(0);
  if (clusterIPs.length === 1 && before.length > 1 && ipFamilyPolicy !== "SingleStack") errors.push(field.invalid("spec.ipFamilyPolicy", ipFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary clusterIP"));
}

function familyChangeErrors(spec: ServiceSpec, old: ServiceSpec, errors: FieldError[]): void {
  if (isHeadless(spec) || isHeadless(old)) return;
  const { ipFamilies = [], ipFamilyPolicy } = spec;
  const before = old.ipFamilies ?? [];
  const refuse = (why: string): void => void errors.push(field.invalid("spec.ipFamilies[0]", ipFamilies, why));
  if (ipFamilies.length === before.length) {
    for (const [index, family] of before.entries()) if (family !== ipFamilies[index]) refuse("may not change once set");
    return;
  }
  if (ipFamilies.length === 0) refuse("primary ipFamily can not be unset");
  else if (before.length > 0 && ipFamilies[0] !== before[0]) refuse("may not change once set");
  if (ipFamilies.length === 1 && before.length > 1 && ipFamilyPolicy !== "SingleStack") errors.push(field.invalid("spec.ipFamilyPolicy", ipFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary ipFamily"));
}

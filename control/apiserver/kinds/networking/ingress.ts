// Ingresses and the classes that say who serves them.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Ingress, IngressClass } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { checkAddress } from "../validation/addresses.ts";
import { check, checkDomainPath, dnsLabel, dnsSubdomain, pathSegment, portName, portNumber, wildcardSubdomain } from "../validation/names.ts";
import { checkImmutable, isEqual } from "../validation/values.ts";

const CLASS_ANNOTATION = "kubernetes.io/ingress.class";
const DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class";
const MAX_CONTROLLER = 250;
const MAX_HOSTS = 3;
const BAD_SEQUENCES = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDINGS = ["/..", "/."];
const PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"];

type Spec = NonNullable<Ingress["spec"]>;
type Rule = NonNullable<Spec["rules"]>[number];
type Path = NonNullable<Rule["http"]>["paths"][number];
type Backend = NonNullable<Spec["defaultBackend"]>;
type Reference = NonNullable<Backend["resource"]>;
type Parameters = NonNullable<NonNullable<IngressClass["spec"]>["parameters"]>;

export const ingressStrategy = define<Ingress>({
  group: "networking.k8s.io", kind: "Ingress",
  prepareForCreate({ metadata, spec }, context) {
    if (metadata.annotations?.[CLASS_ANNOTATION] !== undefined && spec?.ingressClassName === undefined) context.warn(`annotation "${CLASS_ANNOTATION}" is deprecated, please use 'spec.ingressClassName' instead`);
  },
  validate: ({ spec }) => specErrors(spec ?? {}),
  validateCreate({ metadata, spec }) {
    const annotated = metadata.annotations?.[CLASS_ANNOTATION];
    if (annotated === undefined || spec?.ingressClassName === undefined || annotated === spec.ingressClassName) return [];
    return [field.invalid(`annotations.${CLASS_ANNOTATION}`, annotated, "must match `ingressClassName` when both are specified")];
  },
  subresources: { status: { validateUpdate: ({ status }, { status: old }) => (isEqual(status, old) ? [] : statusErrors(status)) } },
  printer: printer(
    nameColumn(),
    text("Class", ({ spec }) => spec?.ingressClassName ?? "<none>", "The name of the IngressClass resource that should be used for additional configuration"),
    text("Hosts", hostsText, "Hosts that incoming requests are matched against before the ingress rule"),
    text("Address", addressText, "Address is a list containing ingress points for the load-balancer"),
    text("Ports", ({ spec }) => (spec?.tls?.length ? "80, 443" : "80"), "Ports of TLS configurations that open"),
    ageColumn(),
  ),
});

function hostsText({ spec }: Ingress): string {
  const rules = spec?.rules ?? [];
  const hosts = rules.map(({ host }) => host).filter((host) => host);
  if (hosts.length === 0) return "*";
  // Rules without a host count among those left out, as upstream counts them.
  const isCut = hosts.length > MAX_HOSTS || (hosts.length === MAX_HOSTS && rules.at(-1)?.host !== hosts.at(-1));
  return `${hosts.slice(0, MAX_HOSTS).join(",")}${isCut ? ` + ${rules.length - MAX_HOSTS} more...` : ""}`;
}

function addressText({ status }: Ingress): string {
  const points = status?.loadBalancer?.ingress ?? [];
  return [...new Set(points.map(({ ip, hostname }) => ip || hostname || "").filter((point) => point !== ""))].sort().join(",");
}

function specErrors(spec: Spec): FieldError[] {
  const errors: FieldError[] = [];
  const { rules = [], defaultBackend, tls = [], ingressClassName } = spec;
  if (rules.length === 0 && !defaultBackend) errors.push(field.invalid("spec", rules, "either `defaultBackend` or `rules` must be specified"));
  if (defaultBackend) checkBackend(errors, "spec.defaultBackend", defaultBackend);
  for (const [index, rule] of rules.entries()) checkRule(errors, `spec.rules[${index}]`, rule);
  for (const [index, { hosts = [], secretName }] of tls.entries()) {
    for (const [hostIndex, host] of hosts.entries()) check(errors, `spec.tls[${index}].hosts[${hostIndex}]`, host, host.includes("*") ? wildcardSubdomain : dnsSubdomain);
    if (secretName) check(errors, `spec.tls[${index}].secretName`, secretName, dnsSubdomain);
  }
  if (ingressClassName !== undefined) check(errors, "spec.ingressClassName", ingressClassName, dnsSubdomain);
  return errors;
}

function checkRule(errors: FieldError[], path: string, { host, http }: Rule): void {
  if (host) {
    if (isIP(host) !== 0) errors.push(field.invalid(`${path}.host`, host, "must be a DNS name, not an IP address"));
    check(errors, `${path}.host`, host, host.includes("*") ? wildcardSubdomain : dnsSubdomain);
  }
  if (!http) return;
  const paths = http.paths ?? [];
  if (paths.length === 0) errors.push(field.required(`${path}.http.paths`));
  for (const [index, entry] of paths.entries()) checkPath(errors, `${path}.http.paths[${index}]`, entry);
}

function checkPath(errors: FieldError[], at: string, { path = "", pathType, backend }: Path): void {
  if (!pathType) return void errors.push(field.required(`${at}.pathType`, "pathType must be specified"));
  const refuse = (sentence: string): void => void errors.push(field.invalid(`${at}.path`, path, sentence));
  if (!PATH_TYPES.includes(pathType)) errors.push(field.notSupported(`${at}.pathType`, pathType, PATH_TYPES));
  else if (!path.startsWith("/") && (path !== "" || pathType !== "ImplementationSpecific")) refuse("must be an absolute path");
  if (pathType === "Exact" || pathType === "Prefix") {
    for (const part of BAD_SEQUENCES) if (path.includes(part)) refuse(`must not contain '${part}'`);
    for (const part of BAD_ENDINGS) if (path.endsWith(part)) refuse(`cannot end with '${part}'`);
  }
  checkBackend(errors, `${at}.backend`, backend ?? {});
}

function checkBackend(errors: FieldError[], path: string, { resource, service }: Backend): void {
  if (resource && service) errors.push(field.invalid(path, "", "cannot set both resource and service backends"));
  else if (resource) checkReference(errors, `${path}.resource`, resource);
  else if (service) {
    if (service.name) check(errors, `${path}.service.name`, service.name, dnsLabel);
    else errors.push(field.required(`${path}.service.name`));
    const { name, number } = service.port ?? {};
    if (name && number) errors.push(field.invalid(path, "", "cannot set both port name & port number"));
    else if (name) check(errors, `${path}.service.port.name`, name, portName);
    else if (number) for (const sentence of portNumber(number)) errors.push(field.invalid(`${path}.service.port.number`, number, sentence));
    else errors.push(field.required(path, "port name or number is required"));
  } else errors.push(field.invalid(path, "", "resource or service backend is required"));
}

/** A kind and a name, of a group or none. */
function checkReference(errors: FieldError[], path: string, { apiGroup, kind, name }: Pick<Reference, "apiGroup" | "kind" | "name">): void {
  if (apiGroup !== undefined) check(errors, `${path}.apiGroup`, apiGroup, dnsSubdomain);
  for (const [key, value] of Object.entries({ kind, name })) {
    if (value) check(errors, `${path}.${key}`, value, pathSegment);
    else errors.push(field.required(`${path}.${key}`));
  }
}

function statusErrors(status: Ingress["status"]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { ip, hostname }] of (status?.loadBalancer?.ingress ?? []).entries()) {
    const path = `status.loadBalancer.ingress[${index}]`;
    if (ip) checkAddress(errors, `${path}.ip`, ip);
    if (!hostname) continue;
    check(errors, `${path}.hostname`, hostname, dnsSubdomain);
    if (isIP(hostname) !== 0) errors.push(field.invalid(`${path}.hostname`, hostname, "must be a DNS name, not an IP address"));
  }
  return errors;
}

export const ingressClassStrategy = define<IngressClass>({
  group: "networking.k8s.io", kind: "IngressClass",
  hasGeneration: true,
  validate({ spec = {} }) {
    const errors: FieldError[] = [];
    const { controller = "", parameters } = spec;
    if (controller.length > MAX_CONTROLLER) errors.push(field.tooLong("spec.controller", MAX_CONTROLLER));
    checkDomainPath(errors, "spec.controller", controller);
    if (parameters) checkParameters(errors, "spec.parameters", parameters);
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.controller", spec?.controller, old?.controller);
    return errors;
  },
  printer: printer(
    nameColumn(({ metadata }) => `${metadata.name}${metadata.annotations?.[DEFAULT_ANNOTATION] === "true" ? " (default)" : ""}`),
    text("Controller", ({ spec }) => spec?.controller ?? "", "Controller that is responsible for handling this class"),
    text("Parameters", ({ spec }) => (spec?.parameters ? `${spec.parameters.kind}${spec.parameters.apiGroup === undefined ? "" : `.${spec.parameters.apiGroup}`}/${spec.parameters.name}` : "<none>"), "A reference to a resource with additional parameters"),
    ageColumn(),
  ),
});

function checkParameters(errors: FieldError[], path: string, parameters: Parameters): void {
  checkReference(errors, path, parameters);
  const { scope, namespace } = parameters;
  if (scope === undefined) errors.push(field.required(`${path}.scope`));
  else if (scope !== "Cluster" && scope !== "Namespace") errors.push(field.notSupported(`${path}.scope`, scope, ["Cluster", "Namespace"]));
  else if (scope === "Cluster" && namespace !== undefined) errors.push(field.forbidden(`${path}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  else if (scope === "Namespace" && namespace === undefined) errors.push(field.required(`${path}.namespace`, "`parameters.scope` is set to 'Namespace'"));
  else if (namespace !== undefined) check(errors, `${path}.namespace`, namespace, dnsLabel);
}

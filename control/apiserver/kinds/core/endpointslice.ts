// EndpointSlices: where a service's traffic goes, a hundred endpoints at a time.
import { isIPv4, isIPv6 } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Endpoint, EndpointSlice } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { firstOf } from "../print/format.ts";
import { externalIPErrors } from "../service/validate.ts";
import { checkLabels } from "../validation/labels.ts";
import { check, dnsLabel, dnsSubdomain, portNumber, qualifiedName } from "../validation/names.ts";
import { checkImmutable, checkOneOf, isEqual } from "../validation/values.ts";

const TYPES = ["FQDN", "IPv4", "IPv6"];
const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const MAX_SHOWN = 3;
const MAX = { endpoints: 1_000, ports: 20_000, addresses: 100, hints: 8, topology: 16 };

export const endpointSliceStrategy = define<EndpointSlice>({
  group: "discovery.k8s.io", kind: "EndpointSlice",
  applyDefaults({ ports }) {
    for (const port of ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  hasGeneration: true,
  validate,
  validateUpdate(next, old) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "addressType", next.addressType, old.addressType);
    // Labels say whose slice it is, so a change of labels is a change of the slice.
    if (!isEqual(next.metadata.labels ?? {}, old.metadata.labels ?? {})) next.metadata.generation = (old.metadata.generation ?? 0) + 1;
    return errors;
  },
  printer: printer(
    nameColumn(),
    text("AddressType", ({ addressType }) => addressType, "What the addresses are."),
    text("Ports", ({ ports }) => firstOf((ports ?? []).map(({ port, name }) => String(port ?? name ?? "*")), MAX_SHOWN) || "<unset>", "The ports of every endpoint."),
    text("Endpoints", ({ endpoints }) => firstOf((endpoints ?? []).flatMap(({ addresses }) => addresses ?? []), MAX_SHOWN) || "<unset>", "The addresses."),
    ageColumn(),
  ),
});

function validate({ addressType, endpoints, ports }: EndpointSlice): FieldError[] {
  const errors: FieldError[] = [];
  checkOneOf(errors, "addressType", addressType, TYPES);
  const list = endpoints ?? [];
  if (list.length > MAX.endpoints) return [...errors, field.tooMany("endpoints", list.length, MAX.endpoints)];
  for (const [index, endpoint] of list.entries()) endpointErrors(`endpoints[${index}]`, endpoint, addressType, errors);
  portErrors(ports, errors);
  return errors;
}

// Path, value, type and sink of one endpoint.
function endpointErrors(path: string, endpoint: Endpoint, addressType: string, errors: FieldError[]): void {
  const { addresses = [], hostname, nodeName, deprecatedTopology, hints } = endpoint;
  if (addresses.length === 0) errors.push(field.required(`${path}.addresses`, "must contain at least 1 address"));
  else if (addresses.length > MAX.addresses) errors.push(field.tooMany(`${path}.addresses`, addresses.length, MAX.addresses));
  for (const [index, address] of addresses.entries()) addressErrors(`${path}.addresses[${index}]`, address, addressType, errors);
  if (nodeName !== undefined) check(errors, `${path}.nodeName`, nodeName, dnsSubdomain);
  if (deprecatedTopology) checkLabels(errors, `${path}.deprecatedTopology`, deprecatedTopology);
  if (hostname !== undefined) check(errors, `${path}.hostname`, hostname, dnsLabel);
  const zones = hints?.forZones ?? [];
  if (zones.length > MAX.hints) errors.push(field.tooMany(`${path}.hints.forZones`, zones.length, MAX.hints));
}

// Path, value, type and sink of one address.
function addressErrors(path: string, address: string, addressType: string, errors: FieldError[]): void {
  if (addressType === "FQDN") return check(errors, path, address, dnsSubdomain);
  if (addressType === "IPv4" && !isIPv4(address)) errors.push(field.invalid(path, address, "must be an IPv4 address"));
  else if (addressType === "IPv6" && !isIPv6(address)) errors.push(field.invalid(path, address, "must be an IPv6 address"));
  else if (addressType === "IPv4" || addressType === "IPv6") externalIPErrors(path, address, errors);
}

function portErrors(ports: EndpointSlice["ports"], errors: FieldError[]): void {
  const names = new Set<string>();
  for (const [index, { name = "", protocol, port, appProtocol }] of (ports ?? []).entries()) {
    const path = `ports[${index}]`;
    if (name !== "") check(errors, `${path}.name`, name, dnsLabel);
    if (names.has(name)) errors.push(field.duplicate(`${path}.name`, name));
    names.add(name);
    checkOneOf(errors, `${path}.protocol`, protocol, PROTOCOLS);
    if (port !== undefined) for (const sentence of portNumber(port)) errors.push(field.invalid(`${path}.port`, port, sentence));
    if (appProtocol !== undefined) check(errors, `${path}.appProtocol`, appProtocol, qualifiedName);
  }
}

// Endpoints: the old, one-object form of where a service's traffic goes.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { EndpointAddress, Endpoints } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { externalIPErrors } from "../service/validate.ts";
import { check, dnsLabel, dnsSubdomain, portNumber, qualifiedName } from "../validation/names.ts";
import { checkOneOf } from "../validation/values.ts";

const MAX_SHOWN = 3;
const PROTOCOLS = ["SCTP", "TCP", "UDP"];

export const endpointsStrategy = define<Endpoints>({
  group: "", kind: "Endpoints", deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  applyDefaults({ subsets }) {
    for (const { ports } of subsets ?? []) for (const port of ports ?? []) port.protocol ||= "TCP";
  },
  validate,
  allowCreateOnUpdate: true,
  hasGeneration: false,
  printer: printer(nameColumn(), text("Endpoints", shown, "Where traffic goes."), ageColumn()),
});

function shown({ subsets }: Endpoints): string {
  const all = (subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0 ? addresses.map(({ ip }) => ip) : ports.flatMap(({ port }) => addresses.map(({ ip }) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`))));
  if (!subsets?.length) return "<none>";
  const first = all.slice(0, MAX_SHOWN).join(",");
  return all.length > MAX_SHOWN ? `${first} + ${all.length - MAX_SHOWN} more...` : first;
}

function validate({ subsets }: Endpoints): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { addresses = [], notReadyAddresses = [], ports = [] }] of (subsets ?? []).entries()) {
    const path = `subsets[${index}]`;
    if (addresses.length + notReadyAddresses.length === 0) errors.push(field.required(path, "must specify `addresses` or `notReadyAddresses`"));
    for (const [at, address] of addresses.entries()) addressErrors(`${path}.addresses[${at}]`, address, errors);
    for (const [at, address] of notReadyAddresses.entries()) addressErrors(`${path}.notReadyAddresses[${at}]`, address, errors);
    for (const [at, { name = "", port, protocol, appProtocol }] of ports.entries()) {
      const portPath = `${path}.ports[${at}]`;
      if (name !== "") check(errors, `${portPath}.name`, name, dnsLabel);
      else if (ports.length > 1) errors.push(field.required(`${portPath}.name`));
      for (const sentence of portNumber(port)) errors.push(field.invalid(`${portPath}.port`, port, sentence));
      checkOneOf(errors, `${portPath}.protocol`, protocol, PROTOCOLS);
      if (appProtocol !== undefined) check(errors, `${portPath}.appProtocol`, appProtocol, qualifiedName);
    }
  }
  return errors;
}

function addressErrors(path: string, { ip, hostname, nodeName }: EndpointAddress, errors: FieldError[]): void {
  if (hostname) check(errors, `${path}.hostname`, hostname, dnsLabel);
  if (nodeName !== undefined) check(errors, `${path}.nodeName`, nodeName, dnsSubdomain);
  if (isIP(ip) === 0) errors.push(field.invalid(`${path}.ip`, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
  else externalIPErrors(`${path}.ip`, ip, errors);
}

// NetworkPolicies: who may talk to the pods they select.
import { field, type FieldError } from "../../../../api/errors.ts";
import { formatLabelSelector } from "../../../../api/selectors.ts";
import type { NetworkPolicy } from "../../../../api/types.ts";
import { cidrContains, parseCidr } from "../../../../lib/cidr.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { checkCidr } from "../validation/addresses.ts";
import { checkSelector } from "../validation/labels.ts";
import { check, portName, portNumber } from "../validation/names.ts";
import { checkOptionalOneOf } from "../validation/values.ts";

type Spec = NonNullable<NetworkPolicy["spec"]>;
type Rule = NonNullable<Spec["ingress"]>[number];
type Port = NonNullable<Rule["ports"]>[number];
type Peer = NonNullable<Rule["from"]>[number];
const TYPES = ["Ingress", "Egress"];

export const networkPolicyStrategy = define<NetworkPolicy>({
  group: "networking.k8s.io", kind: "NetworkPolicy",
  hasGeneration: true,
  applyDefaults({ spec }) {
    if (spec && !spec.policyTypes?.length) spec.policyTypes = spec.egress?.length ? ["Ingress", "Egress"] : ["Ingress"];
  },
  validate: ({ spec }) => specErrors(spec),
  printer: printer(nameColumn(), text("Pod-Selector", ({ spec }) => formatLabelSelector(spec?.podSelector ?? {}), "Which pods it protects."), ageColumn()),
});

function specErrors(spec: Spec | undefined): FieldError[] {
  const errors: FieldError[] = [];
  checkSelector(errors, "spec.podSelector", spec?.podSelector);
  for (const [index, { ports = [], from = [] }] of (spec?.ingress ?? []).entries()) checkRule(errors, `spec.ingress[${index}]`, ports, { name: "from", list: from });
  for (const [index, { ports = [], to = [] }] of (spec?.egress ?? []).entries()) checkRule(errors, `spec.egress[${index}]`, ports, { name: "to", list: to });
  const types = spec?.policyTypes ?? [];
  if (types.length > TYPES.length) errors.push(field.invalid("spec.policyTypes", types, "may not specify more than two policyTypes"));
  else for (const [index, type] of types.entries()) checkOptionalOneOf(errors, `spec.policyTypes[${index}]`, type, TYPES);
  return errors;
}

function checkRule(errors: FieldError[], path: string, ports: readonly Port[], peers: { readonly name: string; readonly list: readonly Peer[] }): void {
  for (const [index, port] of ports.entries()) checkPort(errors, `${path}.ports[${index}]`, port);
  for (const [index, peer] of peers.list.entries()) checkPeer(errors, `${path}.${peers.name}[${index}]`, peer);
}

function checkPort(errors: FieldError[], path: string, { protocol, port, endPort }: Port): void {
  checkOptionalOneOf(errors, `${path}.protocol`, protocol, ["TCP", "UDP", "SCTP"]);
  if (port === undefined || typeof port === "string") {
    if (endPort !== undefined) errors.push(field.invalid(`${path}.endPort`, endPort, `may not be specified when \`port\` is ${port === undefined ? "not specified" : "non-numeric"}`));
    if (port !== undefined) check(errors, `${path}.port`, port, portName);
    return;
  }
  for (const sentence of portNumber(port)) errors.push(field.invalid(`${path}.port`, port, sentence));
  if (endPort === undefined) return;
  if (endPort < port) errors.push(field.invalid(`${path}.endPort`, port, "must be greater than or equal to `port`"));
  for (const sentence of portNumber(endPort)) errors.push(field.invalid(`${path}.endPort`, endPort, sentence));
}

function checkPeer(errors: FieldError[], path: string, { podSelector, namespaceSelector, ipBlock }: Peer): void {
  checkSelector(errors, `${path}.podSelector`, podSelector);
  checkSelector(errors, `${path}.namespaceSelector`, namespaceSelector);
  if (ipBlock) checkBlock(errors, `${path}.ipBlock`, ipBlock);
  if (!podSelector && !namespaceSelector && !ipBlock) errors.push(field.required(path, "must specify a peer"));
  else if (ipBlock && (podSelector || namespaceSelector)) errors.push(field.forbidden(path, "may not specify both ipBlock and another peer"));
}

function checkBlock(errors: FieldError[], path: string, { cidr, except = [] }: NonNullable<Peer["ipBlock"]>): void {
  if (!cidr) return void errors.push(field.required(`${path}.cidr`));
  checkCidr(errors, `${path}.cidr`, cidr);
  const outer = parseCidr(cidr);
  if (!outer) return;
  for (const [index, text] of except.entries()) {
    checkCidr(errors, `${path}.except[${index}]`, text);
    const inner = parseCidr(text);
    if (inner && (!cidrContains(outer, inner.address) || outer.prefix >= inner.prefix)) errors.push(field.invalid(`${path}.except[${index}]`, text, "must be a strict subset of `cidr`"));
  }
}

// Nodes: they register with their status, and keep their pod ranges and provider for life.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Node } from "../../../../api/types.ts";
import { parseCidr } from "../../../../lib/cidr.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text, wide } from "../print/columns.ts";
import { isEqual } from "../validation/values.ts";
import { checkAmount } from "./resources.ts";
import { checkTaints } from "./taints.ts";

const ROLE_PREFIX = "node-role.kubernetes.io/";
const NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

export const nodeStrategy = define<Node>({
  group: "", kind: "Node",
  applyDefaults({ spec, status }) {
    if (status?.capacity) status.allocatable ??= { ...status.capacity };
    if (spec?.podCIDR && spec.podCIDR !== spec.podCIDRs?.[0]) spec.podCIDRs = [spec.podCIDR];
    else if (spec?.podCIDRs?.length) spec.podCIDR = spec.podCIDRs[0] as string;
  },
  keepsStatusOnCreate: true,
  validate,
  validateUpdate,
  subresources: { status: { validateUpdate: (node, old) => [...amountErrors(node), ...validateUpdate(node, old)] } },
  hasGeneration: false,
  selectableFields: ({ spec }) => ({ "spec.unschedulable": String(spec?.unschedulable ?? false) }),
  printer: printer(
    nameColumn(),
    text("Status", statusText, "The status of the node"),
    text("Roles", ({ metadata }) => roles(metadata.labels), "The roles of the node"),
    ageColumn(),
    text("Version", ({ status }) => status?.nodeInfo?.kubeletVersion ?? "", "The version of the node's agent."),
    wide(text("Internal-IP", (node) => address(node, "InternalIP"), "The node's address in the cluster.")),
    wide(text("External-IP", (node) => address(node, "ExternalIP"), "The node's address outside the cluster.")),
    wide(text("OS-Image", ({ status }) => status?.nodeInfo?.osImage || "<unknown>", "The node's operating system.")),
    wide(text("Kernel-Version", kernel, "The node's kernel.")),
    wide(text("Container-Runtime", ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>", "The node's container runtime.")),
  ),
});

function statusText({ spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  const word = ready === undefined ? "Unknown" : ready === "True" ? "Ready" : "NotReady";
  return spec?.unschedulable ? `${word},SchedulingDisabled` : word;
}

function roles(labels: Record<string, string> | undefined): string {
  const found = new Set<string>();
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (key.startsWith(ROLE_PREFIX) && key.length > ROLE_PREFIX.length) found.add(key.slice(ROLE_PREFIX.length));
    else if (key === "kubernetes.io/role" && value !== "") found.add(value);
  }
  return [...found].sort().join(",") || "<none>";
}

function address({ status }: Node, type: string): string {
  return status?.addresses?.find((candidate) => candidate.type === type)?.address ?? "<none>";
}

function kernel({ status }: Node): string {
  const { kernelVersion, architecture } = status?.nodeInfo ?? {};
  return `${kernelVersion || "<unknown>"}${architecture ? ` (${architecture})` : ""}`;
}

function amountErrors({ status }: Node): FieldError[] {
  const errors: FieldError[] = [];
  for (const side of ["capacity", "allocatable"] as const) {
    const list = status?.[side];
    for (const name in list) checkAmount(errors, `status.${side}.${name}`, name, list[name] as string);
  }
  return errors;
}

function validate(node: Node): FieldError[] {
  const errors = amountErrors(node);
  checkTaints(errors, "metadata.taints", node.spec?.taints);
  const cidrs = node.spec?.podCIDRs ?? [];
  for (const [index, cidr] of cidrs.entries()) if (!parseCidr(cidr)) errors.push(field.invalid(`spec.podCIDRs[${index}]`, cidr, NOT_A_CIDR));
  const families = new Set(cidrs.map((cidr) => isIP(cidr.split("/")[0] ?? "")));
  if (cidrs.length > 1 && (cidrs.length > 2 || families.size !== 2)) errors.push(field.invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family"));
  return errors;
}

function validateUpdate({ spec, status }: Node, { spec: old }: Node): FieldError[] {
  const errors: FieldError[] = [];
  if (old?.podCIDRs?.length && !isEqual(old.podCIDRs, spec?.podCIDRs)) errors.push(field.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  if (old?.providerID && old.providerID !== spec?.providerID) errors.push(field.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'));
  const seen = new Set<string>();
  for (const [index, { type, address: text }] of (status?.addresses ?? []).entries()) {
    if (seen.has(`${type}/${text}`)) errors.push(field.duplicate(`status.addresses[${index}]`, { Type: type, Address: text }));
    seen.add(`${type}/${text}`);
  }
  return errors;
}

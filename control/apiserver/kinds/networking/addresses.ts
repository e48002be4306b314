// ServiceCIDRs, the ranges services get addresses from, and IPAddresses, each of which one service has.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { IPAddress, ServiceCIDR } from "../../../../api/types.ts";
import { parseCidr } from "../../../../lib/cidr.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { canonicalAddressErrors, checkCanonicalCidr } from "../validation/addresses.ts";
import { check, dnsSubdomain, pathSegment } from "../validation/names.ts";
import { checkImmutable, IMMUTABLE } from "../validation/values.ts";

const PATH = "spec.cidrs";

export const serviceCIDRStrategy = define<ServiceCIDR>({
  group: "networking.k8s.io", kind: "ServiceCIDR",
  hasGeneration: false,
  validate: ({ spec }) => rangeErrors(spec?.cidrs ?? []),
  validateUpdate({ spec }, { spec: old }) {
    const now = spec?.cidrs ?? [];
    const was = old?.cidrs ?? [];
    const isSecondFamily = was.length === 1 && now.length === 2;
    if (now.length !== was.length && !isSecondFamily) return [field.invalid(PATH, now, IMMUTABLE)];
    return was.flatMap((range, index) => (now[index] === range ? [] : [field.invalid(`${PATH}[${index}]`, now[index], IMMUTABLE)]));
  },
  printer: printer(nameColumn(), text("CIDRs", ({ spec }) => (spec?.cidrs ?? []).join(","), "The ranges, at most one of each family."), ageColumn()),
});

function rangeErrors(ranges: readonly string[]): FieldError[] {
  if (ranges.length === 0) return [field.required(PATH, "at least one CIDR required")];
  if (ranges.length > 2) return [field.invalid(PATH, { cidrs: ranges }, "may only hold up to 2 values")];
  const errors: FieldError[] = [];
  for (const [index, range] of ranges.entries()) checkCanonicalCidr(errors, `${PATH}[${index}]`, range);
  const [first, second] = ranges.map((range) => parseCidr(range)?.address.family);
  if (ranges.length === 2 && first !== undefined && first === second) errors.push(field.invalid(PATH, ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"));
  return errors;
}

export const ipAddressStrategy = define<IPAddress>({
  group: "networking.k8s.io", kind: "IPAddress",
  validateName: canonicalAddressErrors,
  validate({ spec }) {
    const parent = spec?.parentRef;
    if (!parent) return [field.required("spec.parentRef")];
    const errors: FieldError[] = [];
    const path = "spec.parentRef";
    if (parent.group) check(errors, `${path}.group`, parent.group, dnsSubdomain);
    for (const name of ["resource", "name"] as const) {
      if (parent[name]) check(errors, `${path}.${name}`, parent[name], pathSegment);
      else errors.push(field.required(`${path}.${name}`));
    }
    if (parent.namespace) check(errors, `${path}.namespace`, parent.namespace, pathSegment);
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.parentRef", spec?.parentRef, old?.parentRef);
    return errors;
  },
  printer: printer(nameColumn(), text("ParentRef", ({ spec }) => parentText(spec?.parentRef), "Who has the address.")),
});

function parentText(parent: NonNullable<IPAddress["spec"]>["parentRef"] | undefined): string {
  if (!parent) return "<none>";
  const resource = `${parent.resource}${parent.group ? `.${parent.group}` : ""}`.toLowerCase();
  return [resource, ...(parent.namespace ? [parent.namespace] : []), parent.name].join("/");
}

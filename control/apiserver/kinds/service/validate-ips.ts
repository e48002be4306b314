// Rules for a service's cluster IPs and families, checked both before families are chosen and with the rest.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { ServiceSpec } from "../../../../api/types.ts";
import { NOT_AN_IP } from "../validation/addresses.ts";
import { familyOf } from "./ip-range.ts";
import { isHeadless } from "./defaults.ts";

const FAMILIES = ["IPv4", "IPv6"];
const POLICIES = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const IPS = "spec.clusterIPs";

/** Whether the addresses, families and policy of a service agree with each other. */
export function clusterIPErrors(spec: ServiceSpec, old: ServiceSpec | undefined): FieldError[] {
  if (spec.type === "ExternalName") return [];
  const errors = [...singularErrors(spec), ...familyErrors(spec)];
  const addressErrors = listErrors(spec, old?.clusterIPs ?? []);
  if (addressErrors.length > 0) return [...errors, ...addressErrors];
  const { clusterIPs = [], ipFamilies = [] } = spec;
  if (clusterIPs.length > 2) errors.push(field.invalid(IPS, clusterIPs, "may only hold up to 2 values"));
  if (clusterIPs.length > 1 && new Set(clusterIPs.map(familyOf)).size < clusterIPs.length) errors.push(field.invalid(IPS, clusterIPs, "may specify no more than one IP for each IP family"));
  if (isHeadless(spec)) return errors;
  for (const [index, ip] of clusterIPs.entries()) {
    const family = ipFamilies[index];
    if (family !== undefined && FAMILIES.includes(family) && familyOf(ip) !== family) errors.push(field.invalid(`${IPS}[${index}]`, ip, `expected an ${family} value as indicated by \`ipFamilies[${index}]\``));
  }
  return errors;
}

function singularErrors({ clusterIP = "", clusterIPs = [] }: ServiceSpec): FieldError[] {
  if (clusterIP === "") return clusterIPs.length === 0 ? [] : [field.invalid(IPS, clusterIPs, "must be empty when `clusterIP` is not specified")];
  if (clusterIPs.length === 0) return [field.required(IPS)];
  return clusterIPs[0] === clusterIP ? [] : [field.invalid(IPS, clusterIPs, "first value must match `clusterIP`")];
}

function familyErrors({ ipFamilies = [], ipFamilyPolicy }: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, family] of ipFamilies.entries()) {
    if (!FAMILIES.includes(family)) errors.push(field.notSupported(`spec.ipFamilies[${index}]`, family, FAMILIES));
    if (ipFamilies.indexOf(family) < index) errors.push(field.duplicate(`spec.ipFamilies[${index}]`, family));
  }
  if (ipFamilyPolicy !== undefined && !POLICIES.includes(ipFamilyPolicy)) errors.push(field.notSupported("spec.ipFamilyPolicy", ipFamilyPolicy, POLICIES));
  return errors;
}

function listErrors({ clusterIPs = [] }: ServiceSpec, existing: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, ip] of clusterIPs.entries()) {
    if (index === 0 && ip === "None") {
      if (clusterIPs.length > 1) errors.push(field.invalid(IPS, clusterIPs, "'None' must be the first and only value"));
    } else if (!existing.includes(ip) && isIP(ip) === 0) errors.push(field.invalid(`${IPS}[${index}]`, ip, NOT_AN_IP));
  }
  return errors;
}

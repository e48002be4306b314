// Which address families a service gets, from what it asks for and what the cluster has.
// Decides and writes `ipFamilyPolicy` and `ipFamilies`; addresses are taken later.
import { field, invalid, type FieldError } from "../../../../api/errors.ts";
import type { Service, ServiceSpec } from "../../../../api/types.ts";
import { familyOf, type Family } from "./ip-range.ts";
import { sameList } from "./update.ts";
import { clusterIPErrors } from "./validate-ips.ts";

const NOT_CONFIGURED = "not configured on this cluster";

/** Sets policy and families; `available` starts with the cluster's default. Throws 422 in upstream's words. */
export function chooseFamilies(service: Service, old: Service | undefined, available: readonly Family[]): void {
  const { spec } = service;
  if (!spec || spec.type === "ExternalName" || isUnchangedPreference(spec, old?.spec)) return;
  const isSelectorless = spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= old?.spec?.ipFamilyPolicy ?? (isSelectorless ? "RequireDualStack" : "SingleStack");
  refuse(service, clusterIPErrors(spec, old?.spec));
  refuse(service, [...(old?.spec ? shrink(spec, old.spec) : []), ...singleStackErrors(spec), ...familiesFromAddresses(spec, available)]);
  if (!isSelectorless) refuse(service, unavailableErrors(spec, available));
  spec.ipFamilies = families(spec, available, isSelectorless);
}

/** A service that prefers two families and already has what it could get is left alone. */
function isUnchangedPreference(spec: ServiceSpec, old: ServiceSpec | undefined): boolean {
  if (!old || spec.ipFamilyPolicy !== "PreferDualStack" || old.type !== spec.type) return false;
  if (old.ipFamilyPolicy !== undefined && old.ipFamilyPolicy !== "PreferDualStack") return false;
  return sameList(spec.clusterIPs, old.clusterIPs) && sameList(spec.ipFamilies, old.ipFamilies);
}

function shrink(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (spec.ipFamilyPolicy === "SingleStack") {
    if (spec.clusterIPs && spec.clusterIPs.length > 1 && sameList(spec.clusterIPs, old.clusterIPs)) spec.clusterIPs = spec.clusterIPs.slice(0, 1);
    if (spec.ipFamilies && spec.ipFamilies.length > 1 && sameList(spec.ipFamilies, old.ipFamilies)) spec.ipFamilies = spec.ipFamilies.slice(0, 1);
    return [];
  }
  const errors: FieldError[] = [];
  if (isFewer(spec.clusterIPs, old.clusterIPs)) errors.push(field.invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"));
  if (isFewer(spec.ipFamilies, old.ipFamilies)) errors.push(field.invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"));
  return errors;
}

function isFewer(now: readonly string[] | undefined, before: readonly string[] | undefined): boolean {
  return !!now?.length && now.length < (before?.length ?? 0);
}

function singleStackErrors({ ipFamilyPolicy, clusterIPs, ipFamilies }: ServiceSpec): FieldError[] {
  if (ipFamilyPolicy !== "SingleStack") return [];
  const refusal = (what: string): FieldError => field.invalid("spec.ipFamilyPolicy", ipFamilyPolicy, `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`);
  return [...(clusterIPs?.length === 2 ? [refusal("cluster IPs")] : []), ...(ipFamilies?.length === 2 ? [refusal("IP families")] : [])];
}

function familiesFromAddresses(spec: ServiceSpec, available: readonly Family[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, ip] of (spec.clusterIPs ?? []).entries()) {
    if (ip === "None") break;
    if (ip === "" || index < (spec.ipFamilies?.length ?? 0)) continue;
    const family = familyOf(ip);
    if (available.includes(family)) spec.ipFamilies = [...(spec.ipFamilies ?? []), family];
    else errors.push(field.invalid(`spec.clusterIPs[${index}]`, spec.clusterIPs, `${family} is ${NOT_CONFIGURED}`));
  }
  return errors;
}

function unavailableErrors({ ipFamilyPolicy, ipFamilies }: ServiceSpec, available: readonly Family[]): FieldError[] {
  const errors: FieldError[] = [];
  if (ipFamilyPolicy === "RequireDualStack" && available.length < 2) errors.push(field.invalid("spec.ipFamilyPolicy", ipFamilyPolicy, "this cluster is not configured for dual-stack services"));
  for (const [index, family] of (ipFamilies ?? []).entries()) if (!available.includes(family as Family)) errors.push(field.invalid(`spec.ipFamilies[${index}]`, family, NOT_CONFIGURED));
  return errors;
}

function families({ ipFamilies, ipFamilyPolicy }: ServiceSpec, available: readonly Family[], isSelectorless: boolean): string[] {
  const chosen = ipFamilies?.length ? [...ipFamilies] : [available[0] as string];
  const wantsBoth = ipFamilyPolicy !== "SingleStack" && chosen.length === 1 && (isSelectorless || available.length === 2);
  return wantsBoth ? [...chosen, chosen[0] === "IPv4" ? "IPv6" : "IPv4"] : chosen;
}

function refuse(service: Service, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalid({ group: "", kind: "Service" }, service.metadata.name ?? "", errors);
}

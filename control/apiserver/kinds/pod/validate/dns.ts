// Rules for a pod's DNS settings, host name and host aliases.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { PodSpec } from "../../../../../api/types.ts";
import { NOT_AN_IP } from "../../validation/addresses.ts";
import { check, dnsLabel, dnsSubdomain, dnsSubdomainWithUnderscore } from "../../validation/names.ts";
import { checkOneOf } from "../../validation/values.ts";

const POLICIES = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX = { nameservers: 3, searches: 32, searchBytes: 2048, hostname: 64 };

/** `dnsPolicy`, `dnsConfig`, `hostname`, `subdomain`, `hostnameOverride`, `hostAliases`. */
export function checkNames(errors: FieldError[], path: string, spec: PodSpec): void {
  const { dnsPolicy, hostname, subdomain, hostAliases } = spec;
  checkOneOf(errors, `${path}.dnsPolicy`, dnsPolicy, POLICIES);
  if (spec.dnsConfig || dnsPolicy === "None") checkConfig(errors, `${path}.dnsConfig`, spec);
  if (hostname) check(errors, `${path}.hostname`, hostname, dnsLabel);
  if (subdomain) check(errors, `${path}.subdomain`, subdomain, dnsLabel);
  checkOverride(errors, `${path}.hostnameOverride`, spec);
  for (const [index, { ip, hostnames }] of (hostAliases ?? []).entries()) {
    if (isIP(ip) === 0) errors.push(field.invalid(`${path}.hostAliases[${index}].ip`, ip, NOT_AN_IP));
    for (const [at, name] of (hostnames ?? []).entries()) check(errors, `${path}.hostAliases[${index}].hostnames[${at}]`, name, dnsSubdomain);
  }
}

function checkConfig(errors: FieldError[], path: string, { dnsPolicy, dnsConfig }: PodSpec): void {
  if (!dnsConfig) return void errors.push(field.required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
  const { nameservers = [], searches = [], options = [] } = dnsConfig;
  if (dnsPolicy === "None" && nameservers.length === 0) return void errors.push(field.required(`${path}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None"));
  if (nameservers.length > MAX.nameservers) errors.push(field.invalid(`${path}.nameservers`, nameservers, `must not have more than ${MAX.nameservers} nameservers`));
  for (const [index, server] of nameservers.entries()) if (isIP(server) === 0) errors.push(field.invalid(`${path}.nameservers[${index}]`, server, NOT_AN_IP));
  if (searches.length > MAX.searches) errors.push(field.invalid(`${path}.searches`, searches, `must not have more than ${MAX.searches} search paths`));
  if (searches.join(" ").length > MAX.searchBytes) errors.push(field.invalid(`${path}.searches`, searches, `must not have more than ${MAX.searchBytes} characters (including spaces) in the search list`));
  for (const [index, search] of searches.entries()) if (search !== ".") check(errors, `${path}.searches[${index}]`, search.replace(/\.$/, ""), dnsSubdomainWithUnderscore);
  for (const [index, { name }] of options.entries()) if (!name) errors.push(field.required(`${path}.options[${index}]`, "must not be empty"));
}

function checkOverride(errors: FieldError[], path: string, { hostnameOverride, setHostnameAsFQDN, hostNetwork }: PodSpec): void {
  if (hostnameOverride === undefined) return;
  if (setHostnameAsFQDN) errors.push(field.forbidden(path, "may not be specified when setHostnameAsFQDN is true"));
  if (hostNetwork) errors.push(field.forbidden(path, "may not be specified when hostNetwork is true"));
  if (hostnameOverride.length > MAX.hostname) errors.push(field.tooLong(path, MAX.hostname));
  check(errors, path, hostnameOverride, dnsSubdomain);
}

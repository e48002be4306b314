// A pod's resolver configuration by its dnsPolicy and dnsConfig, within the limits resolvers have. Pure.
import type { Pod } from "../../api/types.ts";

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface DnsInput {
  readonly pod: Pod;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The node's own configuration. */
  readonly host: DnsConfig;
}

/** Where systemd-resolved writes the servers it asks. */
const BEHIND_STUB = "/run/systemd/resolve/resolv.conf";
const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;

/** The configuration, and what had to be left out, as warnings for an event. */
export function podDns(input: DnsInput): { config: DnsConfig; warnings: string[] } {
  const { pod, host } = input;
  const policy = pod.spec?.dnsPolicy ?? "ClusterFirst";
  const isCluster = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !pod.spec?.hostNetwork);
  const base = policy === "None" ? { servers: [], searches: [], options: [] } : isCluster && input.clusterDns.length > 0 ? clusterFirst(input) : host;
  return fit(merged(base, pod.spec?.dnsConfig));
}

/** Reads `/etc/resolv.conf`. */
/** The node's own configuration; where that is systemd-resolved's stub, which no pod reaches, the servers behind it. */
export function hostDns(path: string, read: (path: string) => string): DnsConfig {
  const own = parseResolvConf(read(path));
  const isStub = own.servers.length > 0 && own.servers.every((server) => server === "127.0.0.53" || server === "127.0.0.54");
  const behind = isStub ? parseResolvConf(read(BEHIND_STUB)) : own;
  return behind.servers.length > 0 ? behind : own;
}

export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && values[0]) servers.push(values[0]);
    if (keyword === "search") searches = values.filter((v) => v !== ".").map((v) => v.replace(/\.$/, ""));
    if (keyword === "options") options = [...options, ...values];
  }
  return { servers, searches, options };
}

function clusterFirst({ pod, clusterDns, clusterDomain, host }: DnsInput): DnsConfig {
  const own = clusterDomain === "" ? [] : [`${pod.metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return { servers: clusterDns, searches: [...new Set([...own, ...host.searches])], options: ["ndots:5"] };
}

function merged(base: DnsConfig, extra: NonNullable<Pod["spec"]>["dnsConfig"]): DnsConfig {
  if (!extra) return base;
  const options = new Map(base.options.map((option) => [option.split(":")[0] as string, option]));
  for (const { name = "", value } of extra.options ?? []) options.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  return {
    servers: [...new Set([...base.servers, ...(extra.nameservers ?? [])])],
    searches: [...new Set([...base.searches, ...(extra.searches ?? [])])],
    options: [...options.values()],
  };
}

function fit(config: DnsConfig): { config: DnsConfig; warnings: string[] } {
  const warnings: string[] = [];
  const servers = config.servers.slice(0, MAX_SERVERS);
  if (servers.length < config.servers.length) warnings.push(`Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(" ")}`);
  let searches = config.searches.slice(0, MAX_SEARCHES).filter((search) => search.length <= 253);
  while (searches.join(" ").length > MAX_SEARCH_CHARS) searches = searches.slice(0, -1);
  if (searches.length < config.searches.length) warnings.push(`Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${searches.join(" ")}`);
  return { config: { ...config, servers, searches }, warnings };
}

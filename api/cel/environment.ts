// The CEL engine with the functions Kubernetes adds to it: one base environment that everything else is cloned from.
// Functions: https://kubernetes.io/docs/reference/using-api/cel/
import { isIP } from "node:net";
import { Environment } from "@marcbachmann/cel-js";
import { cidrContains, parseAddress, parseCidr } from "../../lib/cidr.ts";
import { findAll, goRegExp } from "../../lib/regexp.ts";
import { dnsLabelErrors, labelKeyErrors, labelValueErrors, subdomainErrors } from "../labels.ts";
import { quantities, versions } from "./quantities.ts";
import { equalCel } from "./values.ts";

type Cel = unknown;

class CelAddress {
  constructor(readonly text: string) {}
}
class CelCidr {
  constructor(readonly text: string) {}
}
/** What functions such as `sets.contains` hang on. */
class Namespace {
  constructor(readonly name: string) {}
}
const NAMESPACE = new Namespace("sets");

let base: Environment | undefined;

/** A fresh environment to declare variables and types in. */
export function newEnvironment(): Environment {
  base ??= library(new Environment({ unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false, enableOptionalTypes: true }));
  return base.clone();
}

function library(env: Environment): Environment {
  for (const add of [lists, strings, regexes, urls, quantities, versions, addresses, sets, formats]) add(env);
  return env;
}

const asNumber = (value: Cel): number | bigint => value as number | bigint;
const listOf = (value: Cel): Cel[] => (Array.isArray(value) ? (value as Cel[]) : [...(value as Iterable<Cel>)]);

function lists(env: Environment): void {
  env.registerFunction("list.isSorted(): bool", (list: Cel) => listOf(list).every((item, index, all) => index === 0 || asNumber(all[index - 1]) <= asNumber(item)));
  env.registerFunction("list.sum(): dyn", (list: Cel) => listOf(list).reduce<number | bigint>((sum, item) => (typeof item === "bigint" && typeof sum === "bigint" ? sum + item : Number(sum) + Number(item)), typeof listOf(list)[0] === "number" ? 0 : 0n));
  env.registerFunction("list.min(): dyn", (list: Cel) => best(listOf(list), (a, b) => a < b, "min"));
  env.registerFunction("list.max(): dyn", (list: Cel) => best(listOf(list), (a, b) => a > b, "max"));
  env.registerFunction("list.indexOf(dyn): int", (list: Cel, wanted: Cel) => BigInt(listOf(list).findIndex((item) => equalCel(item, wanted))));
  env.registerFunction("list.lastIndexOf(dyn): int", (list: Cel, wanted: Cel) => BigInt(listOf(list).findLastIndex((item) => equalCel(item, wanted))));
}

function best(list: Cel[], isBetter: (a: number | bigint, b: number | bigint) => boolean, name: string): Cel {
  if (list.length === 0) throw new Error(`${name} called on empty list`);
  return list.reduce((found, item) => (isBetter(asNumber(item), asNumber(found)) ? item : found));
}

function strings(env: Environment): void {
  env.registerFunction("string.replace(string, string): string", (text: string, from: string, to: string) => text.replaceAll(from, to));
  env.registerFunction("string.replace(string, string, int): string", (text: string, from: string, to: string, count: bigint) => {
    const parts = text.split(from);
    if (count < 0n) return parts.join(to);
    const cut = Math.min(Number(count), parts.length - 1);
    return parts.slice(0, cut + 1).join(to) + parts.slice(cut + 1).map((part) => from + part).join("");
  });
  env.registerFunction("string.format(list): string", (text: string, values: Cel) => format(text, listOf(values)));
}

function format(text: string, values: Cel[]): string {
  let at = 0;
  return text.replace(/%(?:\.(\d+))?([sdfexXob%])/g, (_whole, precision: string | undefined, verb: string) => {
    if (verb === "%") return "%";
    const value = values[at++];
    if (verb === "f") return Number(value).toFixed(precision === undefined ? 6 : Number(precision));
    if (verb === "e") return Number(value).toExponential(precision === undefined ? 6 : Number(precision));
    if (verb === "x" || verb === "X" || verb === "o" || verb === "b") {
      const digits = BigInt(value as bigint).toString(verb === "o" ? 8 : verb === "b" ? 2 : 16);
      return verb === "X" ? digits.toUpperCase() : digits;
    }
    return shown(value);
  });
}

/** A value as CEL prints it in strings. */
export function shown(value: Cel): string {
  if (value === null || typeof value !== "object") return String(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries.map(([key, inner]) => `${key}: ${shown(inner)}`).join(", ")}}`;
}

/** What `matches` is called inside the engine. */
export const MATCHES = "matchesGoRegExp";

function regexes(env: Environment): void {
  for (const signature of [`string.${MATCHES}(string): bool`, "matches(string, string): bool"]) env.registerFunction(signature, (text: string, pattern: string) => goRegExp(pattern).test(text));
  env.registerFunction("string.find(string): string", (text: string, pattern: string) => findAll(pattern, text, 1)[0] ?? "");
  env.registerFunction("string.findAll(string): list<string>", (text: string, pattern: string) => findAll(pattern, text));
  env.registerFunction("string.findAll(string, int): list<string>", (text: string, pattern: string, count: bigint) => findAll(pattern, text, count < 0n ? undefined : Number(count)));
}

const isUrl = (text: string): boolean => URL.canParse(text) || (text.startsWith("/") && URL.canParse(text, "http://x"));

function urls(env: Environment): void {
  env.registerType("kubernetes.URL", { ctor: URL });
  env.registerFunction("isURL(string): bool", isUrl);
  env.registerFunction("url(string): kubernetes.URL", (text: string) => {
    if (!isUrl(text)) throw new Error(`URL parse error during conversion from string: parse ${JSON.stringify(text)}: invalid URI for request`);
    return URL.canParse(text) ? new URL(text) : new URL(text, "http://host");
  });
  const read = (name: string, get: (url: URL) => Cel, type = "string"): void => void env.registerFunction(`kubernetes.URL.${name}(): ${type}`, get);
  read("getScheme", (url) => url.protocol.replace(/:$/, ""));
  read("getHost", (url) => url.host);
  read("getHostname", (url) => url.hostname);
  read("getPort", (url) => url.port);
  read("getEscapedPath", (url) => url.pathname);
  read("getQuery", (url) => new Map([...new Set(url.searchParams.keys())].map((key) => [key, url.searchParams.getAll(key)])), "map<string, list<string>>");
}

function addresses(env: Environment): void {
  env.registerType("net.IP", { ctor: CelAddress });
  env.registerType("net.CIDR", { ctor: CelCidr });
  env.registerFunction("isIP(string): bool", (text: string) => isIP(text) !== 0);
  env.registerFunction("isCIDR(string): bool", (text: string) => parseCidr(text) !== undefined);
  env.registerFunction("ip(string): net.IP", (text: string) => {
    if (isIP(text) === 0) throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
    return new CelAddress(text);
  });
  env.registerFunction("cidr(string): net.CIDR", (text: string) => {
    if (!parseCidr(text)) throw new Error(`network address parse error during conversion from string: ${JSON.stringify(text)}`);
    return new CelCidr(text);
  });
  env.registerFunction("net.IP.family(): int", ({ text }: CelAddress) => BigInt(isIP(text)));
  env.registerFunction("net.IP.isLoopback(): bool", ({ text }: CelAddress) => text.startsWith("127.") || text === "::1");
  env.registerFunction("net.CIDR.prefixLength(): int", ({ text }: CelCidr) => BigInt(text.split("/")[1] ?? "0"));
  env.registerFunction("net.CIDR.containsIP(string): bool", (range: CelCidr, address: string) => contains(range, address));
  env.registerFunction("net.CIDR.containsIP(net.IP): bool", (range: CelCidr, address: CelAddress) => contains(range, address.text));
}

function contains({ text }: CelCidr, address: string): boolean {
  const [range, found] = [parseCidr(text), parseAddress(address)];
  return range !== undefined && found !== undefined && cidrContains(range, found);
}

const has = (list: Cel, wanted: Cel): boolean => listOf(list).some((item) => equalCel(item, wanted));

function sets(env: Environment): void {
  env.registerType("kubernetes.SetsNamespace", { ctor: Namespace });
  env.registerConstant("sets", "kubernetes.SetsNamespace", NAMESPACE);
  env.registerFunction("kubernetes.SetsNamespace.contains(list, list): bool", (_: Cel, a: Cel, b: Cel) => listOf(b).every((item) => has(a, item)));
  env.registerFunction("kubernetes.SetsNamespace.intersects(list, list): bool", (_: Cel, a: Cel, b: Cel) => listOf(b).some((item) => has(a, item)));
  env.registerFunction("kubernetes.SetsNamespace.equivalent(list, list): bool", (_: Cel, a: Cel, b: Cel) => listOf(b).every((item) => has(a, item)) && listOf(a).every((item) => has(b, item)));
}

class FormatNamespace extends Namespace {}
class CelFormat {
  constructor(readonly problems: (text: string) => readonly string[]) {}
}

const FORMATS: Readonly<Record<string, (text: string) => readonly string[]>> = {
  dns1123Label: dnsLabelErrors, dns1123Subdomain: subdomainErrors, qualifiedName: labelKeyErrors, labelValue: labelValueErrors,
  uuid: (text) => (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) ? [] : ["does not match the UUID format"]),
  uri: (text) => (URL.canParse(text) ? [] : ["must be a URI"]),
};

function formats(env: Environment): void {
  env.registerType("kubernetes.FormatNamespace", { ctor: FormatNamespace });
  env.registerType("kubernetes.NamedFormat", { ctor: CelFormat });
  env.registerConstant("format", "kubernetes.FormatNamespace", new FormatNamespace("format"));
  for (const [name, problems] of Object.entries(FORMATS)) env.registerFunction(`kubernetes.FormatNamespace.${name}(): kubernetes.NamedFormat`, () => new CelFormat(problems));
  env.registerFunction("kubernetes.NamedFormat.validate(string): optional<list<string>>", (found: CelFormat, text: string) => env.evaluate(found.problems(text).length === 0 ? "optional.none()" : `optional.of(${JSON.stringify(found.problems(text))})`) as unknown);
}

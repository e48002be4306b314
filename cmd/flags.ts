// Flags as data: one table per command gives parsing, the environment, the config file, help and completion.
// A value comes from the command line, else from MINIK8S_<NAME>, else from the config file, else the default.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parse as parseYaml } from "yaml";

/** One flag; `value` names its argument in help, and a flag without it is a switch. */
export interface Flag {
  readonly name: string;
  readonly value?: string;
  readonly default?: string;
  readonly help: string;
  readonly choices?: readonly string[];
  /** Returns what is wrong with a value, or undefined. */
  readonly check?: (value: string) => string | undefined;
}

/** Parsed values by flag name; switches are `"true"` or absent. */
export type Values = Readonly<Record<string, string | undefined>>;

/** Something the user typed cannot be meant; shown as one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const CONFIG_FLAG: Flag = { name: "config", value: "FILE", help: "YAML file with flag names as keys" };

/** Reads arguments against a table; throws UsageError naming the flag, the value and what would be right. */
export function parseFlags(flags: readonly Flag[], args: readonly string[], env: Readonly<Record<string, string | undefined>> = process.env): { values: Values; positionals: string[] } {
  const table = [...flags, CONFIG_FLAG];
  const { given, positionals } = readArguments(table, args);
  const fromFile = given["config"] === undefined ? {} : readConfig(given["config"], table);
  const values: Record<string, string | undefined> = {};
  for (const flag of table) {
    const value = given[flag.name] ?? env[environmentName(flag)] ?? fromFile[flag.name] ?? flag.default;
    if (value === undefined) continue;
    assertValid(flag, value);
    if (flag.value || value === "true") values[flag.name] = value;
  }
  return { values, positionals };
}

/** `MINIK8S_DATA_DIR` for `data-dir`. */
export function environmentName(flag: Pick<Flag, "name">): string {
  return `MINIK8S_${flag.name.toUpperCase().replaceAll("-", "_")}`;
}

/** The flags part of a command's help. */
export function describeFlags(flags: readonly Flag[]): string {
  const rows = [...flags, CONFIG_FLAG].map((flag) => [`  --${flag.name}${flag.value ? ` ${flag.value}` : ""}`, describe(flag)] as const);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => left.padEnd(width) + right).join("\n");
}

function describe(flag: Flag): string {
  const choices = flag.choices ? ` (${flag.choices.join(", ")})` : "";
  return `${flag.help}${choices}${flag.default ? ` [${flag.default}]` : ""}`;
}

function readArguments(table: readonly Flag[], args: readonly string[]): { given: Record<string, string>; positionals: string[] } {
  const options = Object.fromEntries(table.map((flag) => [flag.name, { type: flag.value ? ("string" as const) : ("boolean" as const) }]));
  // What follows `--` is somebody else's.
  const own = args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
  for (const arg of own) {
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name && !options[name]) throw new UsageError(`unknown flag: --${name}${suggest(name, table)}`);
  }
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { given: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)])), positionals };
  } catch (cause) {
    throw new UsageError((cause as Error).message.split("\n")[0]?.replace(/^Option /, "flag ") ?? "bad arguments", { cause });
  }
}

function readConfig(path: string, table: readonly Flag[]): Record<string, string> {
  let document: unknown;
  try {
    document = parseYaml(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new UsageError(`--config ${path}: ${(cause as Error).message.split("\n")[0]}`, { cause });
  }
  if (document === null || typeof document !== "object" || Array.isArray(document)) throw new UsageError(`--config ${path}: must hold flag names and values, such as "data-dir: /var/lib/minik8s"`);
  for (const name of Object.keys(document)) {
    if (!table.some((flag) => flag.name === name)) throw new UsageError(`--config ${path}: unknown key ${name}${suggest(name, table)}`);
  }
  return Object.fromEntries(Object.entries(document).map(([name, value]) => [name, Array.isArray(value) ? value.join(",") : String(value)]));
}

function assertValid(flag: Flag, value: string): void {
  if (flag.choices && !flag.choices.includes(value)) throw new UsageError(`--${flag.name} ${value}: must be one of ${flag.choices.join(", ")}`);
  const wrong = flag.check?.(value);
  if (wrong) throw new UsageError(`--${flag.name} ${value}: ${wrong}`);
}

function suggest(name: string, table: readonly Flag[]): string {
  const near = table.find((flag) => flag.name.startsWith(name.slice(0, 4)) || name.startsWith(flag.name.slice(0, 4)));
  return near ? ` (did you mean --${near.name}?)` : "";
}

/** Checks for values several commands share. */
export const checks = {
  port: (value: string): string | undefined => (/^\d+$/.test(value) && Number(value) >= 1 && Number(value) <= 65535 ? undefined : "must be a port number between 1 and 65535"),
  count: (value: string): string | undefined => (/^\d+$/.test(value) && Number(value) >= 1 ? undefined : "must be a whole number of at least 1"),
  ip: (value: string): string | undefined => (/^(\d{1,3})(\.\d{1,3}){3}$/.test(value) && value.split(".").every((part) => Number(part) <= 255) ? undefined : "must be an IPv4 address, such as 192.168.1.10"),
  cidr: (value: string): string | undefined => {
    const [ip, bits] = value.split("/") as [string, string | undefined];
    return checks.ip(ip) === undefined && bits !== undefined && /^\d+$/.test(bits) && Number(bits) <= 32 ? undefined : "must be a CIDR, such as 10.244.0.0/16";
  },
  url: (value: string): string | undefined => (URL.canParse(value) && new URL(value).protocol === "https:" ? undefined : "must be an https URL, such as https://192.168.1.10:6443"),
  nodeName: (value: string): string | undefined => (/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value) && value.length <= 253 ? undefined : "must be a lowercase RFC 1123 subdomain, such as node-1"),
};

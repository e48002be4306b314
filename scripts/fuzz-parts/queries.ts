// Query strings: every parameter the API knows, with values it knows, nearly knows and does not.
import type { Random } from "./random.ts";
import type { Seen } from "./seen.ts";
import { STRINGS } from "./values.ts";

const SELECTORS = ["a=b", "a==b", "a!=b", "a in (b,c)", "a notin (b)", "a", "!a", "a in ()", "a>1", "a<x", ",", "a=b,", "a in (b", "é=é", "a=b=c", "((((", "x/y/z=1", "a=".repeat(50), "a in (" + "b,".repeat(200) + "c)"];
const FIELDS = ["metadata.name=fuzz-0", "metadata.name!=a", "metadata.namespace=default", "status.phase=Running", "spec.nodeName=fuzz-0", "spec.nodeName=", "type=Normal", "involvedObject.kind=Pod", "metadata.name", "=", "a.b=c", "metadata.name=a\\,b", "metadata.name=a\\", "metadata.name in (a)", "spec.foo=bar"];
const MANAGERS = ["", "fuzz", "kubectl", "x".repeat(200), "a\u0000b", "é"];

/** Parameters by name, each with a way to make a value. */
const PARAMETERS: Readonly<Record<string, (random: Random, seen: Seen) => string>> = {
  labelSelector: (random) => random.pick(SELECTORS),
  fieldSelector: (random) => random.pick(FIELDS),
  resourceVersion: version,
  resourceVersionMatch: (random) => random.pick(["NotOlderThan", "Exact", "", "exact"]),
  limit: (random) => random.pick(["1", "2", "500", "0", "-1", "x", "99999999999999999999", "1.5"]),
  continue: (random, seen) => (random.chance(0.5) ? spoiltToken(random, seen) : random.pick(["", "x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4vLi4vIn0", "{}", "null", "bnVsbA", "MQ", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"])),
  watch: (random) => random.pick(["true", "1", "false", "0", "", "yes"]),
  timeoutSeconds: (random) => random.pick(["1", "0", "-1", "x", "2", "99999999999"]),
  allowWatchBookmarks: (random) => random.pick(["true", "false", "x"]),
  sendInitialEvents: (random) => random.pick(["true", "false", ""]),
  fieldValidation: (random) => random.pick(["Strict", "Warn", "Ignore", "", "strict"]),
  fieldManager: (random) => random.pick(MANAGERS),
  force: (random) => random.pick(["true", "false", "x", ""]),
  dryRun: (random) => random.pick(["All", "", "None", "all"]),
  pretty: (random) => random.pick(["true", "false", "1", ""]),
  gracePeriodSeconds: (random) => random.pick(["0", "1", "-1", "x", "30"]),
  propagationPolicy: (random) => random.pick(["Foreground", "Background", "Orphan", "", "foreground"]),
  orphanDependents: (random) => random.pick(["true", "false", "x"]),
  includeObject: (random) => random.pick(["None", "Metadata", "Object", "x", ""]),
  timeout: (random) => random.pick(["1s", "10ms", "0", "x", "-1s", "1h"]),
  follow: (random) => random.pick(["true", "false", "x"]),
  tailLines: (random) => random.pick(["1", "-1", "x", "0"]),
  container: (random) => random.pick(STRINGS),
  command: (random) => random.pick(STRINGS),
  verbose: () => "",
  exclude: (random) => random.pick(["etcd", "ping", "x"]),
};
const NAMES = Object.keys(PARAMETERS);

/** The value of one parameter. */
export function parameter(name: string, random: Random, seen: Seen): string {
  return Object.hasOwn(PARAMETERS, name) ? (PARAMETERS[name]?.(random, seen) ?? "") : random.pick(STRINGS);
}

/** A query string with its question mark, or nothing; `wanted` are likely in it. */
export function queryOf(random: Random, seen: Seen, wanted: readonly string[] = []): string {
  const names = [...wanted.filter(() => random.chance(0.5)), ...(random.chance(0.15) ? random.several(4, () => random.pick(NAMES)) : [])];
  if (random.chance(0.01)) names.push(random.pick(STRINGS));
  const pairs = names.map((name) => `${encode(name, random)}=${encode(parameter(name, random, seen), random)}`);
  if (random.chance(0.005)) pairs.push(random.pick(["%", "%zz=1", "&&&=", "a=%00", "=", "a=%ff%fe", "?"]));
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

function version(random: Random, seen: Seen): string {
  return random.chance(0.5) ? seen.version(random) : random.pick(["0", "1", "", "-1", "x", "99999999999", "9223372036854775807", "18446744073709551616", "1.0", "01"]);
}

function spoiltToken(random: Random, seen: Seen): string {
  const token = seen.token(random);
  if (random.chance(0.6) || token === "") return token;
  const at = random.below(token.length);
  return `${token.slice(0, at)}${random.pick(["", "A", "=", "é"])}${token.slice(at + 1)}`;
}

function encode(text: string, random: Random): string {
  if (random.chance(0.005)) return text.replace(/[^\u0021-\u007e]|#/g, "");
  return encodeURIComponent(text.toWellFormed());
}

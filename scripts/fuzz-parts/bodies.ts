// Bodies as they go over the wire: JSON and YAML as anybody would write them, and what breaks parsers.
import { stringify } from "yaml";
import type { Random } from "./random.ts";

export interface Body {
  readonly contentType: string | undefined;
  readonly bytes: Buffer;
}

const PROTOBUF_MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
const TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor", "text/plain", "", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "multipart/form-data", "application/json;;;", "/", "application/apply-patch+cbor"];
const OVERSIZED_BYTES = 3 * 1024 * 1024 + 10;

/** A value as a body, mostly whole and in the form it is said to have. */
export function bodyOf(random: Random, value: unknown, contentType = "application/json"): Body {
  if (random.chance(0.9)) return { contentType, bytes: plain(random, value, contentType) };
  return random.pick(ODD)(random, value, contentType);
}

type Encoder = (random: Random, value: unknown, contentType: string) => Body;

const ODD: readonly Encoder[] = [
  (random, value, contentType) => truncated(random, { contentType, bytes: json(value) }),
  (_, value) => ({ contentType: "application/yaml", bytes: yaml(value) }),
  (random, value) => truncated(random, { contentType: "application/yaml", bytes: yaml(value) }),
  (random, value) => ({ contentType: random.pick(TYPES), bytes: json(value) }),
  (_, value, contentType) => ({ contentType, bytes: Buffer.from(JSON.stringify(value) ?? "", "utf16le") }),
  (_, value, contentType) => ({ contentType, bytes: Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), json(value)]) }),
  (random, value, contentType) => flipped(random, { contentType, bytes: json(value) }),
  (_, value, contentType) => ({ contentType, bytes: Buffer.concat([json(value), json(value)]) }),
  (_, value, contentType) => ({ contentType, bytes: Buffer.from(JSON.stringify(value)?.replace(/"([a-z]+)":/, '"$1":1,"$1":') ?? "") }),
  (random, _, contentType) => ({ contentType, bytes: Buffer.from(random.pick(["", " ", "{", "[]", "null", "1", '"a"', "{}", "[[]]", "true", "{\"kind\":1}", "{\"metadata\":[]}", "{\"metadata\":null}", "\u0000", "---\n---\n", "- a", "a: &a [*a]", "? : ?"])) }),
  (random, _, contentType) => deep(random, contentType),
  (random, _, contentType) => (random.chance(0.2) ? { contentType, bytes: Buffer.from(`{"metadata":{"name":"big","annotations":{"a":"${"x".repeat(OVERSIZED_BYTES)}"}}}`) } : wide(contentType)),
  (random) => protobuf(random),
  (random) => yamlBomb(random),
];

function plain(random: Random, value: unknown, contentType: string): Buffer {
  return contentType.includes("yaml") && random.chance(0.5) ? yaml(value) : json(value);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value) ?? "");
}

function yaml(value: unknown): Buffer {
  return Buffer.from(stringify(value ?? null));
}

function truncated(random: Random, { contentType, bytes }: Body): Body {
  return { contentType, bytes: bytes.subarray(0, random.below(bytes.length + 1)) };
}

function flipped(random: Random, { contentType, bytes }: Body): Body {
  const changed = Buffer.from(bytes);
  for (let times = random.below(6); times >= 0 && changed.length > 0; times--) changed[random.below(changed.length)] = random.below(256);
  return { contentType, bytes: changed };
}

function deep(random: Random, contentType: string): Body {
  const depth = random.pick([50, 200, 2000, 20_000, 200_000]);
  const [open, close] = random.pick([["[", "]"], ['{"a":', "}"], ['{"spec":', "}"], ['{"metadata":{"annotations":', "}}"]] as const);
  return { contentType: random.chance(0.7) ? contentType : "application/yaml", bytes: Buffer.from(`${open.repeat(depth)}${open === "[" ? "" : "1"}${random.chance(0.5) ? close.repeat(depth) : ""}`) };
}

function wide(contentType: string): Body {
  const labels = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`l${index}`, "v"]));
  return { contentType, bytes: json({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "fuzz-wide", labels }, data: labels }) };
}

/** The envelope right or nearly so, what is in it random. */
function protobuf(random: Random): Body {
  const noise = Buffer.from(Array.from({ length: random.below(400) }, () => random.below(256)));
  const type = Buffer.from("\n\t\n\u0002v1\u0012\u0003Pod");
  const raw = Buffer.concat([Buffer.from([0x12, noise.length & 0x7f]), noise]);
  return { contentType: "application/vnd.kubernetes.protobuf", bytes: random.chance(0.8) ? Buffer.concat([PROTOBUF_MAGIC, ...(random.chance(0.8) ? [type] : []), raw]) : noise };
}

/** Aliases of aliases, and other things YAML can do. */
function yamlBomb(random: Random): Body {
  const levels = random.pick([3, 9, 20]);
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < levels; level++) lines.push(`a${level}: &a${level} [${Array.from({ length: 9 }, () => `*a${level - 1}`).join(", ")}]`);
  const text = random.pick([lines.join("\n"), "!!js/function 'x'", "a: !!binary AAAA", "<<: [*x]", "a: *missing", "&a a: *a", "%YAML 9.9\n---\na", "a: 2001-01-01", "? [a, b]\n: c", "\t- a", "a: |\n  b\n c", "y: n", `"a": ${"[".repeat(5000)}`]);
  return { contentType: "application/yaml", bytes: Buffer.from(text) };
}

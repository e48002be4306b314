// Values made from a schema, and values spoilt: what nearly fits finds more than what is plain nonsense.
import type { Random } from "./random.ts";
import type { Schema } from "./surface.ts";

const MAX_DEPTH = 9;
export const STRINGS = [
  "", "a", "A", "a.b", "x/y", "*", "/", "-", "..", "10.0.0.1", "fd00::1", "10.0.0.0/8", "1Gi", "50%", "In", "Exists", "Always", "Never", "TCP", "RollingUpdate", "Recreate", "ClusterIP", "NodePort",
  "cpu", "é", "\u0000", "\ud800", "𝕜8𝕤", "x".repeat(70), "x".repeat(300), "__proto__", "constructor", "toString", "{}", "[]", "@daily", "* * * * *", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
  "fuzz-0", "fuzz-1", "default", "v1", "Pod", "ConfigMap", "https://127.0.0.1:1/", "$(VAR)", "%2e%2e%2f", "true", "null", "1e400", "^(a+)+$", "self.x", "\n", "\u202e", "🦭",
] as const;
const INTEGERS = [0, 1, -1, 2, 80, 443, 65_535, 65_536, 2_147_483_647, -2_147_483_648, 2_147_483_648, 9_007_199_254_740_991, 2 ** 63, -(2 ** 63), 1.5, 1e300];
const QUANTITIES = ["0", "1", "-1", "1Gi", "500m", "1e3", "0.5", "1E", "9223372036854775807", "1n", "0.0000000001", "1e-30", "1e999", "Gi", " 1"];
const KEYS = ["a", "a.b/c", "", "cpu", "memory", "A B", "x".repeat(70), "__proto__", "constructor", "kubernetes.io/x", "é"];
const TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z", "2026-13-01T00:00:00Z", "0000-00-00T00:00:00Z", "2026-01-01", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00+14:00", null];
/** Fields whose number is how many other objects are made: kept small, or the run would measure that. */
const COUNTS = new Set(["replicas", "parallelism", "completions", "minReplicas", "maxReplicas", "backoffLimit", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"]);
const MOST_MADE = 4;

/** Makes values that fit a schema, more or less. */
export class Maker {
  constructor(readonly random: Random, private readonly definitions: Readonly<Record<string, Schema>>) {}

  value(given: Schema | undefined, depth = 0): unknown {
    const { random } = this;
    const schema = this.resolve(given);
    if (!schema) return this.anything();
    if (random.chance(0.01)) return this.anything();
    if (schema.enum && random.chance(0.8)) return random.pick(schema.enum);
    if (schema["x-kubernetes-int-or-string"] || schema.format === "int-or-string") return random.pick<unknown>([...INTEGERS, "50%", "200%", "http", ""]);
    switch (schema.type) {
      case "array": return depth > MAX_DEPTH ? [] : random.several(4, () => this.value(schema.items, depth + 1));
      case "boolean": return random.chance(0.5);
      case "integer": case "number": return random.pick(INTEGERS);
      case "string": return this.text(schema.format);
      default: return this.object(schema, depth);
    }
  }

  /** JSON of no particular form. */
  anything(depth = 0): unknown {
    const { random } = this;
    const kind = random.below(depth > 3 ? 5 : 8);
    if (kind === 0) return null;
    if (kind === 1) return random.chance(0.5);
    if (kind === 2) return random.pick(INTEGERS);
    if (kind < 5) return random.pick(STRINGS);
    if (kind === 5) return random.several(4, () => this.anything(depth + 1));
    return Object.fromEntries(random.several(4, () => [random.pick(KEYS), this.anything(depth + 1)]));
  }

  /** The value with one thing in it replaced, added, doubled or taken away; where the schema is known, mostly by what fits. */
  spoilt(value: unknown, given: Schema | undefined, depth = 0): unknown {
    const { random } = this;
    const schema = this.resolve(given);
    if (random.chance(0.02)) return this.anything();
    if (Array.isArray(value)) return this.spoiltList(value, schema, depth);
    if (typeof value !== "object" || value === null) return random.chance(0.8) ? this.value(schema, depth) : this.anything();
    const object = value as Record<string, unknown>;
    const present = Object.keys(object);
    const known = Object.keys(schema?.properties ?? {});
    const isMap = typeof schema?.additionalProperties === "object";
    const name = random.chance(0.65) && present.length > 0 ? random.pick(present) : known.length > 0 && random.chance(0.9) ? random.pick(known) : random.pick(KEYS);
    const { [name]: old, ...rest } = object;
    if (random.chance(0.1)) return rest;
    const field = isMap ? (schema?.additionalProperties as Schema) : schema?.properties?.[name];
    return { ...rest, [name]: old === undefined ? this.value(field, depth + 1) : this.spoilt(old, field, depth + 1) };
  }

  resolve(schema: Schema | undefined): Schema | undefined {
    return schema?.$ref ? this.definitions[schema.$ref.slice("#/definitions/".length)] : schema;
  }

  private object({ properties, additionalProperties }: Schema, depth: number): unknown {
    const { random } = this;
    if (depth > MAX_DEPTH) return {};
    if (properties) {
      const share = depth < 2 ? 0.8 : 0.4;
      return Object.fromEntries(Object.entries(properties).filter(() => random.chance(share)).map(([name, field]) => [name, this.value(field, depth + 1)]));
    }
    if (typeof additionalProperties === "object") return Object.fromEntries(random.several(4, () => [random.pick(KEYS), this.value(additionalProperties, depth + 1)]));
    return this.anything(depth);
  }

  private text(format: string | undefined): unknown {
    const { random } = this;
    if (format === "date-time" || format === "micro-time") return random.pick<unknown>(TIMES);
    if (format === "byte") return random.pick(["AAEC", "", "====", "not base64", "QQ==", "QQ"]);
    return random.chance(0.15) ? random.pick(QUANTITIES) : random.pick(STRINGS);
  }

  private spoiltList(value: unknown[], schema: Schema | undefined, depth: number): unknown[] {
    const { random } = this;
    if (value.length === 0 || random.chance(0.15)) return [...value, this.value(schema?.items, depth + 1)];
    const at = random.below(value.length);
    if (random.chance(0.1)) return [...value, value[at]];
    if (random.chance(0.1)) return value.toSpliced(at, 1);
    return value.with(at, this.spoilt(value[at], schema?.items, depth + 1));
  }
}

/** The body with every count of things to make kept small. */
export function tamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tamed);
  if (typeof value !== "object" || value === null) return value;
  const { op, path, value: patched } = value as Record<string, unknown>;
  if (typeof op === "string" && typeof path === "string" && COUNTS.has(path.split("/").at(-1) ?? "")) return { ...value, value: small(patched) };
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, COUNTS.has(name) ? small(field) : tamed(field)]));
}

function small(value: unknown): unknown {
  return typeof value === "number" && value > MOST_MADE ? Math.floor(value) % MOST_MADE : value;
}

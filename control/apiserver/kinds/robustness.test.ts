// Objects that fit their schema and nothing else: each is stored or refused in words, none is an accident.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiError, orAbsent } from "../../../api/errors.ts";
import { KINDS, type KindInfo } from "../../../api/kinds.ts";
import { builtinKind } from "../../../api/registry.ts";
import { SchemaEngine } from "../../../api/schema/engine.ts";
import type { SchemaNode } from "../../../api/schema/node.ts";
import type { AnyObject, Stored } from "../../../api/types.ts";
import { createAdmission } from "../admission/index.ts";
import type { TestServer } from "../testing.ts";
import { LEAST } from "./least.ts";
import { startKindServer } from "./testing.ts";

const OBJECTS = Number(process.env["ROBUSTNESS_OBJECTS"] ?? 30);
const MAX_DEPTH = 9;
const STRINGS = ["", "a", "A", "a.b", "x/y", "*", "/", "-", "10.0.0.1", "fd00::1", "10.0.0.0/8", "1Gi", "50%", "In", "Exists", "Always", "Never", "TCP", "RollingUpdate", "Recreate", "ClusterIP", "NodePort", "cpu", "é", "x".repeat(70), "__proto__", "constructor", "{}", "@daily", "2026-01-01T00:00:00Z"];
const INTEGERS = [0, 1, -1, 2, 80, 65_536, 2_147_483_647, -2_147_483_648];
const UPDATABLE = ["status", "approval", "resize", "ephemeralcontainers"];
const QUANTITIES = ["0", "1", "-1", "1Gi", "500m", "1e3", "0.5"];

/** The same numbers again for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Makes values that fit a schema. */
class Maker {
  constructor(readonly random: () => number) {}

  value(node: SchemaNode, depth = 0): unknown {
    switch (node.type) {
      case "object": return this.object(node, depth);
      case "map": return this.map(node, depth);
      case "list": return Array.from({ length: depth > MAX_DEPTH ? 0 : this.below(4) }, () => this.value(node.items as SchemaNode, depth + 1));
      case "boolean": return this.random() < 0.5;
      case "integer": return this.pick(INTEGERS);
      case "number": return this.random();
      case "bytes": return "AAEC";
      case "quantity": return this.pick(QUANTITIES);
      case "intOrString": return this.pick<unknown>([...INTEGERS, "50%", "200%", "http", ""]);
      case "time": return "2026-01-01T00:00:00Z";
      case "microTime": return "2026-01-01T00:00:00.000000Z";
      case "raw": case "any": return this.pick<unknown>([{}, { a: 1 }, null]);
      default: return this.pick(STRINGS);
    }
  }

  object(node: SchemaNode, depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    const share = depth < 2 ? 0.85 : 0.45;
    for (const [name, field] of node.fields) if (this.random() < share && depth <= MAX_DEPTH) object[name] = this.value(field, depth + 1);
    return object;
  }

  map(node: SchemaNode, depth: number): Record<string, unknown> {
    return Object.fromEntries(Array.from({ length: this.below(3) }, () => [this.pick(["a", "a.b/c", "", "cpu", "A B", "x".repeat(70)]), this.value(node.items as SchemaNode, depth + 1)]));
  }

  /** The value with something in it replaced, added or taken away. */
  mutated(node: SchemaNode, value: unknown, depth = 0): unknown {
    if (node.type === "list" && Array.isArray(value)) return value.length === 0 || this.random() < 0.2 ? this.value(node, depth) : value.with(this.below(value.length), this.mutated(node.items as SchemaNode, value[0], depth + 1));
    if (node.type !== "object" || typeof value !== "object" || value === null) return this.value(node, depth);
    const names = [...node.fields.keys()];
    const present = names.filter((name) => name in value);
    const name = this.random() < 0.6 && present.length > 0 ? this.pick(present) : this.pick(names);
    const field = node.fields.get(name) as SchemaNode;
    const { [name]: old, ...rest } = value as Record<string, unknown>;
    if (this.random() < 0.1) return rest;
    return { ...rest, [name]: this.mutated(field, old, depth + 1) };
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

const schema = new SchemaEngine();
let server: TestServer;
beforeAll(async () => {
  server = await startKindServer({ admission: createAdmission({ authorizer: { authorize: () => ({ allowed: true }) } }) });
  await server.client.create(builtinKind("", "v1", "Namespace"), { metadata: { name: "default" } });
  await server.client.create(builtinKind("", "v1", "ServiceAccount"), { metadata: { name: "default", namespace: "default" } });
});
afterAll(() => server.stop());

const made = KINDS.filter(({ verbs, kind }) => verbs.includes("create") && verbs.includes("list") && kind !== "Namespace");

test.each(made.map((kind) => [`${kind.group}/${kind.version} ${kind.kind}`, kind] as const))("%s", async (_name, kind) => {
  const maker = new Maker(randomOf(kind.kind.length * 7919 + kind.version.length));
  const node = schema.schemaFor(kind) as SchemaNode;
  for (let index = 0; index < OBJECTS; index++) await live(kind, maker, node);
  // Something was really tried.
  expect(node.fields.size).toBeGreaterThan(2);
});

async function live(kind: KindInfo, maker: Maker, node: SchemaNode): Promise<void> {
  const { client } = server;
  const least = LEAST[`${kind.group}/${kind.kind}`] as AnyObject;
  const isFar = maker.random() < 0.3;
  const far = (): AnyObject => maker.object(node, 0) as AnyObject;
  const near = (object: AnyObject): AnyObject => maker.mutated(node, maker.mutated(node, object)) as AnyObject;
  const given = isFar ? far() : maker.random() < 0.3 ? least : near(least);
  const metadata = { name: (least.metadata.name === "x" ? "robust" : least.metadata.name) as string, ...(kind.namespaced && { namespace: "default" }) };
  const stored = await attempt<Stored<AnyObject>>(kind, () => client.create<AnyObject>(kind, { ...given, apiVersion: undefined, kind: undefined, metadata: { ...metadata } }));
  if (!stored) return;
  const current = (): Promise<Stored<AnyObject>> => client.get<AnyObject>(kind, metadata);
  for (const subresource of [undefined, ...Object.keys(kind.subresources).filter((name) => UPDATABLE.includes(name))]) {
    for (let times = 0; times < 3; times++) {
      const before = await current();
      show(kind, before);
      const next = isFar ? far() : near(before);
      await attempt(kind, () => client.update<AnyObject>(kind, { ...next, apiVersion: before.apiVersion, kind: before.kind, metadata: before.metadata } as AnyObject, { subresource }));
    }
  }
  const latest = await current();
  show(kind, latest);
  await attempt(kind, () => client.update<AnyObject>(kind, { ...latest, metadata: { ...latest.metadata, finalizers: [] } } as AnyObject));
  await attempt(kind, () => client.delete(kind, metadata, { gracePeriodSeconds: 0 }));
  const left = await orAbsent(current());
  if (left) await attempt(kind, () => client.update<AnyObject>(kind, { ...left, metadata: { ...left.metadata, finalizers: [] } } as AnyObject));
}

/** What reads an object back must cope with whatever was stored. */
function show(kind: KindInfo, object: AnyObject): void {
  const strategy = server.server.engine.strategies.for(kind);
  try {
    const cells = strategy.printer?.cells(object, Date.now());
    expect(cells?.length).toBe(strategy.printer?.columns.length);
    strategy.selectableFields?.(object);
    strategy.scale?.selector(object);
  } catch (error) {
    throw new Error(`${kind.kind} met an accident: ${(error as Error).message}`, { cause: error });
  }
}

/** Does it, or is refused in words; anything else is told with what was sent. */
async function attempt<T>(kind: KindInfo, action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof ApiError && (error.code < 500 || error.message.includes("failed to allocate"))) return undefined;
    throw new Error(`${kind.kind} met an accident: ${(error as Error).message}`, { cause: error });
  }
}

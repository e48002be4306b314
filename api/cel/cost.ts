// What an expression may cost at most: comprehensions multiply by the size of what they go through.
// Coarser than upstream's estimate, with the same budgets; it is what keeps one rule from holding up everybody.
import type { ASTNode } from "@marcbachmann/cel-js";
import type { CelSchema } from "./schema.ts";

/** What one expression may cost by estimate when it is written, and what one evaluation may cost. */
export const ESTIMATE_LIMIT = 10_000_000;
export const CALL_LIMIT = 1_000_000;
/** The size of a request, which bounds every list in it. */
const MAX_REQUEST_BYTES = 3 * 1024 * 1024;
const MACROS = new Set(["all", "exists", "exists_one", "map", "filter", "existsOne", "transformList", "transformMap"]);
const FIELD_COST = 1;
// What JSON takes beside names and values, in bytes.
const BRACKETS = 2;
const COMMA = 1;
const QUOTED_KEY = 4;
const KEY_AROUND = 6;
const MIN_TEXT_BYTES: Readonly<Record<string, number>> = { duration: 3, date: 12, "date-time": 21 };

/** Tells the size of a list or map from where it stands: by schema when a rule is written, by value when it runs. */
interface Sized {
  size(): number;
  field(name: string): Sized;
  item(): Sized;
}

/** The most elements a list or map of this schema can have: as many of the smallest as one request holds. */
export function maxSize(schema: CelSchema | undefined): number {
  if (schema?.type === "array") return schema.maxItems ?? mostIn(minBytes(schema.items) + COMMA);
  if (schema?.type === "object") return schema.maxProperties ?? mostIn(minBytes(typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined) + KEY_AROUND);
  return MAX_REQUEST_BYTES - BRACKETS;
}

function mostIn(bytesEach: number): number {
  return Math.floor((MAX_REQUEST_BYTES - BRACKETS) / bytesEach);
}

/** The fewest bytes of JSON a value of this schema takes: an object has at least what it must have and nobody fills in. */
function minBytes(schema: CelSchema | undefined): number {
  if (schema === undefined) return 1;
  if (schema.type === "string") return MIN_TEXT_BYTES[schema.format ?? ""] ?? BRACKETS;
  if (schema.type === "array") return BRACKETS;
  if (schema.type !== "object") return schema.type === "boolean" ? 4 : 1;
  return (schema.required ?? []).reduce((sum, name) => {
    const property = schema.properties?.[name];
    return property === undefined || property.default !== undefined ? sum : sum + name.length + QUOTED_KEY + minBytes(property);
  }, BRACKETS);
}

/** The cost of an expression on anything a schema allows. */
export function estimatedCost(ast: ASTNode, self: CelSchema): number {
  return costOf(ast, new Map([["self", bySchema(self)], ["oldSelf", bySchema(self)]]));
}

/** The cost of an expression on a value. */
export function actualCost(ast: ASTNode, variables: Readonly<Record<string, unknown>>): number {
  return costOf(ast, new Map(Object.entries(variables).map(([name, value]) => [name, byValue(value)])));
}

function bySchema(schema: CelSchema | undefined): Sized {
  return {
    size: () => maxSize(schema),
    field: (name) => bySchema(schema?.properties?.[name] ?? (typeof schema?.additionalProperties === "object" ? schema.additionalProperties : undefined)),
    item: () => bySchema(schema?.items ?? (schema?.type === "object" ? { type: "string" } : undefined)),
  };
}

function byValue(value: unknown): Sized {
  const inner = (): unknown[] => (Array.isArray(value) ? value : value instanceof Map ? [...value.keys()] : typeof value === "object" && value !== null ? Object.keys(value) : []);
  return {
    size: () => inner().length,
    field: (name) => byValue(value instanceof Map ? value.get(name) : (value as Record<string, unknown> | null | undefined)?.[name]),
    // The largest one stands for all.
    item: () => byValue(inner().reduce((largest, item) => (byValue(item).size() > byValue(largest).size() ? item : largest), undefined)),
  };
}

type Scope = ReadonlyMap<string, Sized>;
const NOTHING: Sized = { size: () => 1, field: () => NOTHING, item: () => NOTHING };

function costOf(node: ASTNode, scope: Scope): number {
  if (node.op === "value") return 0;
  if (node.op === "id") return FIELD_COST;
  if (node.op === "rcall") return callCost(node.args, scope);
  return FIELD_COST + childrenOf(node.args).reduce((sum, child) => sum + costOf(child, scope), 0);
}

function callCost([name, receiver, args]: [string, ASTNode, ASTNode[]], scope: Scope): number {
  const before = costOf(receiver, scope);
  const [variable] = args;
  if (!MACROS.has(name) || variable?.op !== "id") return FIELD_COST + before + args.reduce((sum, arg) => sum + costOf(arg, scope), 0);
  const list = placeOf(receiver, scope);
  const inside = new Map(scope).set(variable.args as string, list.item());
  return before + list.size() * (1 + args.slice(1).reduce((sum, arg) => sum + costOf(arg, inside), 0));
}

function placeOf(node: ASTNode, scope: Scope): Sized {
  if (node.op === "id") return scope.get(node.args as string) ?? NOTHING;
  if (node.op === "." || node.op === ".?") return placeOf(node.args[0], scope).field(node.args[1]);
  if (node.op === "[]") return placeOf(node.args[0], scope).item();
  if (node.op === "rcall") return placeOf(node.args[1], scope);
  return NOTHING;
}

function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf);
  return typeof args === "object" && args !== null && "op" in args ? [args as ASTNode] : [];
}

// Custom resources nobody thought of: definitions with random structural schemas and CEL rules.
// Objects of them are made from the schemas the server then publishes.
import type { Random } from "./random.ts";
import { STRINGS } from "./values.ts";

const GROUP = "fuzz.example.com";
export const PLURALS = ["widgets", "gadgets", "gizmos"] as const;
const FIELDS = ["a", "b", "c", "items", "name", "value", "__proto__", "é", "with-dash", "namespace"];
const FORMATS = ["date-time", "int32", "int64", "byte", "uuid", "ipv4", "cidr", "email", "duration", "date", "quantity", "nonsense"];
const PATTERNS = ["^a", "^(a+)+$", "[", "\\d{3}", ".*", "(?i)x", "\\p{L}+", "^$", "(?<!a)b", "x{1000}"];
const RULES = [
  "self == self", "self.a > 0", "self == oldSelf", "has(self.a)", "!has(self.a) || self.a != ''", "self.items.all(x, x == x)", "self.items.all(x, self.items.all(y, x == y))", "self.size() < 3", "size(self) < 2",
  "self.matches('^(a+)+$')", "self.b.startsWith('a')", "oldSelf.hasValue() ? self == oldSelf.value() : true", "self", "1", "self.a.b.c.d", "self.__proto__", "self['a']", "self.map(k, k)", "duration(self) < duration('1h')",
  "quantity(self).isGreaterThan(quantity('1'))", "self.a + 1 > 9223372036854775807", "1/0 == 1", "[1,2,3].exists(x, x / (x - 1) == 1)", "'a'.repeat(5)", "(((((((((self)))))))))", "", "self.", "true ? false : true",
  "self.replicas <= 9007199254740993", "url(self).getHost() == 'x'", "self.c.exists_one(i, i.a == 1)", "self.items.map(x, x + 1).sum() < 10", "self == null", "type(self) == string", "self.isSorted()", "format.dns1123Label().validate(self).hasValue()",
  "cel.bind(x, self, x == self)", "self.find('a') == 'a'", "ip(self).family() == 4", "isURL(self)", "self in ['a']", "optional.none().hasValue()", "!self", "-self < 0", "\"a\\u0000b\" == self",
] as const;

/** A definition for one of a few names, so that they replace each other. */
export function definition(random: Random): Record<string, unknown> {
  const plural = random.pick(PLURALS);
  const kind = `${plural[0]?.toUpperCase()}${plural.slice(1, -1)}`;
  const versions = [version(random, "v1", true), ...(random.chance(0.4) ? [version(random, random.pick(["v2", "v1beta1", "v1"]), false)] : [])];
  return {
    apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP, scope: random.pick(["Namespaced", "Cluster"]), names: { plural, singular: plural.slice(0, -1), kind, listKind: random.pick([`${kind}List`, `${kind}s`]), ...(random.chance(0.3) && { shortNames: [random.pick(STRINGS)], categories: ["all", "fuzz"] }) },
      versions, ...(random.chance(0.1) && { preserveUnknownFields: random.chance(0.5) }),
      ...(random.chance(0.1) && { conversion: random.pick<unknown>([{ strategy: "None" }, { strategy: "Webhook" }, { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"], clientConfig: { url: "https://127.0.0.1:1/convert" } } }]) }),
    },
  };
}

function version(random: Random, name: string, storage: boolean): Record<string, unknown> {
  const openAPIV3Schema = { type: "object", properties: { spec: node(random, 0), status: node(random, 2), ...(random.chance(0.2) && { metadata: { type: "object", properties: { name: { type: "string", pattern: random.pick(PATTERNS) } } } }) }, ...rules(random, 0.3) };
  return {
    name, served: random.chance(0.95), storage: storage ? random.chance(0.97) : random.chance(0.03), schema: { openAPIV3Schema },
    ...(random.chance(0.5) && { subresources: { ...(random.chance(0.7) && { status: {} }), ...(random.chance(0.4) && { scale: { specReplicasPath: random.pick([".spec.a", ".spec.replicas", "spec", ".status.x", ""]), statusReplicasPath: ".status.a", labelSelectorPath: ".status.b" } }) } }),
    ...(random.chance(0.4) && { additionalPrinterColumns: random.several(4, () => ({ name: random.pick(STRINGS), type: random.pick(["string", "integer", "date", "boolean", "number", "x"]), jsonPath: random.pick([".spec.a", ".spec.items[*].a", ".metadata.creationTimestamp", ".spec['a']", "[", ".spec..a", ".spec.items[?(@.a==1)].b", ""]) })) }),
    ...(random.chance(0.3) && { selectableFields: random.several(3, () => ({ jsonPath: random.pick([".spec.a", ".spec.b", ".spec.items", ".metadata.name", ".spec.c.a"]) })) }),
  };
}

function node(random: Random, depth: number): Record<string, unknown> {
  const type = random.pick(depth > 3 ? ["string", "integer", "boolean"] : ["string", "integer", "number", "boolean", "object", "object", "array", "array", "any"]);
  const extra = { ...(random.chance(0.1) && { nullable: true }), ...(random.chance(0.05) && { description: random.pick(STRINGS) }), ...(random.chance(0.03) && { enum: [1, "a", null, {}] }), ...rules(random, 0.2), ...(random.chance(0.03) && { [random.pick(["anyOf", "oneOf", "allOf"])]: [{ required: ["a"] }, { properties: { a: { minimum: 1 } } }] }), ...(random.chance(0.03) && { not: { required: ["b"] } }) };
  if (type === "any") return random.pick<() => Record<string, unknown>>([() => ({ "x-kubernetes-int-or-string": true }), () => ({ type: "object", "x-kubernetes-preserve-unknown-fields": true }), () => ({ "x-kubernetes-preserve-unknown-fields": true }), () => ({ type: "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true })])();
  if (type === "object") return { type, ...extra, ...objectNode(random, depth) };
  if (type === "array") return { type, ...extra, ...arrayNode(random, depth) };
  return { type, ...extra, ...scalarNode(random, type) };
}

function objectNode(random: Random, depth: number): Record<string, unknown> {
  if (random.chance(0.25)) return { additionalProperties: random.chance(0.1) ? true : node(random, depth + 1), ...(random.chance(0.3) && { maxProperties: random.below(4) }) };
  const properties = Object.fromEntries(random.several(6, () => [random.pick(FIELDS), node(random, depth + 1)]));
  return { properties, ...(random.chance(0.3) && { required: random.several(3, () => random.pick(FIELDS)) }), ...(random.chance(0.15) && { default: random.pick<unknown>([{}, { a: 1 }, null, []]) }), ...(random.chance(0.1) && { "x-kubernetes-map-type": random.pick(["atomic", "granular", "x"]) }), ...(random.chance(0.05) && { "x-kubernetes-preserve-unknown-fields": true }) };
}

function arrayNode(random: Random, depth: number): Record<string, unknown> {
  const list = random.pick(["atomic", "set", "map", undefined]);
  const items = list === "map" ? { type: "object", required: ["name"], properties: { name: { type: "string" }, a: node(random, depth + 2) } } : node(random, depth + 1);
  return { items, ...(list && { "x-kubernetes-list-type": list }), ...(list === "map" && { "x-kubernetes-list-map-keys": [random.chance(0.9) ? "name" : "b"] }), ...(random.chance(0.4) && { maxItems: random.pick([0, 2, 100, -1]) }), ...(random.chance(0.1) && { uniqueItems: random.chance(0.5) }), ...(random.chance(0.1) && { default: [] }) };
}

function scalarNode(random: Random, type: string): Record<string, unknown> {
  const shared = { ...(random.chance(0.2) && { default: random.pick<unknown>(["a", 1, true, null, "", 1.5]) }) };
  if (type === "string") return { ...shared, ...(random.chance(0.2) && { pattern: random.pick(PATTERNS) }), ...(random.chance(0.2) && { format: random.pick(FORMATS) }), ...(random.chance(0.2) && { maxLength: random.pick([0, 5, 1e9, -1]), minLength: random.below(3) }) };
  if (type === "boolean") return shared;
  return { ...shared, ...(random.chance(0.2) && { minimum: random.pick([-1, 0, 1.5]), exclusiveMinimum: random.chance(0.5) }), ...(random.chance(0.2) && { maximum: random.pick([0, 10, 1e300]) }), ...(random.chance(0.1) && { multipleOf: random.pick([0, 2, 0.1, -1]) }), ...(random.chance(0.1) && { format: random.pick(["int32", "int64", "float", "double"]) }) };
}

function rules(random: Random, share: number): Record<string, unknown> {
  if (!random.chance(share)) return {};
  return { "x-kubernetes-validations": random.several(4, () => ({ rule: random.pick(RULES), ...(random.chance(0.3) && { message: random.pick(STRINGS) }), ...(random.chance(0.2) && { messageExpression: random.pick(["'a' + string(self)", "self.a", "1", "'"]) }), ...(random.chance(0.1) && { optionalOldSelf: random.chance(0.5) }), ...(random.chance(0.1) && { fieldPath: random.pick([".a", "a", ".a.b", ".é"]) }), ...(random.chance(0.1) && { reason: random.pick(["FieldValueInvalid", "FieldValueForbidden", "x"]) }) })) };
}

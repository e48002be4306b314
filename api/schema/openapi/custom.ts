// What OpenAPI says of custom resources: their own schema with what every object has, and less of it in version 2,
// whose readers know neither alternatives, nor null, nor fields beside those that are listed.
import type { Json, OpenApiVersion } from "./schemas.ts";

type Schema = Readonly<Record<string, unknown>>;

const PRESERVES = "x-kubernetes-preserve-unknown-fields";
const COMBINATIONS = new Set(["allOf", "oneOf", "anyOf", "not"]);

/** The schema of a custom resource as one version publishes it; `usual` is what every object has. */
export function customSchema(schema: Schema | undefined, version: OpenApiVersion, usual: Json): Json {
  if (!schema) return { type: "object", ...(version === 3 && { [PRESERVES]: true, properties: usual }) };
  if (version === 2 && schema[PRESERVES] === true) return { type: "object" };
  const own = version === 2 ? versionTwo(schema) : (schema as Json);
  return { ...own, type: "object", properties: { ...(own["properties"] as Json | undefined), ...usual } };
}

/** A schema as far as version 2 and its readers can say it. */
function versionTwo(schema: Schema): Json {
  const isNull = schema["nullable"] === true;
  const isOpen = schema[PRESERVES] === true;
  const kept: Json = {};
  for (const [name, value] of Object.entries(schema)) {
    if (COMBINATIONS.has(name) || name === "nullable") continue;
    if ((isNull || isOpen) && (name === "items" || name === "properties")) continue;
    kept[name] = inner(name, value);
  }
  if (isNull || (isOpen && schema["type"] === "object") || (schema["type"] === "array" && kept["items"] === undefined)) delete kept["type"];
  const nullable = Object.entries((schema["properties"] ?? {}) as Record<string, Schema>).filter(([, property]) => property["nullable"] === true).map(([name]) => name);
  const required = (kept["required"] as string[] | undefined)?.filter((name) => !nullable.includes(name));
  if (required?.length === 0) delete kept["required"];
  else if (required) kept["required"] = required;
  return kept;
}

function inner(name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (name === "properties") return Object.fromEntries(Object.entries(value).map(([key, schema]) => [key, versionTwo(schema as Schema)]));
  return name === "items" || name === "additionalProperties" ? versionTwo(value as Schema) : value;
}

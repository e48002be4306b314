// The types that are more than their fields: they have no model of their own, and the engine knows each by name.
// Names are those of the published definitions.

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/** How a value of a special type is read and written. */
export type SpecialType = "quantity" | "intOrString" | "time" | "microTime" | "raw" | "any";

export interface SpecialDefinition {
  readonly name: string;
  readonly type: SpecialType;
  /** What OpenAPI 3 says of it, beyond the description. */
  readonly v3: Readonly<Record<string, unknown>>;
  /** What OpenAPI 2 says of it, where that differs. */
  readonly v2?: Readonly<Record<string, unknown>>;
  readonly description: string;
}

/** By the short name facts use. */
export const SPECIAL_TYPES: Readonly<Record<string, SpecialDefinition>> = {
  Quantity: {
    name: "io.k8s.apimachinery.pkg.api.resource.Quantity", type: "quantity", v3: { oneOf: [{ type: "string" }, { type: "number" }] }, v2: { type: "string" },
    description: "An exact amount of a resource, such as 250m, 1.5Gi or 12e6: a decimal number with a decimal (n u m k M G T P E), binary (Ki Mi Gi Ti Pi Ei) or exponent (e3) suffix. It is stored in its canonical form: no fraction, the largest suffix that loses nothing.",
  },
  IntOrString: {
    name: "io.k8s.apimachinery.pkg.util.intstr.IntOrString", type: "intOrString", v3: { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] }, v2: { format: "int-or-string", type: "string" },
    description: "A 32-bit integer or a string, such as a port's number or its name.",
  },
  Time: { name: `${META}.Time`, type: "time", v3: { format: "date-time", type: "string" }, description: "A moment, as an RFC 3339 timestamp in seconds." },
  MicroTime: { name: `${META}.MicroTime`, type: "microTime", v3: { format: "date-time", type: "string" }, description: "A moment, as an RFC 3339 timestamp in microseconds." },
  FieldsV1: { name: `${META}.FieldsV1`, type: "raw", v3: { type: "object" }, description: "A set of fields as a trie in JSON: f:<name> is a field, k:<keys> a list item by its keys, v:<value> a list item by its value, i:<index> one by position, and . the node itself." },
  Patch: { name: `${META}.Patch`, type: "raw", v3: { type: "object" }, description: "The body of a PATCH request." },
  RawExtension: { name: "io.k8s.apimachinery.pkg.runtime.RawExtension", type: "raw", v3: { type: "object" }, description: "An object of any kind, kept as it is." },
  JSON: { name: `${EXTENSIONS}.JSON`, type: "any", v3: {}, description: "Any JSON value." },
  JSONSchemaPropsOrArray: { name: `${EXTENSIONS}.JSONSchemaPropsOrArray`, type: "any", v3: {}, description: "A schema, or a list of schemas." },
  JSONSchemaPropsOrBool: { name: `${EXTENSIONS}.JSONSchemaPropsOrBool`, type: "any", v3: {}, description: "A schema, or true or false." },
  JSONSchemaPropsOrStringArray: { name: `${EXTENSIONS}.JSONSchemaPropsOrStringArray`, type: "any", v3: {}, description: "A schema, or a list of strings." },
  CustomResourceSubresourceStatus: { name: `${EXTENSIONS}.CustomResourceSubresourceStatus`, type: "raw", v3: { type: "object" }, description: "Serves the /status subresource: writes there change nothing but the status, and all other writes never change it." },
};

/** By definition name. */
export const SPECIAL_BY_NAME: ReadonlyMap<string, SpecialDefinition> = new Map(Object.values(SPECIAL_TYPES).map((special) => [special.name, special]));

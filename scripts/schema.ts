// Derives the schema of every served kind from the published client models and the facts they lack, as a build product:
// `dist/schema.data` (types, read by the engine) and `dist/schema-docs.data` (descriptions, read for OpenAPI only).
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KINDS } from "../api/kinds.ts";
import { ATOMIC_TYPES, UNIONS, readFacts, type FieldFact, type Presence } from "../api/schema/facts.ts";
import type { DefinitionData, DocsData, FieldData, SchemaData } from "../api/schema/data.ts";
import { SPECIAL_TYPES } from "../api/schema/special.ts";
import { readParameters } from "./schema-parameters.ts";

const root = join(import.meta.dir, "..");
const CLIENT = join(root, "node_modules/@kubernetes/client-node/dist/gen");
const MODELS = join(CLIENT, "models");
const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const GROUP_PREFIXES = "Admissionregistration|Apiextensions|Apiregistration|Authentication|Core|Discovery|Events|Flowcontrol|Rbac|Resource|Storage";
const MODEL_NAME = new RegExp(`^(${GROUP_PREFIXES})?(V\\d+)(.+)$`);
/** Types of the meta package that other types or the paths refer to. */
const META_MODELS = [
  "V1ObjectMeta", "V1ListMeta", "V1Status", "V1DeleteOptions", "V1APIGroup", "V1APIGroupList", "V1APIResourceList", "V1APIVersions", "V1Condition",
  "V1FieldSelectorRequirement", "V1LabelSelector", "V1WatchEvent", "V1GroupVersionKind", "V1GroupVersionResource", "V1OwnerReference",
];

/** Types of another package than that of the first type that refers to them. */
const CORE_MODELS = ["V1TopologySelectorTerm"];

interface Model {
  readonly name: string;
  readonly description: string;
  readonly fields: readonly { readonly name: string; readonly type: string; readonly format: string; readonly isRequired: boolean; readonly description: string }[];
}

export function buildSchema(): { schema: SchemaData; docs: DocsData } {
  const facts = readFacts();
  const names = nameModels();
  const definitions: Record<string, DefinitionData> = {};
  const docs: Record<string, Record<string, string>> = {};
  const used = new Set<string>();
  for (const [model, definition] of names) {
    const { fields, description } = readModel(model);
    const known = facts.get(shortName(definition));
    const data: Record<string, FieldData> = {};
    docs[definition] = { "": description };
    for (const field of fields) {
      const fact = known?.get(field.name) ?? {};
      used.add(`${shortName(definition)}.${field.name}`);
      data[field.name] = fieldData(definition, field, { fact, names });
      if (field.description !== "") (docs[definition] as Record<string, string>)[field.name] = field.description;
    }
    const short = shortName(definition);
    definitions[definition] = { f: data, ...(ATOMIC_TYPES.has(short) && { atomic: true as const }), ...(UNIONS[short] && { union: UNIONS[short] }) };
  }
  for (const [type, fields] of facts) for (const field of fields.keys()) if (!used.has(`${type}.${field}`)) throw new Error(`a fact about ${type}.${field}, which no model has`);
  const texts = Object.fromEntries(Object.entries(definitions).map(([name, data]) => [name, JSON.stringify(data)]));
  const allDocs: DocsData = { descriptions: docs, parameters: readParameters(join(CLIENT, "types/ObjectParamAPI.d.ts")) };
  const digest = createHash("sha256").update(JSON.stringify([texts, allDocs])).digest("hex");
  return { schema: { definitions: texts, digest }, docs: allDocs };
}

/** Writes both products, each in one rename, so that tests of many processes may do it at once. */
export function writeSchema(): void {
  const { schema, docs } = buildSchema();
  mkdirSync(join(root, "dist"), { recursive: true });
  for (const [file, content] of [["schema.data", schema], ["schema-docs.data", docs]] as const) {
    const draft = join(root, "dist", `.${file}.${process.pid}`);
    writeFileSync(draft, JSON.stringify(content));
    renameSync(draft, join(root, "dist", file));
  }
}

function fieldData(definition: string, field: Model["fields"][number], { fact, names }: { fact: FieldFact; names: ReadonlyMap<string, string> }): FieldData {
  const type = typeOf(field, fact, names);
  const presence = fact.presence ?? usualPresence(definition, field, type);
  const data: FieldData = { t: type };
  if (field.isRequired) data.r = true;
  if (presence !== "pointer") data.p = presence;
  if (fact.listKeys) data.k = fact.listKeys;
  if (type === "B" && fact.listType === "atomic") data.l = "atomic";
  if (type.startsWith("[]") && fact.listType !== "none" && !fact.listKeys && !(definition.endsWith("List") && field.name === "items")) data.l = fact.listType === "set" ? "set" : "atomic";
  if (fact.mapType) data.m = fact.mapType;
  if (fact.strategy) data.s = fact.strategy;
  if (fact.mergeKey) data.mk = fact.mergeKey;
  if ("publishedDefault" in fact) data.d = fact.publishedDefault === undefined ? { none: true } : { v: fact.publishedDefault };
  if (fact.default !== undefined) data.a = fact.default;
  return data;
}

/** Most optional strings, booleans, lists and maps are plain Go values, most optional numbers and structs pointers. */
function usualPresence(definition: string, field: Model["fields"][number], type: string): Presence {
  if (type === `#${META}.ObjectMeta` || type === `#${META}.ListMeta`) return "always";
  if (field.isRequired) return "always";
  if (type.startsWith("#") && (field.name === "spec" || field.name === "status") && isKind(definition)) return "always";
  return /^(s|B|b|\[\]|\{\})/.test(type) ? "value" : "pointer";
}

function isKind(definition: string): boolean {
  const name = definition.slice(definition.lastIndexOf(".") + 1);
  return KINDS.some((kind) => kind.kind === name || Object.values(kind.subresources).some((sub) => sub.gvk.kind === name));
}

/** A type expression: `s` string, `b` boolean, `i32`, `i64`, `f64`, `B` bytes, `*` anything, `[]T`, `{}T`, `#definition`. */
function typeOf(field: Model["fields"][number], fact: FieldFact, names: ReadonlyMap<string, string>): string {
  const wrap = (type: string): string => {
    const list = /^Array<(.*)>$/.exec(type)?.[1];
    if (list) return `[]${wrap(list)}`;
    const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
    if (map) return `{}${wrap(map)}`;
    if (fact.type) return `#${SPECIAL_TYPES[fact.type]?.name}`;
    switch (type) {
      case "string": return field.format === "byte" ? "B" : "s";
      case "boolean": return "b";
      case "number": return field.format === "int32" ? "i32" : field.format === "double" ? "f64" : "i64";
      case "Date": return `#${META}.Time`;
      case "V1MicroTime": return `#${META}.MicroTime`;
      case "IntOrString": return `#${SPECIAL_TYPES.IntOrString?.name}`;
      case "any": return "*";
      default: return `#${names.get(type)}`;
    }
  };
  return wrap(field.type);
}

/** The definition name of every model reachable from the served kinds. */
function nameModels(): Map<string, string> {
  const names = new Map<string, string>();
  for (const model of META_MODELS) if (hasModel(model)) reach(model, META, names);
  for (const model of CORE_MODELS) reach(model, packageOf("", "v1"), names);
  names.set("VersionInfo", "io.k8s.apimachinery.pkg.version.Info");
  const roots = KINDS.flatMap((kind) => [kind, { ...kind, kind: `${kind.kind}List` }, ...Object.values(kind.subresources).map((sub) => sub.gvk)]);
  for (const gvk of [...roots.filter((r) => r.group === ""), ...roots.filter((r) => r.group !== "")]) {
    const model = modelOf(gvk);
    if (model) reach(model, packageOf(gvk.group, gvk.version), names);
  }
  return names;
}

function reach(model: string, home: string, names: Map<string, string>): void {
  if (names.has(model)) return;
  const [, prefix, version, kind] = MODEL_NAME.exec(model) ?? [];
  if (!kind) return;
  const base = prefix ? packageOfPrefix(prefix, version as string) : home;
  names.set(model, `${base}.${kind}`);
  for (const field of readModel(model).fields) {
    const inner = /(?:Array<|: )*([A-Z]\w*V\d\w+|V\d\w+)/.exec(field.type)?.[1];
    if (inner && inner !== "V1MicroTime") reach(inner, base, names);
  }
}

function modelOf(gvk: { group: string; version: string; kind: string }): string | undefined {
  const version = gvk.version.toUpperCase();
  const label = (gvk.group === "" ? "core" : gvk.group.split(".")[0]) as string;
  const prefix = label[0]?.toUpperCase() + label.slice(1);
  return [`${prefix}${version}${gvk.kind}`, `${version}${gvk.kind}`].find(hasModel);
}

function packageOf(group: string, version: string): string {
  if (group === "apiextensions.k8s.io") return `io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.${version}`;
  if (group === "apiregistration.k8s.io") return `io.k8s.kube-aggregator.pkg.apis.apiregistration.${version}`;
  return `io.k8s.api.${group === "" ? "core" : group.split(".")[0]}.${version}`;
}

function packageOfPrefix(prefix: string, version: string): string {
  const group = prefix === "Core" ? "" : prefix.toLowerCase();
  return packageOf(prefix === "Apiextensions" || prefix === "Apiregistration" ? `${group}.k8s.io` : group, version.toLowerCase());
}

/** `core.v1.Pod`, the name facts use. */
function shortName(definition: string): string {
  return definition.split(".").slice(-3).join(".");
}

const models = new Map<string, Model | undefined>();

function hasModel(name: string): boolean {
  try {
    readModel(name);
    return true;
  } catch {
    return false;
  }
}

function readModel(name: string): Model {
  const known = models.get(name);
  if (known) return known;
  const source = readFileSync(join(MODELS, `${name}.js`), "utf8");
  const types = readFileSync(join(MODELS, `${name}.d.ts`), "utf8");
  const attributes = JSON.parse(/attributeTypeMap = (\[[\s\S]*?\n\]|\[\]);/.exec(source)?.[1] as string) as { name: string; baseName: string; type: string; format: string }[];
  const declared = new Map([...types.matchAll(/(?:\/\*\*\n((?:(?!\*\/)[\s\S])*?)\s*\*\/\n\s*)?^ {4}'([^']+)'(\?)?:/gm)].map((m) => [m[2] as string, m]));
  const model: Model = {
    name,
    description: textOf(/\/\*\*\n((?:(?!\*\/)[\s\S])*?)\*\/\nexport declare class/.exec(types)?.[1]),
    fields: attributes.map((attribute) => {
      const declaration = declared.get(attribute.name);
      return { name: attribute.baseName, type: attribute.type, format: attribute.format, isRequired: declaration?.[3] !== "?", description: textOf(declaration?.[1]) };
    }),
  };
  models.set(name, model);
  return model;
}

/** The prose of a doc comment, without its stars and escapes. */
function textOf(comment: string | undefined): string {
  if (comment === undefined) return "";
  return comment.split("\n").map((line) => line.replace(/^\s*\* ?/, "")).join("\n").trim().replace(/\\(['"\\`])/g, "$1").replaceAll("*_/", "*/").replaceAll("/_*", "/*");
}

if (import.meta.main) writeSchema();

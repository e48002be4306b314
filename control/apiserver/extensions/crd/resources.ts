// What a CustomResourceDefinition makes of its versions: rows for the table of kinds, and the behaviour of their objects.
// Serving them is left to `definitions.ts`, the schema to `api/schema`.
import { field, type FieldError } from "../../../../api/errors.ts";
import { row, type KindInfo } from "../../../../api/kinds.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { cloneJson } from "../../json.ts";
import { dnsSubdomain, forPrefix } from "../../kinds/validation/names.ts";
import type { Strategy, UpdateRules } from "../../kinds/strategy.ts";
import { findAll, parseJsonPath } from "./jsonpath.ts";
import { customPrinter } from "./printer.ts";
import type { Rules } from "./rules.ts";
import { hasCondition, type Crd, type CrdVersion, type JsonSchema, type ScalePaths } from "./schema.ts";
import { validateListTypes, validateValue } from "./values.ts";

const ENDING_VERBS = ["delete", "deletecollection", "get", "list", "watch"] as const;

/** The row of one version. */
export function kindOf(crd: Crd, version: CrdVersion): KindInfo {
  const { spec } = crd;
  const { group, names, scope } = spec;
  const { status, scale } = version.subresources ?? {};
  const kind = row(group, version.name, names.plural, names.kind, scope === "Namespaced", {
    singular: names.singular || names.kind.toLowerCase(), shortNames: names.shortNames ?? [], categories: names.categories ?? [],
    subresources: { ...(scale && { scale: { as: ["autoscaling", "v1", "Scale"] as const } }), ...(status && { status: {} }) },
  });
  return { ...kind, isCustom: true, ...(hasCondition(crd, "Terminating") && { listedVerbs: ENDING_VERBS }), ...(names.listKind && names.listKind !== `${names.kind}List` && { listKind: names.listKind }) };
}

/** How objects of one version behave. */
export function customStrategy(crd: Crd, version: CrdVersion, rules: Rules): Strategy {
  const schema = version.schema?.openAPIV3Schema;
  const { group, names } = crd.spec;
  const main: UpdateRules = { validateUpdate: (object, old) => errorsOf({ schema, rules, object, old }) };
  return {
    group, kind: names.kind, hasGeneration: true, allowUnconditionalUpdate: false,
    ...(version.deprecated && { deprecation: version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated` }),
    validateCreate: (object) => errorsOf({ schema, rules, object }),
    validateName: forPrefix(dnsSubdomain),
    ...main,
    subresources: { status: { ...main, prepareForUpdate: keepMetadata } },
    printer: customPrinter(version.additionalPrinterColumns),
    ...selectable(version),
    ...(version.subresources?.scale && { scale: scaleOf(version.subresources.scale) }),
  };
}

/** Writes to `/status` change no metadata but who manages what. */
function keepMetadata(object: AnyObject, old: AnyObject): void {
  const { managedFields, resourceVersion } = object.metadata;
  object.metadata = { ...old.metadata, ...(resourceVersion !== undefined && { resourceVersion }) };
  if (managedFields) object.metadata.managedFields = managedFields;
  else delete object.metadata.managedFields;
}

interface Checked {
  readonly schema: JsonSchema | undefined;
  readonly rules: Rules;
  readonly object: AnyObject;
  readonly old?: AnyObject;
}

function errorsOf({ schema, rules, object, old }: Checked): FieldError[] {
  if (!schema) return [];
  const errors = [...validateValue(schema, object, { old }), ...embeddedErrors(schema, object), ...validateListTypes(schema, object)];
  // Rules are told on values of the right shape only.
  return errors.length > 0 ? errors : rules.check(object, old);
}

/** Embedded objects say what they are. */
function embeddedErrors(schema: JsonSchema, value: unknown, path = ""): FieldError[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return schema.items ? value.flatMap((item, index) => embeddedErrors(schema.items as JsonSchema, item, `${path}[${index}]`)) : [];
  const object = value as Record<string, unknown>;
  const own = schema["x-kubernetes-embedded-resource"] ? ["apiVersion", "kind"].filter((name) => !object[name]).map((name) => field.required(`${path}.${name}`, "must not be empty")) : [];
  const { properties = {}, additionalProperties } = schema;
  return [...own, ...Object.entries(object).flatMap(([key, inner]) => {
    const found = properties[key] ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    return found ? embeddedErrors(found, inner, path === "" ? key : `${path}.${key}`) : [];
  })];
}

function selectable({ selectableFields = [] }: CrdVersion): Pick<Strategy, "selectableFields"> {
  if (selectableFields.length === 0) return {};
  const fields = selectableFields.map(({ jsonPath }) => ({ name: jsonPath.replace(/^\./, ""), steps: parseJsonPath(jsonPath) ?? [] }));
  return {
    selectableFields: (object) => Object.fromEntries(fields.map(({ name, steps }) => {
      const [value] = findAll(object, steps);
      return [name, value === undefined || value === null ? "" : String(value)];
    })),
  };
}

function scaleOf({ specReplicasPath, statusReplicasPath, labelSelectorPath }: ScalePaths): NonNullable<Strategy["scale"]> {
  const [specReplicas, statusReplicas, selector] = [reader(specReplicasPath), reader(statusReplicasPath), reader(labelSelectorPath)];
  return {
    replicas: (object) => asNumber(specReplicas(object)),
    statusReplicas: (object) => asNumber(statusReplicas(object)),
    selector: (object) => String(selector(object) ?? ""),
    setReplicas: (object, replicas) => setField(object, specReplicasPath.split(".").filter(Boolean), replicas),
  };
}

function reader(path: string | undefined): (object: AnyObject) => unknown {
  const steps = path === undefined ? [] : (parseJsonPath(path) ?? []);
  return (object) => (steps.length === 0 ? undefined : findAll(object, steps)[0]);
}

function asNumber(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function setField(object: AnyObject, path: readonly string[], value: unknown): void {
  let at: Record<string, unknown> = object;
  for (const name of path.slice(0, -1)) {
    at[name] = typeof at[name] === "object" && at[name] !== null ? cloneJson(at[name]) : {};
    at = at[name] as Record<string, unknown>;
  }
  at[path.at(-1) as string] = value;
}

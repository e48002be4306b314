// CustomResourceDefinitions as objects: what is filled in, and what may be written in them.
// Rules and wording: apiextensions-apiserver/pkg/apis/apiextensions/validation.
import { field, type FieldError } from "../../../../api/errors.ts";
import { equalJson } from "../../json.ts";
import { define } from "../../kinds/define.ts";
import { nameColumn, printer, text } from "../../kinds/print/columns.ts";
import { dnsSubdomain } from "../../kinds/validation/names.ts";
import { parseJsonPath } from "./jsonpath.ts";
import { hasCondition, storageVersionOf, type Crd, type CrdNames, type CrdVersion, type JsonSchema } from "./schema.ts";
import { ruleErrors } from "./rules.ts";
import { structuralErrors } from "./structural.ts";

/** What empties a kind before its definition goes. */
export const CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

const DNS_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const DNS_1035_SENTENCE = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const MAX_SELECTABLE_FIELDS = 8;
const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];

export const crdStrategy = define<Crd>({
  group: "apiextensions.k8s.io", kind: "CustomResourceDefinition", hasGeneration: true, keepsStatusOnCreate: true, allowUnconditionalUpdate: false,
  applyDefaults({ spec }) {
    if (!spec) return;
    const names = spec.names as { -readonly [Name in keyof CrdNames]: CrdNames[Name] } | undefined;
    if (names?.kind) {
      names.singular ||= names.kind.toLowerCase();
      names.listKind ||= `${names.kind}List`;
    }
    const { conversion } = Object.assign(spec, { conversion: spec.conversion ?? { strategy: "None" } });
    const service = conversion.webhook?.clientConfig?.service as { port?: number } | undefined;
    if (service) service.port ??= 443;
  },
  prepareForCreate(crd) {
    crd.status = { conditions: [], acceptedNames: { plural: "", kind: "" }, storedVersions: (crd.spec?.versions ?? []).filter(({ storage }) => storage).map(({ name }) => name) };
    const finalizers = crd.metadata.finalizers ?? [];
    if (!finalizers.includes(CLEANUP_FINALIZER)) crd.metadata.finalizers = [...finalizers, CLEANUP_FINALIZER];
  },
  prepareForUpdate(crd) {
    if (!isWhole(crd)) return;
    const stored = crd.status?.storedVersions ?? [];
    const storage = crd.spec.versions.find((version) => version.storage)?.name;
    if (storage !== undefined && !stored.includes(storage)) crd.status = { ...crd.status, storedVersions: [...stored, storage] };
  },
  validate: (crd) => specErrors(crd),
  validateCreate: ({ metadata, spec }) => (metadata.name === `${spec?.names?.plural}.${spec?.group}` ? [] : [field.invalid("metadata.name", metadata.name, 'must be spec.names.plural+"."+spec.group')]),
  validateUpdate: (crd, old) => (isWhole(crd) ? [...immutableErrors(crd, old), ...storedVersionErrors(crd)] : []),
  subresources: {
    status: {
      validateUpdate: (crd) => storedVersionErrors(crd),
    },
  },
  printer: printer(nameColumn(), text("Created At", ({ metadata }) => metadata.creationTimestamp ?? "")),
});

/** A patch may take away what every definition has; `specErrors` tells what is missing. */
function isWhole({ spec }: Crd): boolean {
  const { names, versions } = (spec ?? {}) as Partial<Crd["spec"]>;
  return names !== undefined && (versions ?? []).length > 0;
}

function specErrors(crd: Crd): FieldError[] {
  const { spec } = crd;
  if (!spec) return [field.required("spec")];
  const { group = "", scope = "", versions = [] } = spec;
  const errors: FieldError[] = [];
  if (group === "") errors.push(field.required("spec.group"));
  else if (dnsSubdomain(group).length > 0) errors.push(field.invalid("spec.group", group, dnsSubdomain(group).join(",")));
  else if (!group.includes(".")) errors.push(field.invalid("spec.group", group, "should be a domain with at least one dot"));
  if (scope === "") errors.push(field.required("spec.scope"));
  else if (!["Cluster", "Namespaced"].includes(scope)) errors.push(field.notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  versions.forEach((version, index) => errors.push(...versionErrors(version, `spec.versions[${index}]`)));
  if (new Set(versions.map(({ name }) => name)).size < versions.length) errors.push(field.invalid("spec.versions", versions, "must contain unique version names"));
  if (versions.filter(({ storage }) => storage).length !== 1) errors.push(field.invalid("spec.versions", versions, "must have exactly one version marked as storage version"));
  return [...errors, ...nameErrors(spec.names), ...conversionErrors(crd), ...approvalErrors(crd)];
}

function versionErrors(version: CrdVersion, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const schema = version.schema?.openAPIV3Schema;
  if (!DNS_1035.test(version.name ?? "") || version.name.length > 63) errors.push(field.invalid(`${path}.name`, version.name ?? "", DNS_1035_SENTENCE));
  if (version.deprecationWarning !== undefined && !version.deprecated) errors.push(field.invalid(`${path}.deprecationWarning`, version.deprecationWarning, "can only be set for deprecated versions"));
  if (version.deprecationWarning === "") errors.push(field.invalid(`${path}.deprecationWarning`, "", "must not be an empty string"));
  if (!schema) errors.push(field.required(`${path}.schema.openAPIV3Schema`));
  else errors.push(...schemaErrors(schema, `${path}.schema.openAPIV3Schema`));
  version.additionalPrinterColumns?.forEach((column, index) => errors.push(...columnErrors(column as unknown as Record<string, string>, `${path}.additionalPrinterColumns[${index}]`)));
  return [...errors, ...scaleErrors(version, path), ...selectableErrors(version, schema, `${path}.selectableFields`)];
}

/** Rules are only looked at where the schema is sound. */
function schemaErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors = structuralErrors(schema, path);
  return errors.length > 0 ? errors : ruleErrors(schema, path);
}

function columnErrors(column: Readonly<Record<string, string>>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!column["name"]) errors.push(field.required(`${path}.name`));
  if (!column["type"]) errors.push(field.required(`${path}.type`));
  else if (!COLUMN_TYPES.includes(column["type"])) errors.push(field.invalid(`${path}.type`, column["type"], `must be one of ${COLUMN_TYPES.join(",")}`));
  const jsonPath = column["jsonPath"];
  if (!jsonPath) errors.push(field.required(`${path}.jsonPath`));
  else if (!jsonPath.startsWith(".") || !parseJsonPath(jsonPath)) errors.push(field.invalid(`${path}.jsonPath`, jsonPath, "is an invalid jsonPath: must start with a dot and be a simple path"));
  return errors;
}

function scaleErrors({ subresources }: CrdVersion, path: string): FieldError[] {
  const scale = subresources?.scale;
  if (!scale) return [];
  const at = `${path}.subresources.scale`;
  return (["specReplicasPath", "statusReplicasPath", "labelSelectorPath"] as const).flatMap((name) => {
    const value = scale[name];
    const roots = name === "specReplicasPath" ? [".spec."] : name === "statusReplicasPath" ? [".status."] : [".spec.", ".status."];
    if (!value) return name === "labelSelectorPath" ? [] : [field.required(`${at}.${name}`)];
    return roots.some((root) => value.startsWith(root)) ? [] : [field.invalid(`${at}.${name}`, value, `should be a json path under ${roots.map((root) => root.slice(0, -1)).join(" or ")}`)];
  });
}

function selectableErrors({ selectableFields = [] }: CrdVersion, schema: JsonSchema | undefined, path: string): FieldError[] {
  const errors: FieldError[] = selectableFields.length > MAX_SELECTABLE_FIELDS ? [field.tooMany(path, selectableFields.length, MAX_SELECTABLE_FIELDS)] : [];
  const seen = new Set<string>();
  selectableFields.forEach(({ jsonPath = "" }, index) => {
    const at = `${path}[${index}].jsonPath`;
    if (jsonPath === "") return void errors.push(field.required(at));
    if (seen.has(jsonPath)) errors.push(field.duplicate(at, jsonPath));
    seen.add(jsonPath);
    if (jsonPath.startsWith(".metadata")) return void errors.push(field.invalid(at, jsonPath, "must not point to fields in metadata"));
    const steps = parseJsonPath(jsonPath);
    if (!steps || steps.some(({ type }) => type !== "field")) return void errors.push(field.invalid(at, jsonPath, "is an invalid path: must be a simple json path"));
    let node: JsonSchema | undefined = schema;
    for (const step of steps) node = step.type === "field" ? node?.properties?.[step.name] : undefined;
    if (!node) errors.push(field.invalid(at, jsonPath, "is an invalid path: does not refer to a valid field"));
    else if (!["string", "boolean", "integer"].includes(node.type ?? "")) errors.push(field.invalid(at, jsonPath, "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."));
  });
  return errors;
}

function nameErrors(names: CrdNames | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ["plural", "singular", "kind", "listKind"] as const) {
    const value = names?.[name] ?? "";
    const isLabel = DNS_1035.test(value.toLowerCase()) && value.length <= 63;
    if (value === "") errors.push(field.required(`spec.names.${name}`));
    else if (!isLabel || (name === "plural" && value !== value.toLowerCase()) || (name === "singular" && value !== value.toLowerCase())) errors.push(field.invalid(`spec.names.${name}`, value, name === "kind" || name === "listKind" ? `may have mixed case, but should otherwise match: ${DNS_1035_SENTENCE}` : DNS_1035_SENTENCE));
  }
  for (const list of ["shortNames", "categories"] as const) {
    names?.[list]?.forEach((value, index) => {
      if (!DNS_1035.test(value)) errors.push(field.invalid(`spec.names.${list}[${index}]`, value, DNS_1035_SENTENCE));
    });
  }
  if (names?.kind && names.kind === names.listKind) errors.push(field.invalid("spec.names.listKind", names.listKind, "kind and listKind may not be the same"));
  return errors;
}

function conversionErrors({ spec: { conversion } }: Crd): FieldError[] {
  if (!conversion) return [];
  const path = "spec.conversion";
  const { strategy, webhook } = conversion;
  if (!strategy) return [field.required(`${path}.strategy`)];
  if (strategy === "None") return webhook ? [field.forbidden(`${path}.webhook`, "should not be set when strategy is not set to Webhook")] : [];
  if (strategy !== "Webhook") return [field.notSupported(`${path}.strategy`, strategy, ["None", "Webhook"])];
  const errors: FieldError[] = [];
  const config = webhook?.clientConfig;
  if (!config) errors.push(field.required(`${path}.webhookClientConfig`, "required when strategy is set to Webhook"));
  else if ((config.url === undefined) === (config.service === undefined)) errors.push(field.required(`${path}.webhookClientConfig`, "exactly one of url or service is required"));
  const versions = webhook?.conversionReviewVersions ?? [];
  if (versions.length === 0) errors.push(field.required(`${path}.conversionReviewVersions`));
  else if (!versions.some((version) => version === "v1" || version === "v1beta1")) errors.push(field.invalid(`${path}.conversionReviewVersions`, versions, "must include at least one of v1, v1beta1"));
  return errors;
}

const APPROVAL = "api-approved.kubernetes.io";

/** Groups of the project's own need an approval. */
function approvalErrors({ spec: { group }, metadata }: Crd): FieldError[] {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group ?? "")) return [];
  const value = metadata.annotations?.[APPROVAL];
  const path = `metadata.annotations[${APPROVAL}]`;
  if (value === undefined) return [field.required(path, "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111")];
  return value.startsWith("unapproved") || URL.canParse(value) ? [] : [field.invalid(path, value, "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111")];
}

function immutableErrors(crd: Crd, old: Crd): FieldError[] {
  const errors: FieldError[] = [];
  const check = (path: string, value: unknown, before: unknown): void => {
    if (!equalJson(value, before)) errors.push(field.invalid(path, value, "field is immutable"));
  };
  if (hasCondition(old, "Established")) {
    check("spec.scope", crd.spec.scope, old.spec.scope);
    check("spec.names.kind", crd.spec.names.kind, old.spec.names.kind);
  }
  check("spec.group", crd.spec.group, old.spec.group);
  check("spec.names.plural", crd.spec.names.plural, old.spec.names.plural);
  return errors;
}

function storedVersionErrors(crd: Crd): FieldError[] {
  const stored = crd.status?.storedVersions ?? [];
  const path = "status.storedVersions";
  if (stored.length === 0) return [field.invalid(path, stored, "must have at least one stored version")];
  const storage = storageVersionOf(crd).name;
  const errors = stored.includes(storage) ? [] : [field.invalid(path, stored, `must have the storage version ${storage}`)];
  stored.forEach((version, index) => {
    if (!crd.spec.versions.some(({ name }) => name === version)) errors.push(field.invalid(`${path}[${index}]`, version, `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`));
  });
  return errors;
}


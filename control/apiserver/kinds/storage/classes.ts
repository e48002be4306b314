// StorageClasses and VolumeAttributesClasses: what kinds of volumes there are.
import { field, type FieldError } from "../../../../api/errors.ts";
import { labelKeyErrors } from "../../../../api/labels.ts";
import type { KubeObject, StorageClass, VolumeAttributesClass } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, boolean, nameColumn, printer, text } from "../print/columns.ts";
import { checkImmutable, checkOptionalOneOf, isEqual, repeatsOf } from "../validation/values.ts";
import { checkParameters, checkProvisioner } from "./rules.ts";

type Term = NonNullable<StorageClass["allowedTopologies"]>[number];
const DEFAULT_ANNOTATIONS = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const isDefault = ({ metadata }: KubeObject): boolean => DEFAULT_ANNOTATIONS.some((name) => metadata.annotations?.[name] === "true");

export const storageClassStrategy = define<StorageClass>({
  group: "storage.k8s.io", kind: "StorageClass",
  validate(storage) {
    const errors: FieldError[] = [];
    checkProvisioner(errors, "provisioner", storage.provisioner);
    checkParameters(errors, storage.parameters ?? {});
    checkOptionalOneOf(errors, "reclaimPolicy", storage.reclaimPolicy, ["Delete", "Retain"]);
    checkOptionalOneOf(errors, "volumeBindingMode", storage.volumeBindingMode, ["Immediate", "WaitForFirstConsumer"]);
    const repeats = repeatsOf(storage.allowedTopologies ?? [], (term) => JSON.stringify(term));
    for (const [index, term] of (storage.allowedTopologies ?? []).entries()) {
      checkTopology(errors, `allowedTopologies[${index}]`, term);
      if (repeats.has(index)) errors.push(field.duplicate(`allowedTopologies[${index}].matchLabelExpressions`, ""));
    }
    return errors;
  },
  validateUpdate(storage, old) {
    const errors: FieldError[] = [];
    for (const name of ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] as const) checkImmutable(errors, name, storage[name], old[name]);
    return errors;
  },
  printer: printer(
    nameColumn((storage) => `${storage.metadata.name}${isDefault(storage) ? " (default)" : ""}`),
    text("Provisioner", ({ provisioner }) => provisioner ?? "", "Who makes volumes of the class."),
    text("ReclaimPolicy", ({ reclaimPolicy }) => reclaimPolicy ?? "Delete", "What happens to a volume whose claim is gone."),
    text("VolumeBindingMode", ({ volumeBindingMode }) => volumeBindingMode ?? "Immediate", "When a volume is made and bound."),
    { ...boolean<StorageClass>("AllowVolumeExpansion", ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false, "Whether volumes may grow."), type: "string" },
    ageColumn(),
  ),
});

function checkTopology(errors: FieldError[], path: string, { matchLabelExpressions: expressions = [] }: Term): void {
  const repeats = repeatsOf(expressions, ({ key }) => key);
  for (const [index, { key, values = [] }] of expressions.entries()) {
    const at = `${path}.matchLabelExpressions[${index}]`;
    if (values.length === 0) errors.push(field.required(`${at}.values`));
    for (const valueIndex of repeatsOf(values)) errors.push(field.duplicate(`${at}.values[${valueIndex}]`, values[valueIndex]));
    for (const sentence of labelKeyErrors(key)) errors.push(field.invalid(`${at}.key`, key, sentence));
    if (repeats.has(index)) errors.push(field.duplicate(`${at}.key`, key));
  }
}

export const volumeAttributesClassStrategy = define<VolumeAttributesClass>({
  group: "storage.k8s.io", kind: "VolumeAttributesClass",
  validate({ driverName, parameters = {} }) {
    const errors: FieldError[] = [];
    checkProvisioner(errors, "driverName", driverName);
    checkParameters(errors, parameters);
    if (Object.keys(parameters).length === 0) errors.push(field.required("parameters", "must contain at least one key/value pair"));
    return errors;
  },
  validateUpdate({ driverName, parameters }, old) {
    const errors: FieldError[] = [];
    if (driverName !== old.driverName) errors.push(field.forbidden("driverName", "updates to driverName are forbidden."));
    if (!isEqual(parameters ?? {}, old.parameters ?? {})) errors.push(field.forbidden("parameters", "updates to parameters are forbidden."));
    return errors;
  },
  printer: printer(nameColumn(), text("DriverName", ({ driverName }) => driverName ?? "", "Who changes volumes to the class."), ageColumn()),
});

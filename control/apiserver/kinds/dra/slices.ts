// ResourceSlices: the devices a driver has, on which nodes.
import { field, type FieldError } from "../../../../api/errors.ts";
import { labelValueErrors } from "../../../../api/labels.ts";
import type { ResourceSlice } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { checkNodeSelector } from "../pod/validate/scheduling.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { checkDriverName } from "../storage/rules.ts";
import { check, dnsLabel, dnsSubdomain, qualifiedName } from "../validation/names.ts";
import { checkImmutable, wrong } from "../validation/values.ts";
import { checkAttributeName, checkItems, checkPoolName } from "./rules.ts";

type Spec = NonNullable<ResourceSlice["spec"]>;
type Device = NonNullable<Spec["devices"]>[number];
type Attribute = NonNullable<Device["attributes"]>[string];
type Where = Pick<Spec, "nodeName" | "nodeSelector" | "allNodes">;

const MAX_DEVICES = 128;
const MAX_ADVANCED_DEVICES = 64;
const MAX_COUNTER_SETS = 8;
const MAX_COUNTERS = 32;
const MAX_CONSUMPTIONS = 2;
const MAX_ATTRIBUTES = 32;
const MAX_VALUE = 64;
const MAX_TAINTS = 16;
const MAX_BINDINGS = 4;
const EFFECTS = ["NoExecute", "NoSchedule", "None"];
const SEMVER = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;

export const resourceSliceStrategy = define<ResourceSlice>({
  group: "resource.k8s.io", kind: "ResourceSlice",
  hasGeneration: true,
  prepareForCreate: (slice, { now }) => stampTaints(slice, now),
  prepareForUpdate: (slice, _, { now }) => stampTaints(slice, now),
  validate: ({ spec }) => specErrors(spec),
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.pool.name", spec?.pool?.name, old?.pool?.name);
    checkImmutable(errors, "spec.driver", spec?.driver, old?.driver);
    checkImmutable(errors, "spec.nodeName", spec?.nodeName, old?.nodeName);
    return errors;
  },
  selectableFields: ({ spec }) => ({ "spec.nodeName": spec?.nodeName ?? "", "spec.driver": spec?.driver ?? "" }),
  printer: printer(
    nameColumn(),
    text("Node", ({ spec }) => spec?.nodeName ?? "", "The node the devices are on."),
    text("Driver", ({ spec }) => spec?.driver ?? "", "Who manages them."),
    text("Pool", ({ spec }) => spec?.pool?.name ?? "", "Which devices they belong with."),
    ageColumn(),
  ),
});

function stampTaints({ spec }: ResourceSlice, now: string): void {
  for (const { taints = [] } of spec?.devices ?? []) for (const taint of taints) taint.timeAdded ??= now;
}

function specErrors(spec: Spec | undefined): FieldError[] {
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  const { pool, devices = [], sharedCounters } = spec;
  checkDriverName(errors, "spec.driver", spec.driver);
  checkPoolName(errors, "spec.pool.name", pool?.name);
  if ((pool?.resourceSliceCount ?? 0) <= 0) errors.push(field.invalid("spec.pool.resourceSliceCount", pool?.resourceSliceCount ?? 0, "must be greater than zero"));
  if ((pool?.generation ?? 0) < 0) errors.push(field.invalid("spec.pool.generation", pool?.generation, "must be greater than or equal to zero"));
  checkPlaces(errors, spec);
  if (sharedCounters && spec.devices) errors.push(field.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"));
  const isAdvanced = devices.some(({ taints, consumesCounters }) => taints?.length || consumesCounters?.length);
  checkItems(errors, "spec.devices", devices, { max: isAdvanced ? MAX_ADVANCED_DEVICES : MAX_DEVICES, item: (device, path) => checkDevice(errors, path, device, spec.perDeviceNodeSelection ?? false), key: ({ name }) => name });
  checkItems(errors, "spec.sharedCounters", sharedCounters, {
    max: MAX_COUNTER_SETS,
    item({ name, counters }, path) {
      if (name) check(errors, `${path}.name`, name, dnsLabel);
      else errors.push(field.required(`${path}.name`));
      checkCounters(errors, `${path}.counters`, counters);
    },
    key: ({ name }) => name,
  });
  return errors;
}

/** Exactly one way of saying which nodes the devices are on. */
function checkPlaces(errors: FieldError[], spec: Spec): void {
  const set = placesOf(errors, "spec", spec, "must be either unset or set to a non-empty string");
  if (spec.nodeSelector && spec.nodeSelector.nodeSelectorTerms?.length !== 1) errors.push(field.invalid("spec.nodeSelector.nodeSelectorTerms", spec.nodeSelector.nodeSelectorTerms, "must have exactly one node selector term"));
  if (spec.perDeviceNodeSelection === true) set.push("`perDeviceNodeSelection`");
  else if (spec.perDeviceNodeSelection === false) errors.push(field.invalid("spec.perDeviceNodeSelection", false, "must be either unset or set to true"));
  const rule = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (set.length === 0) errors.push(field.required("spec", rule));
  else if (set.length > 1) errors.push(field.invalid("spec", `{${set.join(", ")}}`, `${rule}, but multiple fields are set`));
}

function placesOf(errors: FieldError[], path: string, { nodeName, nodeSelector, allNodes }: Where, empty: string): string[] {
  const set: string[] = [];
  if (nodeName) {
    set.push("`nodeName`");
    check(errors, `${path}.nodeName`, nodeName, dnsSubdomain);
  } else if (nodeName === "") errors.push(field.invalid(`${path}.nodeName`, nodeName, empty));
  if (nodeSelector) {
    set.push("`nodeSelector`");
    checkNodeSelector(errors, `${path}.nodeSelector`, nodeSelector);
  }
  if (allNodes === true) set.push("`allNodes`");
  else if (allNodes === false) errors.push(field.invalid(`${path}.allNodes`, false, "must be either unset or set to true"));
  return set;
}

function checkDevice(errors: FieldError[], path: string, device: Device, hasPlace: boolean): void {
  const { attributes = {}, capacity = {} } = device;
  check(errors, `${path}.name`, device.name ?? "", dnsLabel);
  const count = Object.keys(attributes).length + Object.keys(capacity).length;
  if (count > MAX_ATTRIBUTES) errors.push(field.invalid(path, count, `the total number of attributes and capacities must not exceed ${MAX_ATTRIBUTES}`));
  for (const [name, attribute] of Object.entries(attributes)) {
    checkAttributeName(errors, `${path}.attributes`, name);
    checkAttribute(errors, `${path}.attributes[${name}]`, attribute);
  }
  for (const [name, { requestPolicy }] of Object.entries(capacity)) {
    checkAttributeName(errors, `${path}.capacity`, name);
    if (requestPolicy && !device.allowMultipleAllocations) errors.push(field.forbidden(`${path}.capacity[${name}].requestPolicy`, "allowMultipleAllocations must be true"));
  }
  checkTaints(errors, `${path}.taints`, device.taints);
  checkItems(errors, `${path}.consumesCounters`, device.consumesCounters, {
    max: MAX_CONSUMPTIONS,
    item({ counterSet, counters }, at) {
      if (counterSet) check(errors, `${at}.counterSet`, counterSet, dnsLabel);
      else errors.push(field.required(`${at}.counterSet`));
      checkCounters(errors, `${at}.counters`, counters);
    },
    key: ({ counterSet }) => counterSet,
  });
  checkPlace(errors, path, device, hasPlace);
  checkBindings(errors, path, device);
}

function checkPlace(errors: FieldError[], path: string, device: Device, hasPlace: boolean): void {
  const { nodeName, nodeSelector, allNodes } = device;
  if (!hasPlace) {
    if (nodeName !== undefined || nodeSelector !== undefined || allNodes !== undefined) errors.push(wrong(path, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"));
    return;
  }
  const rule = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
  const set = placesOf(errors, path, device, "must not be empty");
  if (set.length === 0) errors.push(field.required(path, rule));
  else if (set.length > 1) errors.push(field.invalid(path, `{${set.join(", ")}}`, rule));
}

function checkAttribute(errors: FieldError[], path: string, attribute: Attribute): void {
  const values = Object.entries(attribute).filter(([, value]) => value !== undefined && value !== null);
  for (const name of ["string", "version"] as const) {
    const value = attribute[name];
    if (name === "version" && value !== undefined && !SEMVER.test(value)) errors.push(field.invalid(`${path}.version`, value, "must be a string compatible with semver.org spec 2.0.0"));
    if ((value?.length ?? 0) > MAX_VALUE) errors.push(field.tooLong(`${path}.${name}`, MAX_VALUE));
  }
  if (values.length !== 1) errors.push(field.invalid(path, values.length === 0 ? "" : attribute, "exactly one value must be specified"));
}

function checkTaints(errors: FieldError[], path: string, taints: Device["taints"]): void {
  checkItems(errors, path, taints, {
    max: MAX_TAINTS,
    item({ key, value, effect }, at) {
      check(errors, `${at}.key`, key ?? "", qualifiedName);
      if (value) for (const sentence of labelValueErrors(value)) errors.push(field.invalid(`${at}.value`, value, sentence));
      if (!effect) errors.push(field.required(`${at}.effect`));
      else if (!EFFECTS.includes(effect)) errors.push(field.notSupported(`${at}.effect`, effect, EFFECTS));
    },
  });
}

function checkCounters(errors: FieldError[], path: string, counters: Readonly<Record<string, unknown>> = {}): void {
  const names = Object.keys(counters);
  if (names.length === 0) errors.push(field.required(path));
  else if (names.length > MAX_COUNTERS) errors.push(field.tooMany(path, names.length, MAX_COUNTERS));
  else for (const name of names) check(errors, path, name, dnsLabel);
}

function checkBindings(errors: FieldError[], path: string, { bindingConditions: wanted = [], bindingFailureConditions: failures = [] }: Device): void {
  for (const [name, list] of Object.entries({ bindingConditions: wanted, bindingFailureConditions: failures })) {
    checkItems(errors, `${path}.${name}`, list, { max: MAX_BINDINGS, item: (condition, at) => check(errors, at, condition, qualifiedName), key: (condition) => condition });
  }
  for (const [index, condition] of failures.entries()) if (wanted.includes(condition)) errors.push(field.invalid(`${path}.bindingFailureConditions[${index}]`, condition, "bindingFailureConditions must not overlap with bindingConditions"));
  if (wanted.length === 0 && failures.length > 0) errors.push(field.invalid(`${path}.bindingConditions`, wanted, "bindingConditions are required to use bindingFailureConditions"));
  if (failures.length === 0 && wanted.length > 0) errors.push(field.invalid(`${path}.bindingFailureConditions`, failures, "bindingFailureConditions are required to use bindingConditions"));
}

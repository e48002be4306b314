// ResourceClaims, templates for them, and the classes of devices they ask for.
import { field, type FieldError } from "../../../../api/errors.ts";
import { labelKeyErrors } from "../../../../api/labels.ts";
import type { DeviceClass, ResourceClaim, ResourceClaimTemplate } from "../../../../api/types.ts";
import { isExtended } from "../core/resources.ts";
import { define } from "../define.ts";
import { checkNodeSelector } from "../pod/validate/scheduling.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { checkDriverName } from "../storage/rules.ts";
import { checkConditions } from "../validation/conditions.ts";
import { checkLabels } from "../validation/labels.ts";
import { check, dnsLabel } from "../validation/names.ts";
import { checkImmutable, isEqual } from "../validation/values.ts";
import { checkClaimSpec, checkReference, checkReferringConfiguration, defaultRequests, MAX_REQUESTS, requestNames } from "./requests.ts";
import { checkConfiguration, checkItems, checkPoolName, checkRaw, checkSelectors, MAX_CONFIG } from "./rules.ts";

type Status = NonNullable<ResourceClaim["status"]>;
type Allocation = NonNullable<Status["allocation"]>;
type Device = NonNullable<Status["devices"]>[number];
const GROUP = "resource.k8s.io";
const MAX_CONSUMERS = 256;
const MAX_CONDITIONS = 8;
const METADATA = ["labels", "annotations", "finalizers", "ownerReferences"] as const;

export const resourceClaimStrategy = define<ResourceClaim>({
  group: GROUP, kind: "ResourceClaim",
  hasGeneration: false,
  applyDefaults: ({ spec }) => defaultRequests(spec),
  validateCreate({ spec }) {
    const errors: FieldError[] = [];
    checkClaimSpec(errors, "spec", spec);
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec", spec, old);
    return errors;
  },
  subresources: {
    status: {
      prepareForUpdate({ metadata, status }, old) {
        for (const name of METADATA) Object.assign(metadata, { [name]: old.metadata[name] });
        if (!status?.devices || !old.status?.allocation) return;
        // What was known of a device goes with its allocation.
        const kept = allocatedIds(status);
        const gone = new Set([...allocatedIds(old.status)].filter((id) => !kept.has(id)));
        status.devices = status.devices.filter((device) => !gone.has(idOf(device)));
        if (status.devices.length === 0) delete status.devices;
      },
      validateUpdate: claimStatusErrors,
    },
  },
  printer: printer(nameColumn(), text("State", stateText, "A summary of the current state (allocated, pending, reserved, etc.)."), ageColumn()),
});

function stateText({ metadata, status }: ResourceClaim): string {
  const isGoing = metadata.deletionTimestamp !== undefined;
  const state = status?.allocation ? ["allocated", ...(status.reservedFor?.length ? ["reserved"] : [])] : isGoing ? [] : ["pending"];
  return [...(isGoing ? ["deleted"] : []), ...state].join(",");
}

const idOf = ({ driver, pool, device, shareID }: { driver: string; pool: string; device: string; shareID?: string | undefined }): string => `${driver}/${pool}/${device}${shareID ? `/${shareID}` : ""}`;
const allocatedIds = ({ allocation }: Status): Set<string> => new Set((allocation?.devices?.results ?? []).map(idOf));

function claimStatusErrors({ metadata, spec, status = {} }: ResourceClaim, { status: old = {} }: ResourceClaim): FieldError[] {
  const errors: FieldError[] = [];
  const { reservedFor = [], allocation, devices } = status;
  checkItems(errors, "status.reservedFor", reservedFor, {
    max: MAX_CONSUMERS,
    item(consumer, path) {
      for (const name of ["resource", "name", "uid"] as const) if (!consumer[name]) errors.push(field.required(`${path}.${name}`));
    },
    key: ({ uid }) => uid,
  });
  const allocated = allocatedIds(status);
  checkItems(errors, "status.devices", devices, { item: (device, path) => checkDevice(errors, path, device, allocated), key: idOf });
  if (reservedFor.length > 0 && !allocation) errors.push(field.forbidden("status.reservedFor", "may not be specified when `allocated` is not set"));
  const isNew = reservedFor.some((consumer) => !old.reservedFor?.some((known) => isEqual(known, consumer)));
  if (reservedFor.length > 0 && allocation && metadata.deletionTimestamp && isNew) errors.push(field.forbidden("status.reservedFor", "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"));
  if (old.allocation && allocation) checkImmutable(errors, "status.allocation", allocation, old.allocation);
  else if (allocation) checkAllocation(errors, allocation, requestNames(spec));
  return errors;
}

function checkDevice(errors: FieldError[], path: string, device: Device, allocated: ReadonlySet<string>): void {
  checkDriverName(errors, `${path}.driver`, device.driver);
  checkPoolName(errors, `${path}.pool`, device.pool);
  check(errors, `${path}.device`, device.device ?? "", dnsLabel);
  if (!allocated.has(idOf(device))) errors.push(field.invalid(path, { driver: device.driver, pool: device.pool, device: device.device }, "must be an allocated device in the claim"));
  if ((device.conditions?.length ?? 0) > MAX_CONDITIONS) errors.push(field.tooMany(`${path}.conditions`, device.conditions?.length ?? 0, MAX_CONDITIONS));
  checkConditions(errors, `${path}.conditions`, device.conditions as Parameters<typeof checkConditions>[2]);
  if (device.data) checkRaw(errors, `${path}.data`, device.data);
}

function checkAllocation(errors: FieldError[], { devices, nodeSelector }: Allocation, known: ReadonlySet<string>): void {
  const path = "status.allocation";
  checkItems(errors, `${path}.devices.results`, devices?.results, {
    max: MAX_REQUESTS,
    item(result, at) {
      checkReference(errors, `${at}.request`, result.request ?? "", known);
      checkDriverName(errors, `${at}.driver`, result.driver);
      checkPoolName(errors, `${at}.pool`, result.pool);
      check(errors, `${at}.device`, result.device ?? "", dnsLabel);
    },
  });
  checkItems(errors, `${path}.devices.config`, devices?.config, {
    max: 2 * MAX_CONFIG,
    item(config, at) {
      const { source } = config;
      if (!source) errors.push(field.required(`${at}.source`));
      else if (source !== "FromClaim" && source !== "FromClass") errors.push(field.notSupported(`${at}.source`, source, ["FromClaim", "FromClass"]));
      checkReferringConfiguration(errors, at, config, known);
    },
  });
  if (nodeSelector) checkNodeSelector(errors, `${path}.nodeSelector`, nodeSelector);
}

export const resourceClaimTemplateStrategy = define<ResourceClaimTemplate>({
  group: GROUP, kind: "ResourceClaimTemplate",
  applyDefaults: ({ spec }) => defaultRequests(spec?.spec),
  validateCreate({ spec }) {
    const errors: FieldError[] = [];
    if (spec?.metadata?.labels) checkLabels(errors, "spec.metadata.labels", spec.metadata.labels);
    for (const key in spec?.metadata?.annotations) for (const sentence of labelKeyErrors(key.toLowerCase())) errors.push(field.invalid("spec.metadata.annotations", key, sentence));
    checkClaimSpec(errors, "spec.spec", spec?.spec);
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec", spec, old);
    return errors;
  },
  printer: printer(nameColumn(), ageColumn()),
});

export const deviceClassStrategy = define<DeviceClass>({
  group: GROUP, kind: "DeviceClass",
  hasGeneration: true,
  validate({ spec = {} }) {
    const errors: FieldError[] = [];
    checkSelectors(errors, "spec.selectors", spec.selectors);
    checkItems(errors, "spec.config", spec.config, { max: MAX_CONFIG, item: (config, path) => checkConfiguration(errors, path, config) });
    const name = spec.extendedResourceName;
    if (name !== undefined && !isExtended(name)) errors.push(field.invalid("spec.extendedResourceName", name, "must be a valid extended resource name"));
    return errors;
  },
  printer: printer(nameColumn(), ageColumn()),
});

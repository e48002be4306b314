// What CSI drivers tell the cluster about themselves: drivers, the nodes they are on, the room they have.
import { field, type FieldError } from "../../../../api/errors.ts";
import { parseQuantity } from "../../../../api/quantity.ts";
import type { CSIDriver, CSINode, CSIStorageCapacity } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, boolean, integer, nameColumn, printer, text } from "../print/columns.ts";
import type { StrategyContext } from "../strategy.ts";
import { checkSelector } from "../validation/labels.ts";
import { check, dnsSubdomain, qualifiedName } from "../validation/names.ts";
import { checkImmutable, checkNonNegative, checkOptionalOneOf, isEqual, repeatsOf } from "../validation/values.ts";
import { checkDriverName } from "./rules.ts";

type DriverSpec = NonNullable<CSIDriver["spec"]>;
type NodeDriver = NonNullable<CSINode["spec"]>["drivers"][number];

const GROUP = "storage.k8s.io";
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;
const MIN_UPDATE_SECONDS = 10;
const MAX_NODE_ID = 256;
const FLAGS = ["attachRequired", "podInfoOnMount", "storageCapacity", "seLinuxMount"] as const;

export const csiDriverStrategy = define<CSIDriver>({
  group: GROUP, kind: "CSIDriver",
  allowUnconditionalUpdate: false,
  hasGeneration: false,
  prepareForCreate: ({ spec }, context) => warnOfTokens(spec, undefined, context),
  prepareForUpdate({ metadata, spec }, old, context) {
    // The first change makes it 1: new drivers have none.
    if (!isEqual(spec, old.spec)) metadata.generation = (old.metadata.generation ?? 0) + 1;
    warnOfTokens(spec, old.spec, context);
  },
  validate: ({ spec }) => driverErrors(spec ?? {}),
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.attachedRequired", spec?.attachRequired, old?.attachRequired);
    checkImmutable(errors, "spec.volumeLifecycleModes", spec?.volumeLifecycleModes, old?.volumeLifecycleModes);
    return errors;
  },
  printer: printer(
    nameColumn(),
    boolean("AttachRequired", ({ spec }) => spec?.attachRequired ?? true, "Whether volumes are attached before they are mounted."),
    boolean("PodInfoOnMount", ({ spec }) => spec?.podInfoOnMount ?? false, "Whether the driver is told of the pod."),
    boolean("StorageCapacity", ({ spec }) => spec?.storageCapacity ?? false, "Whether the scheduler looks at its room."),
    text("TokenRequests", ({ spec }) => spec?.tokenRequests?.map(({ audience }) => audience).join(",") ?? "<unset>", "Whom its tokens are for."),
    boolean("RequiresRepublish", ({ spec }) => spec?.requiresRepublish ?? false, "Whether volumes are published again and again."),
    text("Modes", ({ spec }) => spec?.volumeLifecycleModes?.join(",") || "<none>", "What its volumes may be."),
    ageColumn(),
  ),
});

function warnOfTokens(spec: DriverSpec | undefined, old: DriverSpec | undefined, context: StrategyContext): void {
  if (!spec?.tokenRequests?.length || spec.serviceAccountTokenInSecrets !== undefined || isEqual(spec.tokenRequests, old?.tokenRequests)) return;
  context.warn("spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes");
}

function driverErrors(spec: DriverSpec): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of FLAGS) if (spec[name] === undefined) errors.push(field.required(`spec.${name === "attachRequired" ? "attachedRequired" : name}`));
  checkOptionalOneOf(errors, "spec.fsGroupPolicy", spec.fsGroupPolicy, ["File", "None", "ReadWriteOnceWithFSType"]);
  const requests = spec.tokenRequests ?? [];
  const repeats = repeatsOf(requests, ({ audience }) => audience);
  for (const [index, { audience, expirationSeconds: seconds }] of requests.entries()) {
    const path = `spec.tokenRequests[${index}]`;
    if (repeats.has(index)) errors.push(field.duplicate(`${path}.audience`, audience));
    else if (seconds !== undefined && seconds < MIN_TOKEN_SECONDS) errors.push(field.invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes"));
    else if (seconds !== undefined && seconds > MAX_TOKEN_SECONDS) errors.push(field.invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  for (const mode of spec.volumeLifecycleModes ?? []) checkOptionalOneOf(errors, "spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"]);
  const period = spec.nodeAllocatableUpdatePeriodSeconds;
  if (period !== undefined && period < MIN_UPDATE_SECONDS) errors.push(field.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, "must be greater than or equal to 10 seconds"));
  if (spec.serviceAccountTokenInSecrets !== undefined && requests.length === 0) errors.push(field.invalid("spec.serviceAccountTokenInSecrets", spec.serviceAccountTokenInSecrets, "serviceAccountTokenInSecrets is set but no tokenRequests are specified"));
  return errors;
}

export const csiNodeStrategy = define<CSINode>({
  group: GROUP, kind: "CSINode",
  allowUnconditionalUpdate: false,
  validate({ spec }) {
    const errors: FieldError[] = [];
    const drivers = spec?.drivers ?? [];
    const repeats = repeatsOf(drivers, ({ name }) => name);
    for (const [index, driver] of drivers.entries()) {
      checkNodeDriver(errors, `spec.drivers[${index}]`, driver);
      if (repeats.has(index)) errors.push(field.duplicate(`spec.drivers[${index}].name`, driver.name));
    }
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    const byName = new Map((spec?.drivers ?? []).map((driver) => [driver.name, driver]));
    for (const before of old?.drivers ?? []) {
      const { allocatable: _, ...now } = byName.get(before.name) ?? before;
      const { allocatable: __, ...was } = before;
      checkImmutable(errors, "spec.drivers", now, was);
    }
    return errors;
  },
  printer: printer(nameColumn(), integer("Drivers", ({ spec }) => spec?.drivers?.length ?? 0, "Drivers indicates the number of CSI drivers registered on the node"), ageColumn()),
});

function checkNodeDriver(errors: FieldError[], path: string, { name, nodeID, allocatable, topologyKeys = [] }: NodeDriver): void {
  checkDriverName(errors, `${path}.name`, name);
  if (!nodeID) errors.push(field.required(`${path}.nodeID`));
  else if (nodeID.length > MAX_NODE_ID) errors.push(field.invalid(`${path}.nodeID`, nodeID, `must be ${MAX_NODE_ID} characters or less`));
  checkNonNegative(errors, `${path}.allocatable.count`, allocatable?.count);
  const repeats = repeatsOf(topologyKeys);
  for (const [index, key] of topologyKeys.entries()) {
    if (key === "") errors.push(field.required(path));
    if (repeats.has(index)) errors.push(field.duplicate(path, key));
    check(errors, path, key, qualifiedName);
  }
}

export const csiStorageCapacityStrategy = define<CSIStorageCapacity>({
  group: GROUP, kind: "CSIStorageCapacity",
  allowUnconditionalUpdate: false,
  validate({ nodeTopology, storageClassName, capacity }) {
    const errors: FieldError[] = [];
    checkSelector(errors, "nodeTopology", nodeTopology);
    check(errors, "storageClassName", storageClassName ?? "", dnsSubdomain);
    if (capacity !== undefined && parseQuantity(capacity).nano < 0n) errors.push(field.invalid("capacity", capacity, "must be greater than or equal to 0"));
    return errors;
  },
  validateUpdate(capacity, old) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "nodeTopology", capacity.nodeTopology, old.nodeTopology);
    checkImmutable(errors, "storageClassName", capacity.storageClassName, old.storageClassName);
    return errors;
  },
  printer: printer(
    nameColumn(),
    text("StorageClassName", ({ storageClassName }) => storageClassName ?? "", "The class of the volumes there is room for."),
    text("Capacity", ({ capacity }) => capacity ?? "<unset>", "How much room there is."),
  ),
});

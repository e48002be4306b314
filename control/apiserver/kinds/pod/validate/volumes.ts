// Rules for volumes: a name, exactly one source, and what each source demands.
import { field, type FieldError } from "../../../../../api/errors.ts";
import { parseQuantity } from "../../../../../api/quantity.ts";
import type { KeyToPath, ObjectMeta, Volume } from "../../../../../api/types.ts";
import { checkClaimSpec } from "../../core/claim-spec.ts";
import { checkLabels } from "../../validation/labels.ts";
import { check, dnsLabel, dnsSubdomain } from "../../validation/names.ts";
import { checkOptionalOneOf } from "../../validation/values.ts";
import { checkFieldRef, checkResourceFieldRef, VOLUME_FIELDS } from "./env.ts";
import { checkDescending, checkLocalPath, checkMode, checkNoBacksteps } from "./paths.ts";
import { checkProjected } from "./projected.ts";

type DownwardFile = NonNullable<NonNullable<Volume["downwardAPI"]>["items"]>[number];
type SourceCheck = (errors: FieldError[], path: string, volume: Volume) => void;

const HOST_PATH_TYPES = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const PULL_POLICIES = ["Always", "IfNotPresent", "Never"];

/** Checks `volumes`; answers the valid ones by name, which is what containers can mount. */
export function checkVolumes(errors: FieldError[], path: string, volumes: readonly Volume[] | undefined, metadata: ObjectMeta | undefined): Map<string, Volume> {
  const found = new Map<string, Volume>();
  if (!volumes) return found;
  for (let index = 0; index < volumes.length; index++) {
    const volume = volumes[index] as Volume;
    const at = `${path}[${index}]`;
    const before = errors.length;
    checkSource(errors, at, volume);
    if (!volume.name) errors.push(field.required(`${at}.name`));
    else check(errors, `${at}.name`, volume.name, dnsLabel);
    if (found.has(volume.name)) errors.push(field.duplicate(`${at}.name`, volume.name));
    if (errors.length === before) found.set(volume.name, volume);
    const claim = volume.persistentVolumeClaim?.claimName;
    if (claim && metadata?.name && volumes.some(({ name, ephemeral }) => ephemeral && claim === `${metadata.name}-${name}`)) errors.push(field.invalid(`${at}.persistentVolumeClaim.claimName`, claim, "must not reference a PVC that gets created for an ephemeral volume"));
  }
  return found;
}

/** One check per source, in the order upstream looks for them; the first one found is the one that may be there. */
const SOURCES: Readonly<Record<string, SourceCheck>> = {
  emptyDir(errors, path, { emptyDir }) {
    if (emptyDir?.sizeLimit !== undefined && parseQuantity(emptyDir.sizeLimit).nano < 0n) errors.push(field.forbidden(`${path}.sizeLimit`, "SizeLimit field must be a valid resource quantity"));
  },
  hostPath(errors, path, { hostPath }) {
    if (!hostPath?.path) return void errors.push(field.required(`${path}.path`));
    checkNoBacksteps(errors, `${path}.path`, hostPath.path);
    checkOptionalOneOf(errors, `${path}.type`, hostPath.type, HOST_PATH_TYPES);
  },
  gitRepo(errors, path, { gitRepo }) {
    if (!gitRepo?.repository) errors.push(field.required(`${path}.repository`));
    checkDescending(errors, `${path}.directory`, gitRepo?.directory ?? "");
  },
  gcePersistentDisk: needs("pdName"), awsElasticBlockStore: needs("volumeID"),
  secret(errors, path, { secret = {} }) {
    if (!secret.secretName) errors.push(field.required(`${path}.secretName`));
    checkMode(errors, `${path}.defaultMode`, secret.defaultMode);
    checkItems(errors, `${path}.items`, secret.items);
  },
  nfs(errors, path, { nfs }) {
    if (!nfs?.server) errors.push(field.required(`${path}.server`));
    if (!nfs?.path) errors.push(field.required(`${path}.path`));
    else if (!nfs.path.startsWith("/")) errors.push(field.invalid(`${path}.path`, nfs.path, "must be an absolute path"));
  },
  iscsi: needs("targetPortal", "iqn"), glusterfs: needs("endpoints", "path"), flocker: () => {},
  persistentVolumeClaim: needs("claimName"),
  rbd: needs("monitors", "image"), cinder: needs("volumeID"), cephfs: needs("monitors"), quobyte: needs("registry", "volume"),
  downwardAPI(errors, path, { downwardAPI }) {
    checkMode(errors, `${path}.defaultMode`, downwardAPI?.defaultMode);
    for (const file of downwardAPI?.items ?? []) checkDownwardFile(errors, path, file);
  },
  fc: () => {}, flexVolume: needs("driver"),
  configMap(errors, path, { configMap = {} }) {
    if (!configMap.name) errors.push(field.required(`${path}.name`));
    checkMode(errors, `${path}.defaultMode`, configMap.defaultMode);
    checkItems(errors, `${path}.items`, configMap.items);
  },
  azureFile: needs("secretName", "shareName"), vsphereVolume: needs("volumePath"), photonPersistentDisk: needs("pdID"),
  portworxVolume: needs("volumeID"), azureDisk: needs("diskName", "diskURI"), storageos: needs("volumeName"),
  projected(errors, path, { projected }) {
    if (projected) checkProjected(errors, path, projected);
  },
  scaleIO: needs("gateway", "system", "volumeName"), csi: needs("driver"),
  ephemeral(errors, path, { ephemeral }) {
    const template = ephemeral?.volumeClaimTemplate;
    if (!template) return void errors.push(field.required(`${path}.volumeClaimTemplate`));
    if (template.metadata?.labels) checkLabels(errors, `${path}.volumeClaimTemplate.metadata.labels`, template.metadata.labels);
    checkClaimSpec(errors, `${path}.volumeClaimTemplate.spec`, template.spec);
  },
  image(errors, path, { image }) {
    if (!image?.reference) errors.push(field.required(`${path}.reference`));
    checkOptionalOneOf(errors, `${path}.pullPolicy`, image?.pullPolicy, PULL_POLICIES);
  },
};

function checkSource(errors: FieldError[], path: string, volume: Volume): void {
  const named = Object.keys(volume).filter((key) => key !== "name" && volume[key as keyof Volume] !== undefined && key in SOURCES);
  if (named.length === 0) return void errors.push(field.required(path, "must specify a volume type"));
  if (named.length === 1) return (SOURCES[named[0] as string] as SourceCheck)(errors, `${path}.${named[0]}`, volume);
  const [first, ...others] = Object.keys(SOURCES).filter((key) => named.includes(key));
  (SOURCES[first as string] as SourceCheck)(errors, `${path}.${first}`, volume);
  for (const other of others) errors.push(field.forbidden(`${path}.${other}`, "may not specify more than 1 volume type"));
}

/** A source of which only the presence of some fields is checked here. */
function needs(...names: readonly string[]): SourceCheck {
  return (errors, path, volume) => {
    const source = (volume as unknown as Record<string, Record<string, unknown>>)[path.slice(path.lastIndexOf(".") + 1)] ?? {};
    for (const name of names) {
      const value = source[name];
      if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) errors.push(field.required(`${path}.${name}`));
    }
  };
}

/** `items` of configMap and secret sources. */
export function checkItems(errors: FieldError[], path: string, items: readonly KeyToPath[] | undefined): void {
  for (const [index, { key, path: target, mode }] of (items ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!key) errors.push(field.required(`${at}.key`));
    if (!target) errors.push(field.required(`${at}.path`));
    checkLocalPath(errors, `${at}.path`, target ?? "");
    checkMode(errors, `${at}.mode`, mode);
  }
}

/** One file of the downward API. */
export function checkDownwardFile(errors: FieldError[], path: string, { path: target, fieldRef, resourceFieldRef, mode }: DownwardFile): void {
  if (!target) errors.push(field.required(`${path}.path`));
  checkLocalPath(errors, `${path}.path`, target ?? "");
  if (fieldRef) {
    checkFieldRef(errors, `${path}.fieldRef`, fieldRef, VOLUME_FIELDS);
    if (resourceFieldRef) errors.push(field.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
  } else if (resourceFieldRef) checkResourceFieldRef(errors, `${path}.resourceFieldRef`, resourceFieldRef, true);
  else errors.push(field.required(path, "one of fieldRef and resourceFieldRef is required"));
  checkMode(errors, `${path}.mode`, mode);
}

/** Volumes whose claim gets the pod's and the volume's name need room for both. */
export function checkEphemeralNames(errors: FieldError[], path: string, volumes: readonly Volume[] | undefined, podName: string): void {
  for (const [index, { name, ephemeral }] of (volumes ?? []).entries()) {
    if (!ephemeral || !name) continue;
    for (const sentence of dnsSubdomain(`${podName}-${name}`)) errors.push(field.invalid(`${path}[${index}].name`, name, `PVC name ${JSON.stringify(`${podName}-${name}`)}: ${sentence}`));
  }
}

// Rules for what containers mount and which devices they see.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Container, VolumeMount } from "../../../../../api/types.ts";
import type { PodContext } from "./context.ts";
import { checkDescending, checkNoBacksteps } from "./paths.ts";

const PROPAGATIONS = ["Bidirectional", "HostToContainer", "None"];
const RECURSIVE = ["Disabled", "Enabled", "IfPossible"];

/** `volumeMounts`. */
export function checkMounts(errors: FieldError[], path: string, container: Container, { volumes }: PodContext): void {
  const { volumeMounts, volumeDevices } = container;
  if (!volumeMounts) return;
  const seen = new Set<string>();
  for (let index = 0; index < volumeMounts.length; index++) {
    const mount = volumeMounts[index] as VolumeMount;
    const at = `${path}[${index}]`;
    if (!mount.name) errors.push(field.required(`${at}.name`));
    if (!volumes.has(mount.name)) errors.push(field.notFound(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(field.required(`${at}.mountPath`));
    if (seen.has(mount.mountPath)) errors.push(field.invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    seen.add(mount.mountPath);
    if (volumeDevices?.some(({ name }) => name === mount.name)) errors.push(field.invalid(`${at}.name`, mount.name, "must not already exist in volumeDevices"));
    if (volumeDevices?.some(({ devicePath }) => devicePath === mount.mountPath)) errors.push(field.invalid(`${at}.mountPath`, mount.mountPath, "must not already exist as a path in volumeDevices"));
    checkMountOptions(errors, { path, at }, mount, container);
  }
}

function checkMountOptions(errors: FieldError[], { path, at }: { path: string; at: string }, mount: VolumeMount, { securityContext }: Container): void {
  const { subPath, subPathExpr, mountPropagation, recursiveReadOnly, readOnly } = mount;
  if (subPath) checkDescending(errors, `${path}.subPath`, subPath);
  if (subPathExpr) {
    if (subPath) errors.push(field.invalid(`${at}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"));
    checkDescending(errors, `${path}.subPathExpr`, subPathExpr);
  }
  if (mountPropagation !== undefined) {
    if (!PROPAGATIONS.includes(mountPropagation)) errors.push(field.notSupported(`${path}.mountPropagation`, mountPropagation, PROPAGATIONS));
    if (mountPropagation === "Bidirectional" && !securityContext?.privileged) errors.push(field.forbidden(`${path}.mountPropagation`, "Bidirectional mount propagation is available only to privileged containers"));
  }
  if (recursiveReadOnly === undefined || recursiveReadOnly === "Disabled") return;
  const recursive = `${path}.recursiveReadOnly`;
  if (!RECURSIVE.includes(recursiveReadOnly)) return void errors.push(field.notSupported(recursive, recursiveReadOnly, RECURSIVE));
  if (!readOnly) errors.push(field.forbidden(recursive, "may only be specified when readOnly is true"));
  if (mountPropagation !== undefined && mountPropagation !== "None") errors.push(field.forbidden(recursive, "may only be specified when mountPropagation is None or not specified"));
}

/** `volumeDevices`. */
export function checkDevices(errors: FieldError[], path: string, { volumeDevices, volumeMounts }: Container, { volumes }: PodContext): void {
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [index, { name, devicePath }] of (volumeDevices ?? []).entries()) {
    const at = `${path}[${index}]`;
    const volume = volumes.get(name);
    if (!name) errors.push(field.required(`${at}.name`));
    if (names.has(name)) errors.push(field.invalid(`${at}.name`, name, "must be unique"));
    if (!volume) errors.push(field.notFound(`${at}.name`, name));
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) errors.push(field.invalid(`${at}.name`, name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"));
    if (!devicePath) errors.push(field.required(`${at}.devicePath`));
    if (paths.has(devicePath)) errors.push(field.invalid(`${at}.devicePath`, devicePath, "must be unique"));
    const backsteps: FieldError[] = [];
    checkNoBacksteps(backsteps, at, devicePath);
    if (backsteps.length > 0) errors.push(field.invalid(`${at}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    if (volumeMounts?.some((mount) => mount.name === name)) errors.push(field.invalid(`${at}.name`, name, "must not already exist in volumeMounts"));
    if (volumeMounts?.some((mount) => mount.mountPath === devicePath)) errors.push(field.invalid(`${at}.devicePath`, devicePath, "must not already exist as a path in volumeMounts"));
    names.add(name);
    paths.add(devicePath);
  }
}

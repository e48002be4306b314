// Rules for what a persistent volume claim asks for, in a claim or in a template of one.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { PersistentVolumeClaim } from "../../../../api/types.ts";
import { checkSelector } from "../validation/labels.ts";
import { check, dnsLabel, dnsSubdomain } from "../validation/names.ts";
import { checkOptionalOneOf } from "../validation/values.ts";
import { quantityOrError } from "./resources.ts";

export type ClaimSpec = NonNullable<PersistentVolumeClaim["spec"]>;
export const ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
export const VOLUME_MODES = ["Block", "Filesystem"];

/** Everything wrong with a claim's spec. */
export function checkClaimSpec(errors: FieldError[], path: string, spec: ClaimSpec = {}): void {
  const { accessModes = [], selector, resources, storageClassName, volumeMode, dataSource, dataSourceRef, volumeAttributesClassName } = spec;
  if (accessModes.length === 0) errors.push(field.required(`${path}.accessModes`, "at least 1 access mode is required"));
  checkSelector(errors, `${path}.selector`, selector);
  checkAccessModes(errors, `${path}.accessModes`, accessModes);
  const size = resources?.requests?.["storage"];
  const at = `${path}.resources[storage]`;
  if (size === undefined) errors.push(field.required(at));
  else if ((quantityOrError(errors, at, size)?.nano ?? 1n) <= 0n) errors.push(field.invalid(at, size, "must be greater than zero"));
  if (storageClassName) check(errors, `${path}.storageClassName`, storageClassName, dnsSubdomain);
  checkOptionalOneOf(errors, `${path}.volumeMode`, volumeMode, VOLUME_MODES);
  if (dataSource) checkSource(errors, `${path}.dataSource`, dataSource);
  if (dataSourceRef) checkSource(errors, `${path}.dataSourceRef`, dataSourceRef);
  if (dataSourceRef?.namespace) {
    check(errors, `${path}.dataSourceRef.namespace`, dataSourceRef.namespace, dnsLabel);
    if (dataSource) errors.push(field.invalid(path, `${path}.dataSource`, "may not be specified when dataSourceRef.namespace is specified"));
  } else if (dataSource && dataSourceRef && (dataSource.kind !== dataSourceRef.kind || dataSource.name !== dataSourceRef.name || dataSource.apiGroup !== dataSourceRef.apiGroup)) {
    errors.push(field.invalid(path, `${path}.dataSource`, "must match dataSourceRef"));
  }
  if (volumeAttributesClassName) check(errors, `${path}.volumeAttributesClassName`, volumeAttributesClassName, dnsSubdomain);
}

/** Known modes, and the exclusive one alone. */
export function checkAccessModes(errors: FieldError[], path: string, modes: readonly string[]): void {
  for (const mode of modes) if (!ACCESS_MODES.includes(mode)) errors.push(field.notSupported(path, mode, ACCESS_MODES));
  const known = modes.filter((mode) => ACCESS_MODES.includes(mode));
  if (known.includes("ReadWriteOncePod") && known.some((mode) => mode !== "ReadWriteOncePod")) errors.push(field.forbidden(path, "may not use ReadWriteOncePod with other access modes"));
}

function checkSource(errors: FieldError[], path: string, { apiGroup, kind, name }: NonNullable<ClaimSpec["dataSource"]>): void {
  if (!name) errors.push(field.required(`${path}.name`));
  if (!kind) errors.push(field.required(`${path}.kind`));
  if (!apiGroup && kind !== "PersistentVolumeClaim") errors.push(field.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  if (apiGroup) check(errors, `${path}.apiGroup`, apiGroup, dnsSubdomain);
}

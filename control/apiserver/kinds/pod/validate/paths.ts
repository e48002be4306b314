// Rules for file paths and modes in volumes and mounts.
import { field, type FieldError } from "../../../../../api/errors.ts";

const MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive";

/** No `..` anywhere in a path. */
export function checkNoBacksteps(errors: FieldError[], path: string, target: string): void {
  if (target.includes("..") && target.split("/").includes("..")) errors.push(field.invalid(path, target, "must not contain '..'"));
}

/** A relative path that stays below where it starts. */
export function checkDescending(errors: FieldError[], path: string, target: string): void {
  if (target.startsWith("/")) errors.push(field.invalid(path, target, "must be a relative path"));
  checkNoBacksteps(errors, path, target);
}

/** A descending path whose first part is not one the node keeps for itself. */
export function checkLocalPath(errors: FieldError[], path: string, target: string): void {
  checkDescending(errors, path, target);
  if (target.startsWith("..") && !target.startsWith("../")) errors.push(field.invalid(path, target, "must not start with '..'"));
}

/** The permission bits of a file. */
export function checkMode(errors: FieldError[], path: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) errors.push(field.invalid(path, mode, MODE_RULE));
}

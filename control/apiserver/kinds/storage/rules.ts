// Rules several storage kinds share: drivers' names and the parameters they are given.
import { field, type FieldError } from "../../../../api/errors.ts";
import { check, dnsSubdomain, qualifiedName } from "../validation/names.ts";

const MAX_PARAMETERS = 512;
const MAX_SIZE = 256 * 1024;
const MAX_DRIVER_NAME = 63;

/** The name of a CSI driver, capital letters allowed. */
export function checkDriverName(errors: FieldError[], path: string, name: string | undefined): void {
  if (!name) return void errors.push(field.required(path));
  if (name.length > MAX_DRIVER_NAME) errors.push(field.tooLong(path, MAX_DRIVER_NAME));
  for (const sentence of dnsSubdomain(name.toLowerCase())) errors.push(field.invalid(path, name, sentence));
}

/** Who makes volumes of a class. */
export function checkProvisioner(errors: FieldError[], path: string, name: string | undefined): void {
  if (name) check(errors, path, name.toLowerCase(), qualifiedName);
  else errors.push(field.required(path));
}

/** What a class tells its provisioner. */
export function checkParameters(errors: FieldError[], parameters: Readonly<Record<string, string>>): void {
  if (Object.keys(parameters).length > MAX_PARAMETERS) return void errors.push(field.tooLong("parameters", MAX_PARAMETERS));
  if ("" in parameters) errors.push(field.invalid("parameters", "", "field can not be empty."));
  if (sizeOf(parameters) > MAX_SIZE) errors.push(field.tooLong("parameters", MAX_SIZE));
}

/** How many bytes a map's keys and values have. */
export function sizeOf(map: Readonly<Record<string, string>> = {}): number {
  return Object.entries(map).reduce((total, [key, value]) => total + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}

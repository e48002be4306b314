// ConfigMaps: keys that can be file names, a megabyte at most, and no change once immutable.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { ConfigMap } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { configKey } from "../validation/names.ts";
import { isEqual } from "../validation/values.ts";
import { base64Length } from "./secret-data.ts";

export const MAX_DATA_BYTES = 1024 * 1024;
export const FROZEN = "field is immutable when `immutable` is set";
const count = (map: object | undefined): number => (map ? Object.keys(map).length : 0);

export const configMapStrategy = define<ConfigMap>({
  group: "", kind: "ConfigMap",
  validate,
  validateUpdate,
  printer: printer(nameColumn(), text("Data", ({ data, binaryData }) => count(data) + count(binaryData), "How many entries there are."), ageColumn()),
});

function validate({ data, binaryData }: ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const key in data) {
    for (const sentence of configKey(key)) errors.push(field.invalid(`data[${key}]`, key, sentence));
    if (binaryData && Object.hasOwn(binaryData, key)) errors.push(field.invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    size += Buffer.byteLength(data[key] ?? "");
  }
  for (const key in binaryData) {
    for (const sentence of configKey(key)) errors.push(field.invalid(`binaryData[${key}]`, key, sentence));
    size += base64Length(binaryData[key]);
  }
  if (size > MAX_DATA_BYTES) errors.push(field.tooLong("[]", MAX_DATA_BYTES));
  return errors;
}

function validateUpdate(next: ConfigMap, old: ConfigMap): FieldError[] {
  if (!old.immutable) return [];
  const errors: FieldError[] = [];
  if (!next.immutable) errors.push(field.forbidden("immutable", FROZEN));
  if (!isEqual(next.data ?? {}, old.data ?? {})) errors.push(field.forbidden("data", FROZEN));
  if (!isEqual(next.binaryData ?? {}, old.binaryData ?? {})) errors.push(field.forbidden("binaryData", FROZEN));
  return errors;
}

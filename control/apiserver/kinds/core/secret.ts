// Secrets: what each type must hold, a megabyte at most, a type for life, and no change once immutable.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Secret } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { configKey } from "../validation/names.ts";
import { checkImmutable, isEqual } from "../validation/values.ts";
import { FROZEN, MAX_DATA_BYTES } from "./configmap.ts";
import { base64Length, isJsonObject } from "./secret-data.ts";

const SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name";

export const secretStrategy = define<Secret>({
  group: "", kind: "Secret",
  applyDefaults: mergeStringData,
  prepareForUpdate(secret, old) {
    // An update without a type keeps the one there is.
    if (!secret.type && old.type) secret.type = old.type;
  },
  validate,
  validateUpdate,
  selectableFields: ({ type }) => ({ type: type ?? "" }),
  printer: printer(nameColumn(), text("Type", ({ type }) => type ?? "", "What the secret is for."), text("Data", ({ data }) => Object.keys(data ?? {}).length, "How many entries there are."), ageColumn()),
});

/** `stringData` is a way to write `data`; it is never stored. */
function mergeStringData(secret: Secret): void {
  secret.type ||= "Opaque";
  if (!secret.stringData) return;
  secret.data ??= {};
  for (const key in secret.stringData) secret.data[key] = Buffer.from(secret.stringData[key] ?? "").toString("base64");
  delete secret.stringData;
}

function validate({ metadata, type, data = {} }: Secret): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const key in data) {
    for (const sentence of configKey(key)) errors.push(field.invalid(`data[${key}]`, key, sentence));
    size += base64Length(data[key]);
  }
  if (size > MAX_DATA_BYTES) errors.push(field.tooLong("data", MAX_DATA_BYTES));
  const annotation = `metadata.annotations[${SERVICE_ACCOUNT_NAME}]`;
  if (type === "kubernetes.io/service-account-token" && !metadata.annotations?.[SERVICE_ACCOUNT_NAME]) errors.push(field.required(annotation));
  contentErrors(type ?? "", data, errors);
  return errors;
}

function contentErrors(type: string, data: Record<string, string>, errors: FieldError[]): void {
  const has = (key: string): boolean => Object.hasOwn(data, key);
  const missing = (key: string): void => void errors.push(field.required(`data[${key}]`));
  const json = (key: string): void => {
    if (!has(key)) missing(key);
    else if (!isJsonObject(data[key] as string)) errors.push(field.invalid(`data[${key}]`, "<secret contents redacted>", "invalid character looking for beginning of value"));
  };
  switch (type) {
    case "kubernetes.io/dockercfg": return json(".dockercfg");
    case "kubernetes.io/dockerconfigjson": return json(".dockerconfigjson");
    case "kubernetes.io/basic-auth":
      if (!has("username") && !has("password")) for (const key of ["username", "password"]) missing(key);
      return;
    case "kubernetes.io/ssh-auth":
      if (!data["ssh-privatekey"]) missing("ssh-privatekey");
      return;
    case "kubernetes.io/tls":
      for (const key of ["tls.crt", "tls.key"]) if (!has(key)) missing(key);
  }
}

function validateUpdate(next: Secret, old: Secret): FieldError[] {
  const errors: FieldError[] = [];
  checkImmutable(errors, "type", next.type, old.type);
  if (!old.immutable) return errors;
  if (!next.immutable) errors.push(field.forbidden("immutable", FROZEN));
  if (!isEqual(next.data ?? {}, old.data ?? {})) errors.push(field.forbidden("data", FROZEN));
  return errors;
}

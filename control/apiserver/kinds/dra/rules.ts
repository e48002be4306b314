// Rules the kinds of dynamic resources share: names, lists with a limit, selectors and parameters.
import { CompileError } from "../../../../api/cel/compile.ts";
import { compileDeviceExpression } from "../../../../api/cel/device.ts";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { DeviceClass } from "../../../../api/types.ts";
import { checkDriverName } from "../storage/rules.ts";
import { check, dnsSubdomain, type NameRule } from "../validation/names.ts";
import { repeatsOf } from "../validation/values.ts";

type Spec = NonNullable<DeviceClass["spec"]>;
export type Selector = NonNullable<Spec["selectors"]>[number];
export type Configuration = NonNullable<Spec["config"]>[number];

export const MAX_CONFIG = 32;
const MAX_SELECTORS = 32;
const MAX_EXPRESSION = 10 * 1024;
const MAX_PARAMETERS = 10 * 1024;
const MAX_POOL = 253;
const MAX_ID = 32;

/** A list no longer than `max`: each item in its own place, or only that there are too many. */
// A sink, a place, a list and its rules, like every check.
export function checkItems<T>(errors: FieldError[], path: string, items: readonly T[] = [], { max, item, key }: { readonly max?: number; item(value: T, path: string): void; key?(value: T): string }): void {
  if (max !== undefined && items.length > max) return void errors.push(field.tooMany(path, items.length, max));
  for (const [index, value] of items.entries()) item(value, `${path}[${index}]`);
  if (!key) return;
  for (const index of repeatsOf(items, key)) errors.push(field.duplicate(`${path}[${index}]`, key(items[index] as T)));
}

/** The name of a pool: subdomains with slashes between them. */
export function checkPoolName(errors: FieldError[], path: string, name: string | undefined): void {
  if (!name) return void errors.push(field.required(path));
  if (name.length > MAX_POOL) errors.push(field.tooLong(path, MAX_POOL));
  for (const part of name.split("/")) check(errors, path, part, dnsSubdomain);
}

const cIdentifier: NameRule = (value) => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(value) ? [] : ["a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"]);

/** The name of an attribute or a capacity, with or without a domain. */
export function checkAttributeName(errors: FieldError[], path: string, name: string): void {
  const [first = "", second] = name.split("/");
  if (second !== undefined) {
    if (first === "") errors.push(field.invalid(path, "", "the domain must not be empty"));
    else checkDriverName(errors, path, first);
    if (second === "") return void errors.push(field.invalid(path, "", "the name must not be empty"));
  }
  const id = second ?? first;
  if (id.length > MAX_ID) errors.push(field.tooLong(path, MAX_ID));
  check(errors, path, id, cIdentifier);
}

/** The same, with a domain for sure. */
export function checkQualifiedAttribute(errors: FieldError[], path: string, name: string): void {
  checkAttributeName(errors, path, name);
  if (!name.includes("/")) errors.push(field.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash"));
}

/** Which devices will do. */
export function checkSelectors(errors: FieldError[], path: string, selectors: readonly Selector[] | undefined): void {
  checkItems(errors, path, selectors, {
    max: MAX_SELECTORS,
    item({ cel }, at) {
      if (!cel) errors.push(field.required(`${at}.cel`));
      else if (cel.expression.length > MAX_EXPRESSION) errors.push(field.tooLong(`${at}.cel.expression`, MAX_EXPRESSION));
      else if (cel.expression.trim() === "") errors.push(field.required(`${at}.cel.expression`));
      else checkExpression(errors, `${at}.cel.expression`, cel.expression);
    },
  });
}

function checkExpression(errors: FieldError[], path: string, expression: string): void {
  try {
    compileDeviceExpression(expression);
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    errors.push(field.invalid(path, expression, error.message));
  }
}

/** What a driver is told. */
export function checkConfiguration(errors: FieldError[], path: string, { opaque }: Configuration): void {
  if (!opaque) return void errors.push(field.required(`${path}.opaque`));
  checkDriverName(errors, `${path}.opaque.driver`, opaque.driver);
  checkRaw(errors, `${path}.opaque.parameters`, opaque.parameters);
}

/** A JSON object of somebody else's making. */
export function checkRaw(errors: FieldError[], path: string, value: unknown): void {
  if (value === undefined || value === null) errors.push(field.required(path));
  else if (typeof value !== "object" || Array.isArray(value)) errors.push(field.invalid(path, "<value omitted>", "must be a valid JSON object"));
  else if (JSON.stringify(value).length > MAX_PARAMETERS) errors.push(field.tooLong(path, MAX_PARAMETERS));
}

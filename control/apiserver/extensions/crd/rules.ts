// The rules of a schema (`x-kubernetes-validations`), as the strategies of custom resources ask for them.
import type { FieldError } from "../../../../api/errors.ts";
import type { AnyObject } from "../../../../api/types.ts";

export interface Rules {
  /** What the rules say of an object; `old` is what an update replaces. */
  check(object: AnyObject, old?: AnyObject): FieldError[];
}

export const NO_RULES: Rules = { check: () => [] };

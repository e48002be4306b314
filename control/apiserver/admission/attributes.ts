// Small questions every plugin asks about a write, and the refusal all of them answer with.
import type { ApiError } from "../../../api/errors.ts";
import { forbidden } from "../../../api/errors.ts";
import type { Attributes, Door, Operation } from "./plugin.ts";

/** Whether a write is one of these operations on a resource (or one of its subresources, when named). */
export function isOn({ kind, subresource, operation }: Door, resource: string, operations: readonly Operation[], wanted = ""): boolean {
  return kind.plural === resource && subresource === wanted && operations.includes(operation);
}

/** 403 about the object being written, in the form upstream's admission gives. */
export function refuse({ kind, name, object }: Attributes, why: string): ApiError {
  return forbidden(kind, name || object?.metadata?.name || object?.metadata?.generateName || "Unknown", why);
}

/** Several reasons as upstream writes them in one message. */
export function joined(reasons: readonly string[]): string {
  const distinct = [...new Set(reasons)];
  return distinct.length === 1 ? (distinct[0] as string) : `[${distinct.join(", ")}]`;
}

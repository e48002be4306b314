// JSON objects before anything is known of them.

export type Plain = Record<string, unknown>;

/** Whether a JSON value is an object, neither a list nor null. */
export function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Reads single values as Go's types read them: times, bytes, quantities, integers in range.
// Each reader returns the normalised value or throws ScalarError; where the value stood is the decoder's business.
import { QuantityError, canonicalQuantity } from "../quantity.ts";

/** A value that is of the right JSON type but cannot be read; the message is upstream's and stands alone. */
export class ScalarError extends Error {
  override readonly name = "ScalarError";
}

const SECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** metav1.Time: UTC, whole seconds. */
export function readTime(text: string): string {
  if (SECONDS.test(text) && !Number.isNaN(Date.parse(text))) return text;
  return `${momentOf(text, "2006-01-02T15:04:05Z07:00").utc}Z`;
}

/** metav1.MicroTime: UTC, six decimals. */
export function readMicroTime(text: string): string {
  const { utc, fraction } = momentOf(text, "2006-01-02T15:04:05.000000Z07:00");
  return `${utc}.${fraction.padEnd(6, "0").slice(0, 6)}Z`;
}

function momentOf(text: string, layout: string): { utc: string; fraction: string } {
  const match = RFC3339.exec(text);
  const at = match ? Date.parse(`${match[1]}${match[3]}`) : Number.NaN;
  if (!match || Number.isNaN(at)) throw new ScalarError(`parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)} as "2006"`);
  return { utc: new Date(at).toISOString().slice(0, 19), fraction: match[2] ?? "" };
}

/** Canonical base64; line breaks are allowed on the way in. */
export function readBytes(text: string): string {
  if (BASE64.test(text)) return text;
  const joined = text.replace(/[\r\n]/g, "");
  if (BASE64.test(joined)) return joined;
  const valid = /^[A-Za-z0-9+/]*/.exec(joined)?.[0].length ?? 0;
  throw new ScalarError(`illegal base64 data at input byte ${valid === joined.length ? Math.max(valid - 1, 0) : valid}`);
}

/** A quantity in canonical form; numbers are quantities too. */
export function readQuantity(value: string | number): string {
  try {
    return canonicalQuantity(String(value).trim());
  } catch (error) {
    if (error instanceof QuantityError) throw new ScalarError(error.message, { cause: error });
    throw error;
  }
}

/** Whether a number fits a Go integer of so many bits. */
export function fitsInteger(value: number, bits: number): boolean {
  return Number.isInteger(value) && (bits === 64 ? Math.abs(value) <= 2 ** 63 : value >= -(2 ** 31) && value < 2 ** 31);
}

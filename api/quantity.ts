// Quantities of resources ("250m", "1.5Gi", "12e6"): exact parsing, arithmetic and upstream's canonical text.
// Semantics: k8s.io/apimachinery/pkg/api/resource; which field is a quantity is the schema's business.

/** How a quantity was written, which is how it is written again. */
export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

/** An exact amount, in billionths. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
  /** Kept when the written form already was canonical, so that it comes back unchanged. */
  readonly written?: string;
}

/** The text is no quantity; the message is upstream's. */
export class QuantityError extends Error {
  override readonly name = "QuantityError";
}

const WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_SUFFIX = "unable to parse quantity's suffix";
const NUMBER_AND_SUFFIX = /^([+-]?)([0-9]*)(\.?)([0-9]*)([eEinumkKMGTP]*[-+]?[0-9]*)$/;
const DECIMAL_EXPONENTS: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, "": 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const BINARY_EXPONENTS: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const DECIMAL_SUFFIXES = new Map(Object.entries(DECIMAL_EXPONENTS).map(([suffix, exponent]) => [exponent, suffix]));
const BINARY_SUFFIXES = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const MAX_BINARY = (2n ** 63n - 1n) * 1_000_000_000n;
const NANO = 1_000_000_000n;
/** Beyond this many decimal places in either direction a number is not worth the memory it would take. */
const MAX_EXPONENT = 1_000;

export const ZERO: Quantity = { nano: 0n, format: "DecimalSI" };

/** Texts repeat endlessly ("100m", "128Mi"), so the latest few thousand are remembered. */
const parsed = new Map<string, Quantity>();
const canonical = new Map<string, string>();
const REMEMBERED = 4_096;

/** Reads a quantity; throws QuantityError in upstream's words. Amounts finer than a billionth are rounded away from zero. */
export function parseQuantity(text: string): Quantity {
  const known = parsed.get(text);
  if (known) return known;
  const quantity = parse(text);
  remember(parsed, text, quantity);
  return quantity;
}

/** The canonical form of a quantity as written, such as `1` for `1000m`; throws QuantityError. */
export function canonicalQuantity(text: string): string {
  const known = canonical.get(text);
  if (known !== undefined) return known;
  const result = formatQuantity(parseQuantity(text));
  remember(canonical, text, result);
  return result;
}

/** Canonical text: no fraction, the largest suffix that loses nothing. */
export function formatQuantity(quantity: Quantity): string {
  if (quantity.written !== undefined) return quantity.written;
  if (quantity.nano === 0n) return "0";
  return quantity.format === "BinarySI" && isShownInBinary(quantity.nano) ? formatBinary(quantity.nano / NANO) : formatDecimal(quantity);
}

/** Below zero, zero or above zero, as `a` is less than, equal to or more than `b`. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

/** a + b, written in the format of `a` unless that is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** a - b, written in the format of `a` unless that is zero. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** A whole amount, such as bytes. */
export function quantityOf(value: number, format: QuantityFormat = "DecimalSI"): Quantity {
  return { nano: BigInt(value) * NANO, format };
}

/** An amount in thousandths, such as CPU. */
export function quantityOfMilli(milli: number, format: QuantityFormat = "DecimalSI"): Quantity {
  return { nano: BigInt(milli) * 1_000_000n, format };
}

/** The amount as a whole number, rounded away from zero. */
export function wholeValue(quantity: Quantity): number {
  return Number(divideAwayFromZero(quantity.nano, NANO));
}

/** The amount in thousandths, rounded away from zero. */
export function milliValue(quantity: Quantity): number {
  return Number(divideAwayFromZero(quantity.nano, 1_000_000n));
}

function parse(text: string): Quantity {
  if (text === "") throw new QuantityError(WRONG_FORMAT);
  const match = NUMBER_AND_SUFFIX.exec(text);
  if (!match) throw new QuantityError(WRONG_FORMAT);
  const [, sign = "", whole = "", , fraction = "", suffix = ""] = match;
  const { base, exponent, format } = suffixOf(suffix);
  const written = isCanonical({ whole, fraction, base, exponent }) ? { written: text } : {};
  const digits = BigInt(`${whole}${fraction}` || "0");
  let nano = base === 2 ? scaled(digits << BigInt(exponent), 9 - fraction.length) : scaled(digits, exponent + 9 - fraction.length);
  if (format === "BinarySI" && nano > MAX_BINARY) nano = MAX_BINARY;
  const isTiny = format === "BinarySI" && nano < NANO && nano > 0n;
  return { nano: sign === "-" ? -nano : nano, format: isTiny ? "DecimalSI" : format, ...written };
}

/** digits x 10^power, rounded up. */
function scaled(digits: bigint, power: number): bigint {
  return power >= 0 ? digits * 10n ** BigInt(power) : divideAwayFromZero(digits, 10n ** BigInt(-power));
}

function divideAwayFromZero(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  if (quotient * divisor === value) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

function suffixOf(suffix: string): { base: 2 | 10; exponent: number; format: QuantityFormat } {
  const decimal = DECIMAL_EXPONENTS[suffix];
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: "DecimalSI" };
  const binary = BINARY_EXPONENTS[suffix];
  if (binary !== undefined) return { base: 2, exponent: binary, format: "BinarySI" };
  const exponent = /^[eE]([+-]?[0-9]+)$/.exec(suffix)?.[1];
  if (exponent === undefined || Math.abs(Number(exponent)) > MAX_EXPONENT) throw new QuantityError(WRONG_SUFFIX);
  return { base: 10, exponent: Number(exponent), format: "DecimalExponent" };
}

/** Upstream keeps the written text when a cheap look says that it is canonical already; so does this, quirks included. */
function isCanonical(q: { whole: string; fraction: string; base: 2 | 10; exponent: number }): boolean {
  const whole = q.whole.replace(/^0+/, "");
  if (q.base === 2) {
    const precision = 15 - whole.length - Math.trunc((q.exponent * 3) / 10) - 1;
    return q.fraction === "" && whole !== "" && precision >= 0 && (Number(whole) & 7) !== 0;
  }
  const shifted = `${whole}${q.fraction}`;
  const scale = q.exponent - q.fraction.length;
  return whole !== "" && shifted.length <= 18 && scale >= -9 && scale % 3 === 0 && !shifted.endsWith("000");
}

function isShownInBinary(nano: bigint): boolean {
  const limit = 1_024n * NANO;
  return (nano >= limit || nano <= -limit) && nano % NANO === 0n;
}

function formatBinary(value: bigint): string {
  let power = 0;
  while (value % 1_024n === 0n && power < BINARY_SUFFIXES.length - 1) {
    value /= 1_024n;
    power++;
  }
  return `${value}${BINARY_SUFFIXES[power]}`;
}

function formatDecimal(quantity: Quantity): string {
  let mantissa = quantity.nano;
  let exponent = -9;
  const largest = quantity.format === "DecimalExponent" ? Infinity : 18;
  while (exponent < largest && mantissa % 1_000n === 0n) {
    mantissa /= 1_000n;
    exponent += 3;
  }
  if (quantity.format === "DecimalExponent") return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
  return `${mantissa}${DECIMAL_SUFFIXES.get(exponent)}`;
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  if (map.size >= REMEMBERED) map.clear();
  map.set(key, value);
}

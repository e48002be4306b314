// Quantities and versions as CEL values: what can be asked of "1.5Gi" and of "1.2.3-beta".
// Functions: k8s.io/apiserver/pkg/cel/library (quantity, semver).
import type { Environment } from "@marcbachmann/cel-js";
import { addQuantities, compareQuantities, parseQuantity, quantityOf, subtractQuantities, type Quantity } from "../quantity.ts";

/** A quantity inside CEL. */
export class CelQuantity {
  constructor(readonly value: Quantity) {}
}

/** A semantic version inside CEL. */
export class CelVersion {
  constructor(readonly version: Version) {}
}

/** A version in its parts; build metadata does not count. */
export interface Version {
  readonly core: readonly [bigint, bigint, bigint];
  readonly pre: readonly string[];
}

const NANO = 1_000_000_000n;
const SEMVER = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$/;
const NUMERIC = /^\d+$/;

/** Adds the functions on quantities. */
export function quantities(env: Environment): void {
  env.registerType("kubernetes.Quantity", { ctor: CelQuantity });
  env.registerFunction("isQuantity(string): bool", isQuantity);
  env.registerFunction("quantity(string): kubernetes.Quantity", (text: string) => new CelQuantity(parseQuantity(text)));
  const on = (signature: string, handler: (a: CelQuantity, b: CelQuantity) => unknown): void => void env.registerFunction(`kubernetes.Quantity.${signature}`, handler);
  const compare = (a: CelQuantity, b: CelQuantity): number => compareQuantities(a.value, b.value);
  on("compareTo(kubernetes.Quantity): int", (a, b) => BigInt(Math.sign(compare(a, b))));
  on("isGreaterThan(kubernetes.Quantity): bool", (a, b) => compare(a, b) > 0);
  on("isLessThan(kubernetes.Quantity): bool", (a, b) => compare(a, b) < 0);
  on("sign(): int", ({ value }) => (value.nano > 0n ? 1n : value.nano < 0n ? -1n : 0n));
  on("isInteger(): bool", ({ value }) => value.nano % NANO === 0n);
  on("asInteger(): int", ({ value }) => {
    if (value.nano % NANO !== 0n) throw new Error("cannot convert value to integer");
    return value.nano / NANO;
  });
  on("asApproximateFloat(): double", ({ value }) => Number(value.nano) / Number(NANO));
  on("add(kubernetes.Quantity): kubernetes.Quantity", (a, b) => new CelQuantity(addQuantities(a.value, b.value)));
  on("sub(kubernetes.Quantity): kubernetes.Quantity", (a, b) => new CelQuantity(subtractQuantities(a.value, b.value)));
  env.registerFunction("kubernetes.Quantity.add(int): kubernetes.Quantity", (a: CelQuantity, b: bigint) => new CelQuantity(addQuantities(a.value, quantityOf(Number(b)))));
  env.registerFunction("kubernetes.Quantity.sub(int): kubernetes.Quantity", (a: CelQuantity, b: bigint) => new CelQuantity(subtractQuantities(a.value, quantityOf(Number(b)))));
  env.registerOperator("kubernetes.Quantity == kubernetes.Quantity", (a: CelQuantity, b: CelQuantity) => compare(a, b) === 0);
}

/** Adds the functions on semantic versions. */
export function versions(env: Environment): void {
  env.registerType("kubernetes.Semver", { ctor: CelVersion });
  env.registerFunction("isSemver(string): bool", (text: string) => parseVersion(text) !== undefined);
  env.registerFunction("isSemver(string, bool): bool", (text: string, isLoose: boolean) => parseVersion(isLoose ? normalized(text) : text) !== undefined);
  env.registerFunction("semver(string): kubernetes.Semver", (text: string) => versionOf(text, text));
  env.registerFunction("semver(string, bool): kubernetes.Semver", (text: string, isLoose: boolean) => versionOf(text, isLoose ? normalized(text) : text));
  const compare = (a: CelVersion, b: CelVersion): number => compareVersions(a.version, b.version);
  env.registerFunction("kubernetes.Semver.compareTo(kubernetes.Semver): int", (a: CelVersion, b: CelVersion) => BigInt(compare(a, b)));
  env.registerFunction("kubernetes.Semver.isGreaterThan(kubernetes.Semver): bool", (a: CelVersion, b: CelVersion) => compare(a, b) > 0);
  env.registerFunction("kubernetes.Semver.isLessThan(kubernetes.Semver): bool", (a: CelVersion, b: CelVersion) => compare(a, b) < 0);
  for (const [at, part] of ["major", "minor", "patch"].entries()) env.registerFunction(`kubernetes.Semver.${part}(): int`, ({ version }: CelVersion) => version.core[at as 0 | 1 | 2]);
  env.registerOperator("kubernetes.Semver == kubernetes.Semver", (a: CelVersion, b: CelVersion) => compare(a, b) === 0);
}

/** The parts of a version as https://semver.org has it; undefined for anything else. */
export function parseVersion(text: string): Version | undefined {
  const match = SEMVER.exec(text);
  if (!match) return undefined;
  const [, major = "0", minor = "0", patch = "0", pre] = match;
  return { core: [BigInt(major), BigInt(minor), BigInt(patch)], pre: pre === undefined ? [] : pre.split(".") };
}

/** -1, 0 or 1 by precedence; a version before its release comes first. */
export function compareVersions(a: Version, b: Version): number {
  for (const at of [0, 1, 2] as const) if (a.core[at] !== b.core[at]) return a.core[at] < b.core[at] ? -1 : 1;
  if (a.pre.length === 0 || b.pre.length === 0) return Math.sign(b.pre.length - a.pre.length);
  for (const [at, part] of a.pre.entries()) {
    const other = b.pre[at];
    if (other === undefined) return 1;
    if (part !== other) return comparePre(part, other);
  }
  return Math.sign(a.pre.length - b.pre.length);
}

function comparePre(a: string, b: string): number {
  const [isNumber, isOtherNumber] = [NUMERIC.test(a), NUMERIC.test(b)];
  if (isNumber && isOtherNumber) return BigInt(a) < BigInt(b) ? -1 : 1;
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  return a < b ? -1 : 1;
}

/** `v1.02` as `1.2.0`: a leading v, missing parts and leading zeros are forgiven. */
function normalized(text: string): string {
  const [, core = "", rest = ""] = /^v?(\d+(?:\.\d+){0,2})(.*)$/.exec(text) ?? [];
  const parts = core.split(".").map((part) => part.replace(/^0+(?=\d)/, ""));
  while (parts.length < 3) parts.push("0");
  return `${parts.join(".")}${rest}`;
}

function versionOf(written: string, text: string): CelVersion {
  const version = parseVersion(text);
  if (!version) throw new Error(`semver parse error during conversion from string: ${JSON.stringify(written)} is no semantic version`);
  return new CelVersion(version);
}

function isQuantity(text: string): boolean {
  try {
    return parseQuantity(text) !== undefined;
  } catch {
    return false;
  }
}

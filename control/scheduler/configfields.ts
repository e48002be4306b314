// Reading fields of a configuration file: what has the wrong type ends the reading, what has the wrong value is noted down.
// Sentences are upstream's, so that people find them.
import { field, type FieldError } from "../../api/errors.ts";

/** The file cannot be used; the message names every field that is wrong. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export type Fields = Readonly<Record<string, unknown>>;

/** What is wrong with the values of one file. */
export class Problems {
  readonly #sentences: string[] = [];

  add(problem: FieldError | string): void {
    this.#sentences.push(typeof problem === "string" ? problem : `${problem.field}: ${problem.message}`);
  }

  /** Throws ConfigError with all of them, as upstream puts several together. */
  throwIfAny(): void {
    if (this.#sentences.length > 0) throw new ConfigError(this.#sentences.length === 1 ? this.#sentences[0] : `[${this.#sentences.join(", ")}]`);
  }

  /** A whole number in a range that the sentence describes; out of it, it is noted down and taken as it is. */
  number(value: unknown, path: string, { min, max = Infinity, otherwise }: { min: number; max?: number; otherwise: string }): number | undefined {
    const number = numberOf(value, path);
    if (number !== undefined && (number < min || number > max)) this.add(field.invalid(path, number, otherwise));
    return number;
  }
}

/** Refuses fields nobody knows. */
export function allow(fields: Fields, path: string, names: readonly string[]): void {
  for (const name of Object.keys(fields)) if (!names.includes(name)) throw new ConfigError(`strict decoding error: unknown field ${JSON.stringify(path === "" ? name : `${path}.${name}`)}`);
}

export function fieldsOf(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ConfigError(`${path}: must be an object`);
  return value as Fields;
}

export function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new ConfigError(`${path}: must be a list`);
  return value;
}

/** A list of objects. */
export function fieldsListOf(value: unknown, path: string): readonly Fields[] {
  return listOf(value, path).map((item, i) => fieldsOf(item, `${path}[${i}]`));
}

export function stringOf(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new ConfigError(`${path}: must be a text, not ${JSON.stringify(value)}`);
  return value;
}

export function booleanOf(value: unknown, path: string): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw new ConfigError(`${path}: must be true or false, not ${JSON.stringify(value)}`);
  return value;
}

export function numberOf(value: unknown, path: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value)) throw new ConfigError(`${path}: must be a whole number, not ${JSON.stringify(value)}`);
  return value;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A Go duration such as `1m30s`, in milliseconds. */
export function durationOf(value: unknown, path: string): number | undefined {
  const text = stringOf(value, path);
  if (text === undefined) return undefined;
  if (!/^-?(0|(\d+(\.\d+)?(ms|s|m|h))+)$/.test(text)) throw new ConfigError(`${path}: must be a duration such as 10s, not ${JSON.stringify(text)}`);
  const ms = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ""] ?? 0), 0);
  return text.startsWith("-") ? -ms : ms;
}

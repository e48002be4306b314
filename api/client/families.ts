// Numbers of one process as Prometheus reads them: families of counters, gauges and histograms, each by its labels.
// Counted in plain numbers on the way; turned into text only when asked.
import { Histogram } from "./queuefigures.ts";

export interface FamilyOptions {
  readonly help: string;
  /** In the order of the alphabet, as Prometheus writes them. */
  readonly labels?: readonly string[];
  /** A histogram's. */
  readonly bounds?: readonly number[];
  /** Counter when left out. */
  readonly type?: "counter" | "gauge";
}

/** Label values and the number that goes with them. */
export type Reading = readonly [values: readonly string[], value: number];

/** A histogram's bounds, each `factor` times the one before. */
export function powers(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_unused, i) => start * factor ** i);
}

/** One number, or one distribution, of a family. */
interface Series {
  value: number;
  readonly histogram: Histogram | undefined;
}

/** Label values come from objects' names now and then: no more of them than this are told apart. */
const MAX_SERIES = 5000;

/** Families whose names begin alike; label values always in the order of the family's labels. */
export class Families<Name extends string> {
  readonly #families: ReadonlyMap<string, Family>;

  constructor(prefix: string, options: Readonly<Record<Name, FamilyOptions>>) {
    this.#families = new Map(Object.entries<FamilyOptions>(options).map(([name, one]) => [name, new Family(prefix + name, one)]));
  }

  add(name: Name, values: readonly string[] = [], by = 1): void {
    const series = this.#families.get(name)?.of(values);
    if (series) series.value += by;
  }

  set(name: Name, values: readonly string[], value: number): void {
    const series = this.#families.get(name)?.of(values);
    if (series) series.value = value;
  }

  observe(name: Name, values: readonly string[], value: number): void {
    this.#families.get(name)?.of(values)?.histogram?.observe(value);
  }

  /** What these labels name is no more. */
  forget(name: Name, values: readonly string[]): void {
    this.#families.get(name)?.forget(values);
  }

  lines(): string[] {
    return [...this.#families.values()].flatMap((family) => family.lines());
  }
}

/** All series of one name. */
class Family {
  readonly #series = new Map<string, Series>();

  constructor(private readonly name: string, private readonly options: FamilyOptions) {
    // What has no labels is there from the start, as upstream's is.
    if (!options.labels) this.of([]);
  }

  /** Undefined for one too many. */
  of(values: readonly string[]): Series | undefined {
    const key = keyOf(values);
    let series = this.#series.get(key);
    if (!series && this.#series.size < MAX_SERIES) this.#series.set(key, (series = { value: 0, histogram: this.options.bounds && new Histogram(this.options.bounds) }));
    return series;
  }

  forget(values: readonly string[]): void {
    this.#series.delete(keyOf(values));
  }

  lines(): string[] {
    const { name } = this;
    const { help, bounds, labels, type = "counter" } = this.options;
    const series = [...this.#series].map(([values, one]) => [labelled(labels, values), one] as const);
    return [
      `# HELP ${name} ${help}`, `# TYPE ${name} ${bounds ? "histogram" : type}`,
      ...series.flatMap(([text, { value, histogram }]) => histogram?.lines(name, text) ?? [`${name}${text === "" ? "" : `{${text}}`} ${value}`]),
    ];
  }
}

function keyOf(values: readonly string[]): string {
  return values.length === 1 ? (values[0] as string) : values.join("\0");
}

function labelled(names: readonly string[] = [], values: string): string {
  if (names.length === 0) return "";
  const parts = values.split("\0");
  return names.map((name, i) => `${name}="${parts[i]}"`).join();
}

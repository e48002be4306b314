// The table benchmarks print: what was measured, what is aimed at, what upstream takes.

/** One line of the table; `better` says which direction is good. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly upstream?: number;
  readonly goal?: number;
  readonly better: "lower" | "higher";
  readonly measured: number;
  /** CPU time the control plane took for each of what is counted, in microseconds: steadier than a rate on a busy machine. */
  readonly cpuMicros?: number | undefined;
}

/** Collects rows and prints each as it comes. */
export class Table {
  readonly #rows: Row[] = [];

  record(row: Row): void {
    this.#rows.push(row);
    process.stdout.write(`${row.name}: ${shown(row.measured)} ${row.unit}${row.cpuMicros === undefined ? "" : `, ${shown(row.cpuMicros)} us of CPU each`}\n`);
  }

  /** All rows as Markdown. */
  text(): string {
    const head = "| figure | unit | minik8s | goal | upstream | | CPU each, us |\n|---|---|---|---|---|---|---|";
    return [head, ...this.#rows.map((row) => `| ${row.name} | ${row.unit} | ${shown(row.measured)} | ${shown(row.goal)} | ${shown(row.upstream)} | ${verdict(row)} | ${shown(row.cpuMicros)} |`)].join("\n");
  }
}

function verdict({ measured, goal, better }: Row): string {
  if (goal === undefined) return "";
  const ratio = better === "higher" ? measured / goal : goal / measured;
  if (ratio >= 1) return "met";
  return `${Math.round(ratio * 100)} % of the goal`;
}

function shown(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(value < 10 ? 2 : 1);
}

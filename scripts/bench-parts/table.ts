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

/** The same figures of several things, a column each. */
export class SideBySide {
  readonly #columns: string[] = [];
  readonly #rows = new Map<string, { readonly row: Row; readonly measured: Map<string, number> }>();

  record(column: string, row: Row): void {
    if (!this.#columns.includes(column)) this.#columns.push(column);
    const known = this.#rows.get(row.name) ?? { row, measured: new Map<string, number>() };
    this.#rows.set(row.name, known);
    known.measured.set(column, row.measured);
    process.stdout.write(`${column}: ${row.name}: ${shown(row.measured)} ${row.unit}\n`);
  }

  /** All rows as Markdown. */
  text(): string {
    const columns = this.#columns.flatMap((column) => [column, ""]);
    const head = `| figure | unit | ${columns.join(" | ")} | goal | upstream |\n|${"---|".repeat(columns.length + 4)}`;
    const cells = ({ row, measured }: { readonly row: Row; readonly measured: ReadonlyMap<string, number> }): string =>
      this.#columns.map((column) => `${shown(measured.get(column))} | ${measured.has(column) ? verdict({ ...row, measured: measured.get(column) as number }) : ""}`).join(" | ");
    return [head, ...[...this.#rows.values()].map((each) => `| ${each.row.name} | ${each.row.unit} | ${cells(each)} | ${shown(each.row.goal)} | ${shown(each.row.upstream)} |`)].join("\n");
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

// `kubectl get` of custom resources: the name, then the columns the definition asks for.
// Rules: apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
import { since } from "../../kinds/print/duration.ts";
import type { Printer, TableColumn } from "../../kinds/strategy.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { DEFAULT_PRINTER } from "../../http/table.ts";
import { findAll, parseJsonPath, type Step } from "./jsonpath.ts";
import type { PrinterColumn } from "./schema.ts";

type Cell = string | number | boolean | null;

const NAME = DEFAULT_PRINTER.columns[0] as TableColumn;
const CREATED = DEFAULT_PRINTER.columns[1] as TableColumn;
const AGE: PrinterColumn = { name: "Age", type: "date", description: CREATED.description, jsonPath: ".metadata.creationTimestamp" };

/** Prints the columns of one version; its age alone when it names none. */
export function customPrinter(columns: readonly PrinterColumn[] = []): Printer {
  const parts = (columns.length > 0 ? columns : [AGE]).map((column) => ({ column, steps: parseJsonPath(column.jsonPath) ?? [] }));
  return {
    columns: [NAME, ...parts.map(({ column }) => columnOf(column))],
    cells: (object, now) => [object.metadata.name ?? "", ...parts.map(({ column, steps }) => cellOf(object, { column, steps, now }))],
  };
}

function columnOf({ name, type, format, description, priority }: PrinterColumn): TableColumn {
  return { name, type: type as TableColumn["type"], ...(format && { format }), description: description ?? `Custom resource definition column (in JSONPath format): ${name}`, priority: priority ?? 0 };
}

function cellOf(object: AnyObject, { column, steps, now }: { column: PrinterColumn; steps: readonly Step[]; now: number }): Cell {
  const found = findAll(object, steps);
  if (found.length === 0) return null;
  if (column.type === "string") return found.map(asText).join(" ");
  const [value] = found;
  if (column.type === "integer") return typeof value === "number" ? Math.trunc(value) : null;
  if (column.type === "number") return typeof value === "number" ? value : null;
  if (column.type === "boolean") return typeof value === "boolean" ? value : null;
  if (column.type !== "date" || typeof value !== "string") return null;
  return Number.isNaN(Date.parse(value)) ? "<invalid>" : since(value, now);
}

function asText(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

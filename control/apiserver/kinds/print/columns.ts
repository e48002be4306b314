// The columns of `kubectl get`, as data, and a way to say columns and cells of a kind side by side.
import type { KubeObject } from "../../../../api/types.ts";
import type { Printer, TableColumn } from "../strategy.ts";
import { since } from "./duration.ts";

export type Cell = string | number | boolean | null;

/** One column together with how its cell is read from an object. */
export interface ColumnOf<T> extends TableColumn {
  cell(object: T, now: number): Cell;
}

type CellOf<T> = (object: T, now: number) => Cell;

/** A printer whose every column says its own cell. */
export function printer<T extends KubeObject>(...columns: readonly ColumnOf<T>[]): Printer<T> {
  return {
    columns: columns.map(({ name, type, format, description, priority }) => ({ name, type, ...(format !== undefined && { format }), description, priority })),
    cells: (object, now) => columns.map((column) => column.cell(object, now)),
  };
}

/** A text column. */
export function text<T>(name: string, cell: CellOf<T>, description = ""): ColumnOf<T> {
  return { name, type: "string", description, priority: 0, cell };
}

/** A column of whole numbers. */
export function integer<T>(name: string, cell: CellOf<T>, description = ""): ColumnOf<T> {
  return { name, type: "integer", description, priority: 0, cell };
}

/** A column of true and false. */
export function boolean<T>(name: string, cell: CellOf<T>, description = ""): ColumnOf<T> {
  return { name, type: "boolean", description, priority: 0, cell };
}

/** The same column, shown only with `-o wide`. */
export function wide<T>(column: ColumnOf<T>): ColumnOf<T> {
  return { ...column, priority: 1 };
}

/** The object's name, which clients look for by its format. */
export function nameColumn<T extends KubeObject>(cell: CellOf<T> = (object) => object.metadata.name ?? ""): ColumnOf<T> {
  return { name: "Name", type: "string", format: "name", description: "Name is unique within a namespace.", priority: 0, cell };
}

/** How long ago the object was created. */
export function ageColumn<T extends KubeObject>(): ColumnOf<T> {
  return text("Age", (object, now) => since(object.metadata.creationTimestamp, now), "Time since the object was created.");
}

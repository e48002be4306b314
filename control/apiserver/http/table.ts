// Tables and metadata-only views: what `kubectl get` and metadata clients ask for instead of objects.
import { apiVersionOf, type KindInfo, listKindOf } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Printer, TableColumn } from "../kinds/strategy.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

const NAME_DESCRIPTION = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED_DESCRIPTION = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/** Prints name and creation time: what kinds without columns of their own show. */
export const DEFAULT_PRINTER: Printer = {
  columns: [
    { name: "Name", type: "string", format: "name", description: NAME_DESCRIPTION, priority: 0 },
    { name: "Created At", type: "date", description: CREATED_DESCRIPTION, priority: 0 },
  ],
  cells: ({ metadata }) => [metadata.name ?? "", metadata.creationTimestamp ?? "<unknown>"],
};

export interface TableOptions {
  readonly version: string;
  readonly includeObject: IncludeObject;
  readonly nowMs: number;
  readonly metadata?: Record<string, unknown>;
  /** Watches send columns only with their first event. */
  readonly omitColumns?: boolean;
}

/** A Table of objects in the order given; rows come last in it. */
export function tableOf(objects: readonly AnyObject[], printer: Printer | undefined, options: TableOptions): Record<string, unknown> {
  const { columns } = printer ?? DEFAULT_PRINTER;
  const apiVersion = `meta.k8s.io/${options.version}`;
  return {
    kind: "Table", apiVersion, metadata: options.metadata ?? {},
    columnDefinitions: options.omitColumns ? null : columns.map(columnDefinition),
    rows: objects.map((object) => rowOf(object, printer, options)),
  };
}

/** One row of a Table. */
export function rowOf(object: AnyObject, printer: Printer | undefined, { version, includeObject, nowMs }: TableOptions): Record<string, unknown> {
  const { cells } = printer ?? DEFAULT_PRINTER;
  return { cells: cells(object, nowMs), object: includeObject === "None" ? null : includeObject === "Object" ? object : partialOf(object, version) };
}

/** The metadata of one object. */
export function partialOf({ metadata }: AnyObject, version: string): Record<string, unknown> {
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata };
}

/** The kind of a list of `kind`. */
export function listHead(kind: KindInfo, metadata: Record<string, unknown>): Record<string, unknown> {
  return { kind: listKindOf(kind), apiVersion: apiVersionOf(kind), metadata };
}

function columnDefinition({ name, type, format, description, priority }: TableColumn): Record<string, unknown> {
  return { name, type, format: format ?? "", description, priority };
}

// Turns the selectors of a LIST or WATCH into what the cache understands; refuses fields the kind does not offer.
import { badRequest } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import { EVERYTHING, parseFieldSelector, parseLabelSelector, SelectorError, type FieldRequirement } from "../../../api/selectors.ts";
import { METADATA_READER, type Selection } from "../cache/selection.ts";
import type { Engine } from "../engine.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { fieldReaderOf } from "./convert.ts";

const NO_FIELDS: readonly FieldRequirement[] = [];

export interface SelectionRequest {
  /** Empty or left out: all namespaces. */
  readonly namespace?: string | undefined;
  /** One object only, as in `/pods/x?watch`. */
  readonly name?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** Parses a selection; throws 400 in upstream's words. */
export function parseSelection(engine: Engine, kind: KindInfo, request: SelectionRequest): Selection {
  if (!request.labelSelector && !request.fieldSelector) return { namespace: (kind.namespaced && request.namespace) || undefined, name: request.name || undefined, labels: EVERYTHING, fields: NO_FIELDS, reader: METADATA_READER };
  const { labels, fields: requirements } = parseSelectors(request);
  const strategy = engine.strategies.for(kind);
  for (const { field } of requirements) requireKnownField(kind, strategy, field);
  const nameField = exact(requirements, "metadata.name");
  const namespaceField = kind.namespaced ? exact(requirements, "metadata.namespace") : undefined;
  const namespace = request.namespace || namespaceField?.value || undefined;
  const name = request.name || nameField?.value || undefined;
  // A second, contradicting requirement stays a requirement, so that nothing matches.
  const fields = requirements.filter((requirement) => !(requirement === nameField && name === requirement.value) && !(requirement === namespaceField && namespace === requirement.value));
  return { namespace: kind.namespaced ? namespace : undefined, name, labels, fields, reader: fieldReaderOf(engine, kind) };
}

/** Parses both selectors of a query; throws 400 in upstream's words. */
export function parseSelectors({ labelSelector, fieldSelector }: SelectionRequest): { labels: ReturnType<typeof parseLabelSelector>; fields: FieldRequirement[] } {
  return { labels: worded(() => parseLabelSelector(labelSelector ?? "")), fields: fieldSelector ? worded(() => parseFieldSelector(fieldSelector)) : [] };
}

function exact(requirements: readonly FieldRequirement[], field: string): FieldRequirement | undefined {
  return requirements.find((requirement) => requirement.field === field && requirement.operator === "=" && requirement.value !== "");
}

function requireKnownField(kind: KindInfo, strategy: Strategy, field: string): void {
  if (field === "metadata.name" || (field === "metadata.namespace" && kind.namespaced)) return;
  if (!strategy.selectableFields) throw badRequest(`${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`);
  if (!(field in strategy.selectableFields({ kind: kind.kind, metadata: {}, spec: {}, status: {} }))) throw badRequest(`field label not supported: ${field}`);
}

function worded<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

// Kinds served under two group-versions: the stored form on one side, the asked-for form on the other.
// For all other kinds both are the same and nothing here does any work.
import type { KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { Entry } from "../cache/entry.ts";
import { metadataFields, type FieldReader } from "../cache/selection.ts";
import type { Engine } from "../engine.ts";
import { cloneJson, encodeObject } from "../json.ts";

/** The entry in the form of `kind`; made once per version. */
export function represent(engine: Engine, kind: KindInfo, entry: Entry): Entry {
  if (!kind.storedAs) return entry;
  return entry.view(`${kind.group}/${kind.version}`, () => {
    const object = fromStored(engine, kind, entry.object);
    return new Entry(entry.namespace, entry.name, entry.revision, { stored: encodeObject(object), object });
  });
}

/** A private copy of a stored object in the form of `kind`. */
export function fromStored(engine: Engine, kind: KindInfo, stored: AnyObject): AnyObject {
  const copy = cloneJson(stored);
  return kind.storedAs ? (engine.strategies.for(kind).convert?.fromStored(copy) ?? copy) : copy;
}

/** The stored form of an object of `kind`. */
export function toStored(engine: Engine, kind: KindInfo, object: AnyObject): AnyObject {
  return kind.storedAs ? (engine.strategies.for(kind).convert?.toStored(object) ?? object) : object;
}

/** How field selectors read objects of `kind`. */
export function fieldReaderOf(engine: Engine, kind: KindInfo): FieldReader {
  const strategy = engine.strategies.for(kind);
  return {
    name: `${kind.group}/${kind.version}`,
    read: (entry) => {
      const { object } = represent(engine, kind, entry);
      return strategy.selectableFields ? { ...metadataFields(object), ...strategy.selectableFields(object) } : metadataFields(object);
    },
  };
}

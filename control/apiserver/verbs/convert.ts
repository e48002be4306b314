// Kinds whose stored form is not the served one: the stored form on one side, the asked-for form on the other.
// For all other kinds both are the same and nothing here does any work.
import type { KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { Entry } from "../cache/entry.ts";
import { metadataFields, type FieldReader } from "../cache/selection.ts";
import type { Engine } from "../engine.ts";
import { cloneObject, encodeObject } from "../json.ts";

/** Whether objects of `kind` may be stored in another form than they are served in. */
export function isConverted(kind: KindInfo): boolean {
  return kind.storedAs !== undefined || kind.isCustom === true;
}

/** The entry in the form of `kind`; made once per version. Kinds that ask a webhook must have been made ready. */
export function represent(engine: Engine, kind: KindInfo, entry: Entry): Entry {
  if (kind.isCustom) return representCustom(engine, kind, entry);
  if (!kind.storedAs) return entry;
  return entry.view(`${kind.group}/${kind.version}`, () => {
    const copy = cloneObject(entry.object);
    return served(entry, engine.strategies.for(kind).convert?.fromStored(copy) ?? copy);
  });
}

/** Makes the served forms that cannot be made at once; undefined when there is nothing to wait for. */
export function makeReady(engine: Engine, kind: KindInfo, entries: readonly Entry[]): Promise<void> | undefined {
  const conversion = kind.isCustom ? engine.strategies.for(kind).conversion : undefined;
  if (!conversion) return undefined;
  const missing = entries.filter((entry) => entry.seen(conversion.key) === undefined);
  if (missing.length === 0) return undefined;
  const made = conversion.fromStored(missing.map(({ object }) => object));
  const keep = (objects: readonly AnyObject[]): void => missing.forEach((entry, index) => void entry.view(conversion.key, () => servedOrSame(entry, objects[index] as AnyObject)));
  if (made instanceof Promise) return made.then(keep);
  keep(made);
  return undefined;
}

/** A private copy of a stored object in the form of `kind`. */
export function fromStored(engine: Engine, kind: KindInfo, entry: Entry): AnyObject {
  return cloneObject(represent(engine, kind, entry).object);
}

/** The stored form of an object of `kind`. */
export function toStored(engine: Engine, kind: KindInfo, object: AnyObject): AnyObject | Promise<AnyObject> {
  if (!isConverted(kind)) return object;
  const { convert, conversion } = engine.strategies.for(kind);
  return conversion?.toStored(object) ?? convert?.toStored(object) ?? object;
}

/** How field selectors read objects of `kind`. */
export function fieldReaderOf(engine: Engine, kind: KindInfo): FieldReader {
  const strategy = engine.strategies.for(kind);
  return {
    name: `${kind.group}/${kind.version}`,
    read: (entry) => {
      const { object } = readable(engine, kind, entry);
      return strategy.selectableFields ? { ...metadataFields(object), ...strategy.selectableFields(object) } : metadataFields(object);
    },
  };
}

function readable(engine: Engine, kind: KindInfo, entry: Entry): Entry {
  try {
    return represent(engine, kind, entry);
  } catch {
    // Selecting cannot wait for a webhook: it goes by what is stored.
    return entry;
  }
}

function representCustom(engine: Engine, kind: KindInfo, entry: Entry): Entry {
  const { conversion } = engine.strategies.for(kind);
  if (!conversion) return entry;
  return entry.view(conversion.key, () => {
    const made = conversion.fromStored([entry.object]);
    if (made instanceof Promise) {
      made.catch(() => undefined);
      throw new Error(`objects of ${kind.plural} must be converted before they are read`);
    }
    return servedOrSame(entry, made[0] as AnyObject);
  });
}

function servedOrSame(entry: Entry, object: AnyObject): Entry {
  return object === entry.object ? entry : served(entry, object);
}

function served({ namespace, name, revision }: Entry, object: AnyObject): Entry {
  return new Entry(namespace, name, revision, { stored: encodeObject(object), object });
}

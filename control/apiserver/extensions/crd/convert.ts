// Between the versions of one custom resource, and from what is stored to what its schema says today.
// Without a webhook all versions are the same fields; with one, it is asked for all objects of a read at once.
import type { GroupVersionKind } from "../../../../api/kinds.ts";
import type { SchemaEngine } from "../../../../api/schema/engine.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { cloneJson, equalJson } from "../../json.ts";
import type { Conversion } from "../../kinds/strategy.ts";
import type { Crd, CrdVersion } from "./schema.ts";

/** Converts objects to an `apiVersion`; in the order given. */
export type Converter = (objects: readonly AnyObject[], apiVersion: string) => Promise<readonly AnyObject[]>;

export interface ConversionParts {
  readonly crd: Crd;
  readonly version: CrdVersion;
  readonly kind: GroupVersionKind;
  readonly storageVersion: string;
  readonly schema: SchemaEngine;
  /** Asks the webhook; undefined where there is none. */
  readonly converter: Converter | undefined;
}

/** How one served version is made from what is stored, and back. */
export function customConversion({ crd, version, kind, storageVersion, schema, converter }: ConversionParts): Conversion {
  const { group } = crd.spec;
  const served = `${group}/${version.name}`;
  const stored = `${group}/${storageVersion}`;
  const today = (object: AnyObject): AnyObject => asOfToday(schema, kind, object);
  return {
    isAsynchronous: converter !== undefined,
    key: `${crd.metadata.uid} ${crd.metadata.generation} ${version.name}`,
    fromStored(objects) {
      if (!converter || objects.every(({ apiVersion }) => apiVersion === served)) return objects.map((object) => today(renamed(object, served)));
      return convertSome(objects, served, converter).then((found) => found.map(today));
    },
    toStored(object) {
      if (!converter || object.apiVersion === stored) return renamed(object, stored);
      return converter([object], stored).then(([found]) => found as AnyObject);
    },
  };
}

async function convertSome(objects: readonly AnyObject[], apiVersion: string, converter: Converter): Promise<readonly AnyObject[]> {
  const others = objects.filter((object) => object.apiVersion !== apiVersion);
  const made = new Map<AnyObject, AnyObject>();
  (await converter(others, apiVersion)).forEach((object, index) => made.set(others[index] as AnyObject, object));
  return objects.map((object) => made.get(object) ?? object);
}

function renamed(object: AnyObject, apiVersion: string): AnyObject {
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion, metadata: { ...object.metadata } };
}

/** Pruned and defaulted by the schema of today; the object itself where that changes nothing. */
function asOfToday(schema: SchemaEngine, kind: GroupVersionKind, object: AnyObject): AnyObject {
  const copy = schema.decode(kind, cloneJson(object), { mode: "Ignore" }).object;
  schema.applyDefaults(kind, copy);
  return equalJson(copy, object) ? object : copy;
}

// Where objects live in the store, and what an object is called there.
// Kinds that are served under two group-versions share one place.
import { KINDS, type KindInfo } from "../../api/kinds.ts";

/** Every object's key starts with this. */
export const ROOT = "/registry/";

/** `<group or core>/<plural>`: names one resource in the store, whatever version it is served in. */
export function resourceOf(kind: KindInfo): string {
  const group = kind.storedAs?.group ?? kind.group;
  return `${group === "" ? "core" : group}/${kind.plural}`;
}

/** The store's key of one object; `namespace` is empty for cluster-scoped kinds. */
export function storeKey(resource: string, namespace: string, name: string): string {
  return namespace === "" ? `${ROOT}${resource}/${name}` : `${ROOT}${resource}/${namespace}/${name}`;
}

/** The parts of a store key; undefined for keys that are not objects. */
export function splitStoreKey(key: string): { resource: string; namespace: string; name: string } | undefined {
  const [root, registry, group, plural, first, second] = key.split("/");
  if (root !== "" || registry !== "registry" || !group || !plural || !first) return undefined;
  return second === undefined ? { resource: `${group}/${plural}`, namespace: "", name: first } : { resource: `${group}/${plural}`, namespace: first, name: second };
}

/** The kind whose form is stored: the row itself, or the row it is stored as. */
export function storedKind(kind: KindInfo): KindInfo {
  if (!kind.storedAs) return kind;
  const { group, version } = kind.storedAs;
  const stored = KINDS.find((row) => row.group === group && row.version === version && row.plural === kind.plural);
  if (!stored) throw new Error(`${kind.plural} is stored as ${group}/${version}, which is not in the table of kinds`);
  return stored;
}

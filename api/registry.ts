// The kinds being served right now: the built-in table plus whatever is added at run time (custom resources).
// Lookups are by group-version-plural and by kind; listeners hear of every change.
import { KINDS, type KindInfo } from "./kinds.ts";

/** A set of served kinds that can change while running. */
export class KindRegistry {
  readonly #byResource = new Map<string, KindInfo>();
  readonly #byKind = new Map<string, KindInfo>();
  readonly #listeners = new Set<() => void>();

  constructor(kinds: readonly KindInfo[] = KINDS) {
    for (const kind of kinds) this.#put(kind);
  }

  /** The kind served at `/apis/<group>/<version>/<plural>`, or undefined. */
  resource(group: string, version: string, plural: string): KindInfo | undefined {
    return this.#byResource.get(`${group}/${version}/${plural}`);
  }

  /** The served kind with this group, version and kind name, or undefined. */
  kind(group: string, version: string, kind: string): KindInfo | undefined {
    return this.#byKind.get(`${group}/${version}/${kind}`);
  }

  /** All served kinds in table order. */
  all(): readonly KindInfo[] {
    return [...this.#byResource.values()];
  }

  /** Adds or replaces a kind. */
  add(kind: KindInfo): void {
    this.#put(kind);
    for (const listener of this.#listeners) listener();
  }

  /** Removes a kind; absent kinds are ignored. */
  remove(kind: KindInfo): void {
    this.#byResource.delete(`${kind.group}/${kind.version}/${kind.plural}`);
    this.#byKind.delete(`${kind.group}/${kind.version}/${kind.kind}`);
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after each change; returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #put(kind: KindInfo): void {
    this.#byResource.set(`${kind.group}/${kind.version}/${kind.plural}`, kind);
    this.#byKind.set(`${kind.group}/${kind.version}/${kind.kind}`, kind);
  }
}

const builtin = new KindRegistry();

/** A built-in kind by group, version and kind name; throws for a name that is not in the table (a programming error). */
export function builtinKind(group: string, version: string, kind: string): KindInfo {
  const found = builtin.kind(group, version, kind);
  if (!found) throw new Error(`no built-in kind ${kind} in ${group || "core"}/${version}`);
  return found;
}

// One OpenAPI document of version 2 made of several: paths once, equal definitions shared, others renamed with all that refer to them.
// Rules: k8s.io/kube-openapi/pkg/aggregator.

/** As much of a document as merging looks at. */
export interface Swagger {
  readonly paths?: Named;
  readonly definitions?: Named;
  readonly parameters?: Named;
}

type Named = Readonly<Record<string, unknown>>;
type Section = "definitions" | "parameters";

const GVK = "x-kubernetes-group-version-kind";
const REF = /^#\/(definitions|parameters)\/(.*)$/s;

/** A document with only the paths that `keeps` wants, and without the definitions only the others use. */
export function filtered(document: Swagger, keeps: (path: string) => boolean): Swagger {
  const { paths = {}, definitions = {} } = document;
  const kept = { ...document, paths: Object.fromEntries(Object.entries(paths).filter(([path]) => keeps(path))) };
  const usedAtFirst = usedDefinitions(document);
  const used = usedDefinitions(kept);
  return { ...kept, definitions: Object.fromEntries(Object.entries(definitions).filter(([name]) => used.has(name) || !usedAtFirst.has(name))) };
}

/** `first` with all that the others add; of paths that two have the earlier one counts. */
export function merged(first: Swagger, others: readonly Swagger[]): Swagger {
  return others.reduce(addedTo, first);
}

function addedTo(into: Swagger, one: Swagger): Swagger {
  const taken = into.paths ?? {};
  const fresh = Object.keys(one.paths ?? {}).filter((path) => !Object.hasOwn(taken, path));
  if (fresh.length === 0) return into;
  const own = fresh.length === Object.keys(one.paths ?? {}).length ? one : filtered(one, (path) => !Object.hasOwn(taken, path));
  const named = renamed(own, "definitions", conflicts(into.definitions, own.definitions, areSameButForKinds));
  const source = renamed(named, "parameters", conflicts(into.parameters, named.parameters, Bun.deepEquals));
  return { ...into, paths: sorted({ ...taken, ...source.paths }), definitions: sorted(union(into.definitions, source.definitions)), parameters: sorted({ ...source.parameters, ...into.parameters }) };
}

/** What has to go by another name because its own means something else already: `<name>_v2` and so on. */
function conflicts(into: Named = {}, from: Named = {}, areSame: (a: unknown, b: unknown) => boolean): Map<string, string> {
  const renames = new Map<string, string>();
  const used = new Set(Object.keys(into));
  for (const [name, value] of Object.entries(from)) {
    if (!Object.hasOwn(into, name) || areSame(into[name], value)) continue;
    let number = 2;
    while (Object.hasOwn(into, `${name}_v${number}`) && !areSame(into[`${name}_v${number}`], value)) number++;
    if (!Object.hasOwn(into, `${name}_v${number}`)) while (used.has(`${name}_v${number}`) || Object.hasOwn(from, `${name}_v${number}`)) number++;
    renames.set(name, `${name}_v${number}`);
    used.add(`${name}_v${number}`);
  }
  return renames;
}

function renamed(document: Swagger, section: Section, renames: ReadonlyMap<string, string>): Swagger {
  if (renames.size === 0) return document;
  const changed = withReferences(document, (place, name) => `#/${place}/${place === section ? (renames.get(name) ?? name) : name}`);
  return { ...changed, [section]: Object.fromEntries(Object.entries(changed[section] ?? {}).map(([name, value]) => [renames.get(name) ?? name, value])) };
}

/** Two definitions may differ in the kinds they stand for: whoever is merged has all of them. */
function union(into: Named = {}, from: Named = {}): Named {
  const added = Object.entries(from).map(([name, value]) => [name, Object.hasOwn(into, name) ? withKindsOf(into[name] as Named, value as Named) : value]);
  return { ...into, ...(Object.fromEntries(added) as Named) };
}

function withKindsOf(definition: Named, other: Named): Named {
  const theirs = other[GVK] as readonly Named[] | undefined;
  const ours = definition[GVK] as readonly Named[] | undefined;
  if (!theirs) return definition;
  if (!ours) return { ...definition, [GVK]: theirs };
  const all = new Map([...ours, ...theirs].map((gvk) => [`${String(gvk["group"])}/${String(gvk["version"])}.${String(gvk["kind"])}`, gvk]));
  return all.size === ours.length ? definition : { ...definition, [GVK]: [...all].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, gvk]) => gvk) };
}

function areSameButForKinds(a: unknown, b: unknown): boolean {
  return Bun.deepEquals({ ...(a as Named), [GVK]: undefined }, { ...(b as Named), [GVK]: undefined });
}

/** The definitions that can be reached from outside of the definitions. */
function usedDefinitions({ definitions = {}, ...rest }: Swagger): Set<string> {
  const used = new Set<string>();
  const follow = (value: unknown): void => {
    withReferences(value, (place, name) => {
      if (place !== "definitions" || used.has(name)) return undefined;
      used.add(name);
      follow(definitions[name]);
      return undefined;
    });
  };
  follow(rest);
  return used;
}

/** The same document with every reference as `rename` wants it; undefined leaves it. */
function withReferences<T>(value: T, rename: (place: Section, name: string) => string | undefined): T {
  if (Array.isArray(value)) return value.map((item) => withReferences(item as unknown, rename)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => {
    const match = key === "$ref" && typeof item === "string" ? REF.exec(item) : null;
    return [key, match ? (rename(match[1] as Section, match[2] as string) ?? item) : withReferences(item as unknown, rename)];
  })) as T;
}

function sorted(named: Named): Named {
  return Object.fromEntries(Object.entries(named).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

// What a server offers, read from its own discovery and OpenAPI documents: resources, verbs and the schema of each body.

/** A node of an OpenAPI v2 or structural schema, as far as values are made from it. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-group-version-kind"?: readonly { group: string; version: string; kind: string }[];
}

/** One resource or subresource that can be asked for. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  /** Empty for the resource itself. */
  readonly subresource: string;
  readonly schema: Schema | undefined;
}

/** Everything a fuzzer may aim at. */
export interface Surface {
  readonly resources: readonly Resource[];
  readonly definitions: Readonly<Record<string, Schema>>;
}

interface Discovered { resource: string; responseKind?: { group?: string; version?: string; kind?: string }; scope: string; verbs?: string[]; subresources?: { subresource: string; responseKind?: Discovered["responseKind"]; verbs?: string[] }[] }
interface Groups { items: { metadata?: { name?: string }; versions: { version: string; resources?: Discovered[] }[] }[] }

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** Reads discovery and OpenAPI through `get`. */
export async function readSurface(get: (path: string, accept: string) => Promise<unknown>): Promise<Surface> {
  const [core, groups, openapi] = await Promise.all([get("/api", AGGREGATED), get("/apis", AGGREGATED), get("/openapi/v2", "application/json")]);
  const { definitions } = openapi as { definitions: Record<string, Schema> };
  const byKind = new Map<string, Schema>();
  for (const schema of Object.values(definitions)) for (const gvk of schema["x-kubernetes-group-version-kind"] ?? []) byKind.set(`${gvk.group}/${gvk.version}/${gvk.kind}`, schema);
  const resources = [...(core as Groups).items, ...(groups as Groups).items].flatMap(({ metadata, versions }) =>
    versions.flatMap(({ version, resources: found = [] }) => found.flatMap((one) => resourcesOf(one, { group: metadata?.name ?? "", version, byKind }))));
  return { resources, definitions };
}

function resourcesOf({ resource, responseKind, scope, verbs = [], subresources = [] }: Discovered, { group, version, byKind }: { group: string; version: string; byKind: Map<string, Schema> }): Resource[] {
  const place = { group, version, plural: resource, namespaced: scope === "Namespaced" };
  const schemaOf = (kind: Discovered["responseKind"]): Schema | undefined => byKind.get(`${kind?.group || (kind?.version ? "" : group)}/${kind?.version || version}/${kind?.kind ?? ""}`) ?? byKind.get(`${group}/${version}/${kind?.kind ?? ""}`);
  const whole = { ...place, kind: responseKind?.kind ?? "", verbs, subresource: "", schema: schemaOf(responseKind) };
  return [whole, ...subresources.map((sub) => ({ ...place, kind: sub.responseKind?.kind ?? "", verbs: sub.verbs ?? [], subresource: sub.subresource, schema: schemaOf(sub.responseKind) }))];
}

/** Where a resource is served. */
export function basePath({ group, version }: { group: string; version: string }): string {
  return group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
}

// What another API server says it serves, as rows of the table of kinds, so that discovery shows it like everything else.
import { row, type KindInfo, type Verb } from "../../../../api/kinds.ts";

/** An APIResource as another server lists it. */
export interface RemoteResource {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

/** An APIResourceList as rows of the table of kinds. */
export function kindsOf({ resources = [] }: { resources?: readonly RemoteResource[] }, gv: { group: string; version: string }): KindInfo[] {
  return resources.filter(({ name }) => !name.includes("/")).map((main) => {
    const subs = resources.filter(({ name }) => name.startsWith(`${main.name}/`));
    return row(gv.group, gv.version, main.name, main.kind, main.namespaced, {
      singular: main.singularName || main.kind.toLowerCase(), shortNames: main.shortNames ?? [], categories: main.categories ?? [], verbs: main.verbs as Verb[],
      subresources: Object.fromEntries(subs.map((sub) => [sub.name.slice(main.name.length + 1), { as: [sub.group ?? gv.group, sub.version ?? gv.version, sub.kind] as const, verbs: sub.verbs as Verb[] }])),
    });
  });
}

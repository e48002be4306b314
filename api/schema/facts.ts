// Reads the notation in which facts about fields are written down, and holds the facts about whole types.
// Used at build time only, by `scripts/schema.ts`; what a fact does is the engine's business.
import { CORE_FACTS } from "./facts-core.ts";
import { DEFAULT_FACTS } from "./facts-defaults.ts";
import { GROUP_FACTS } from "./facts-groups.ts";

/**
 * How Go writes a field it was given nothing for: `pointer` leaves it out (and keeps a zero that was given),
 * `value` leaves out zeros too, `always` writes the zero (`{}` for structs, null for lists), `null` writes null.
 */
export type Presence = "pointer" | "value" | "always" | "null";

/** What is known about one field beyond its model. */
export interface FieldFact {
  /** `<Quantity>`: the type, where the model only says string, map of strings or any. */
  type?: string;
  /** `[name,protocol]` is a map list with these keys, `[]` a set, `[-]` a list without a type, `[.]` bytes that count as an atomic list; lists are atomic otherwise. */
  listKeys?: readonly string[];
  listType?: "set" | "none" | "atomic";
  /** `{atomic}` or `{granular}`. */
  mapType?: string;
  /** `+name` merges by that key, `+` merges scalars, `^` retains keys, `%replace` replaces. */
  mergeKey?: string;
  strategy?: string;
  /** `*` pointer, `~` value, `!` always, `*!` null. */
  presence?: Presence;
  /** `="TCP"` is published and applied; `=-` says that not even the zero is published. */
  publishedDefault?: unknown;
  /** `:=30` is applied but not published. */
  default?: unknown;
}

const WORD = /^([^<[{+^%*~!:=]+)(?:<(\w+)>)?(?:\[([^\]]*)\])?(?:\{(\w+)\})?(\+[\w-]*)?(\^)?(%\w+)?(\*!|[*~!])?(?::=(.+?))?(?:=(.+))?$/;
const LIST_TYPES: Readonly<Record<string, "set" | "none" | "atomic">> = { "": "set", "-": "none", ".": "atomic" };
const PRESENCES: Readonly<Record<string, Presence>> = { "*": "pointer", "~": "value", "!": "always", "*!": "null" };

/** Every fact, by short type name (`core.v1.Pod`) and field. */
export function readFacts(): Map<string, Map<string, FieldFact>> {
  const facts = new Map<string, Map<string, FieldFact>>();
  for (const line of [CORE_FACTS, GROUP_FACTS, DEFAULT_FACTS].join("\n").split("\n")) {
    if (line === "") continue;
    const [type, ...words] = line.split(" ");
    const name = (type as string).slice(0, -1);
    const fields = facts.get(name) ?? new Map<string, FieldFact>();
    facts.set(name, fields);
    for (const word of words) {
      const { field, fact } = readWord(word);
      fields.set(field, { ...fields.get(field), ...fact });
    }
  }
  return facts;
}

function readWord(word: string): { field: string; fact: FieldFact } {
  const match = WORD.exec(word);
  if (!match) throw new Error(`cannot read the fact ${word}`);
  const [, field, type, list, mapType, merge, retain, strategy, presence, applied, published] = match;
  const fact: FieldFact = {};
  if (type) fact.type = type;
  const listType = list === undefined ? undefined : LIST_TYPES[list];
  if (listType) fact.listType = listType;
  else if (list !== undefined) fact.listKeys = list.split(",");
  if (mapType) fact.mapType = mapType;
  if (merge && merge !== "+") fact.mergeKey = merge.slice(1);
  const strategies = [merge && "merge", retain && "retainKeys", strategy?.slice(1)].filter(Boolean);
  if (strategies.length > 0) fact.strategy = strategies.join(",");
  if (presence) fact.presence = PRESENCES[presence] as Presence;
  if (published !== undefined) fact.publishedDefault = published === "-" ? undefined : (JSON.parse(published) as unknown);
  if (applied !== undefined) fact.default = JSON.parse(applied);
  return { field: field as string, fact };
}

/** Types whose values are owned and merged as one. */
export const ATOMIC_TYPES: ReadonlySet<string> = new Set([
  "core.v1.ConfigMapKeySelector", "core.v1.EndpointAddress", "core.v1.EndpointPort", "core.v1.FileKeySelector", "core.v1.LocalObjectReference", "core.v1.NodeSelector",
  "core.v1.NodeSelectorTerm", "core.v1.ObjectFieldSelector", "core.v1.ObjectReference", "core.v1.ResourceFieldSelector", "core.v1.ScopeSelector", "core.v1.SecretKeySelector",
  "core.v1.SecretReference", "core.v1.TopologySelectorTerm", "core.v1.TypedLocalObjectReference", "meta.v1.LabelSelector", "meta.v1.OwnerReference",
  "admissionregistration.v1.MatchResources", "admissionregistration.v1.NamedRuleWithOperations", "admissionregistration.v1.ParamKind", "admissionregistration.v1.ParamRef",
  "admissionregistration.v1.Variable", "autoscaling.v1.CrossVersionObjectReference", "discovery.v1.EndpointPort", "networking.v1.ServiceBackendPort", "rbac.v1.RoleRef", "rbac.v1.Subject",
]);

/** Unions: the discriminating field (if any) and the fields it chooses between. */
export const UNIONS: Readonly<Record<string, { readonly discriminator?: string; readonly fields: readonly string[] }>> = {
  "core.v1.AppArmorProfile": { discriminator: "type", fields: ["localhostProfile"] },
  "core.v1.PodSchedulingGroup": { fields: ["podGroupName"] },
  "core.v1.SeccompProfile": { discriminator: "type", fields: ["localhostProfile"] },
  "flowcontrol.v1.LimitResponse": { discriminator: "type", fields: ["queuing"] },
  "flowcontrol.v1.PriorityLevelConfigurationSpec": { discriminator: "type", fields: ["exempt", "limited"] },
  "flowcontrol.v1.Subject": { discriminator: "kind", fields: ["group", "serviceAccount", "user"] },
};

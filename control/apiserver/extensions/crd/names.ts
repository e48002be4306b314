// Which names a definition gets: what another one of its group already has is refused.
// Rules and wording: apiextensions-apiserver/pkg/controller/status/naming_controller.go.
import type { Condition, Crd, CrdNames, CrdStatus } from "./schema.ts";
import { hasCondition } from "./schema.ts";

/** The status a definition should have; `others` are the definitions of its group, itself left out. */
export function namedStatus(crd: Crd, others: readonly Crd[], now: string): CrdStatus {
  const { names } = crd.spec;
  const wanted: CrdNames = { ...names, singular: names.singular || names.kind.toLowerCase(), listKind: names.listKind || `${names.kind}List` };
  const { accepted, condition } = acceptedNames(crd, wanted, others);
  const isAccepted = condition.status === "True";
  const established: Condition = isAccepted || hasCondition(crd, "Established")
    ? { type: "Established", status: "True", reason: "InitialNamesAccepted", message: "the initial names have been accepted" }
    : { type: "Established", status: "False", reason: "NotAccepted", message: "not all names are accepted" };
  return { ...crd.status, acceptedNames: accepted, conditions: withConditions(withConditions(crd.status?.conditions ?? [], condition, now), established, now) };
}

function present(list: readonly (string | undefined)[]): Set<string> {
  return new Set(list.filter((name): name is string => !!name));
}

/** Sets a condition; its time changes only with its status. */
export function withConditions(conditions: readonly Condition[], condition: Condition, now: string): Condition[] {
  const known = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime = known?.status === condition.status ? (known.lastTransitionTime ?? now) : now;
  const next = { lastTransitionTime, message: condition.message, reason: condition.reason, status: condition.status, type: condition.type };
  return known ? conditions.map((one) => (one === known ? next : one)) : [...conditions, next];
}

function acceptedNames(crd: Crd, wanted: CrdNames, others: readonly Crd[]): { accepted: CrdNames; condition: Condition } {
  const taken = takenNames(others);
  const before = crd.status?.acceptedNames;
  const accepted: { -readonly [Name in keyof CrdNames]: CrdNames[Name] } = { ...before, plural: before?.plural ?? "", kind: before?.kind ?? "" };
  let problem: { reason: string; message: string } | undefined;
  const refuse = (reason: string, name: string): void => void (problem = { reason, message: `${JSON.stringify(name)} is already in use` });
  for (const [key, reason, names] of [["plural", "PluralConflict", taken.resources], ["singular", "SingularConflict", taken.resources], ["kind", "KindConflict", taken.kinds], ["listKind", "ListKindConflict", taken.kinds]] as const) {
    const name = wanted[key] as string;
    if (names.has(name)) refuse(reason, name);
    else accepted[key] = name;
  }
  const clash = wanted.shortNames?.find((name) => taken.resources.has(name));
  if (clash !== undefined) refuse("ShortNamesConflict", clash);
  else if (wanted.shortNames) accepted.shortNames = wanted.shortNames;
  else delete accepted.shortNames;
  if (wanted.categories) accepted.categories = wanted.categories;
  else delete accepted.categories;
  const condition = problem ? { type: "NamesAccepted", status: "False", ...problem } : { type: "NamesAccepted", status: "True", reason: "NoConflicts", message: "no conflicts found" };
  return { accepted, condition };
}

function takenNames(others: readonly Crd[]): { resources: Set<string>; kinds: Set<string> } {
  const names = others.map(({ status }) => status?.acceptedNames).filter((found) => found !== undefined);
  return {
    resources: present(names.flatMap(({ plural, singular, shortNames = [] }) => [plural, singular, ...shortNames])),
    kinds: present(names.flatMap(({ kind, listKind }) => [kind, listKind])),
  };
}

// LimitRanger: the limits of a namespace, filled into pods that say nothing and held against those that say too much.
import { compareQuantities, milliValue, parseQuantity, ZERO } from "../../../api/quantity.ts";
import type { Client } from "../../../api/client/client.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Container, LimitRange, PersistentVolumeClaim, Pod, PodSpec } from "../../../api/types.ts";
import { aggregateResources, type ResourceList } from "../../../api/podresources.ts";
import { isOn, joined, refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

const LIMIT_RANGE = builtinKind("", "v1", "LimitRange");
const ANNOTATION = "kubernetes.io/limit-ranger";
type Limit = NonNullable<LimitRange["spec"]>["limits"][number];
type Usage = { readonly requests: Readonly<ResourceList>; readonly limits: Readonly<ResourceList> };

/** Applies the limits of a namespace. */
export function limitRanger(): AdmissionPlugin {
  return {
    name: "LimitRanger",
    concerns: (door) => isOn(door, "pods", ["CREATE"]) || isOn(door, "pods", ["UPDATE"], "resize") || isOn(door, "persistentvolumeclaims", ["CREATE", "UPDATE"]),
    async admit(attributes, client) {
      if (attributes.kind.plural !== "pods" || isGoing(attributes)) return;
      for (const { spec } of await rangesOf(client, attributes)) fillIn(attributes.object as Pod, spec?.limits ?? []);
    },
    async validate(attributes, client) {
      if (isGoing(attributes)) return;
      const isPod = attributes.kind.plural === "pods";
      for (const { spec } of await rangesOf(client, attributes)) {
        const limits = spec?.limits ?? [];
        const reasons = isPod ? podReasons((attributes.object as Pod).spec as PodSpec, limits) : claimReasons(attributes.object as PersistentVolumeClaim, limits);
        if (reasons.length > 0) throw refuse(attributes, joined(reasons));
      }
    },
  };
}

function isGoing({ oldObject }: Attributes): boolean {
  return oldObject?.metadata.deletionTimestamp !== undefined;
}

async function rangesOf(client: Client, { namespace }: Attributes): Promise<readonly LimitRange[]> {
  return (await client.list<LimitRange>(LIMIT_RANGE, { namespace })).items;
}

function fillIn(pod: Pod, limits: readonly Limit[]): void {
  const requests: ResourceList = {};
  const maxima: ResourceList = {};
  for (const limit of limits) {
    if (limit.type !== "Container") continue;
    Object.assign(requests, limit.defaultRequest);
    Object.assign(maxima, limit.default);
  }
  const spec = pod.spec as PodSpec;
  const notes = [
    // Validation, which asks for containers, comes later.
    ...((spec.containers as Container[] | undefined) ?? []).flatMap((container) => fillContainer(container, "container", { requests, limits: maxima })),
    ...(spec.initContainers ?? []).flatMap((container) => fillContainer(container, "init container", { requests, limits: maxima })),
  ];
  if (notes.length > 0) pod.metadata.annotations = { ...pod.metadata.annotations, [ANNOTATION]: `LimitRanger plugin set: ${notes.join("; ")}` };
}

function fillContainer(container: Container, word: string, defaults: Usage): string[] {
  const notes: string[] = [];
  for (const side of ["requests", "limits"] as const) {
    const given = container.resources?.[side] ?? {};
    const missing = Object.keys(defaults[side]).filter((name) => given[name] === undefined).sort();
    if (missing.length === 0) continue;
    const filled = { ...given };
    for (const name of missing) filled[name] = defaults[side][name] as string;
    container.resources = { ...container.resources, [side]: filled };
    notes.push(`${missing.join(", ")} ${side === "requests" ? "request" : "limit"} for ${word} ${container.name}`);
  }
  return notes;
}

function podReasons(spec: PodSpec, limits: readonly Limit[]): string[] {
  return limits.flatMap((limit) => {
    if (limit.type === "Pod") return reasonsAgainst(limit, { requests: { ...aggregateResources(spec, "requests"), ...spec.resources?.requests }, limits: { ...aggregateResources(spec, "limits"), ...spec.resources?.limits } });
    if (limit.type !== "Container") return [];
    return [...spec.containers, ...(spec.initContainers ?? [])].flatMap(({ resources }) => reasonsAgainst(limit, { requests: resources?.requests ?? {}, limits: resources?.limits ?? {} }));
  });
}

function claimReasons({ spec }: PersistentVolumeClaim, limits: readonly Limit[]): string[] {
  const requests = spec?.resources?.requests ?? {};
  return limits.filter(({ type }) => type === "PersistentVolumeClaim").flatMap((limit) => [
    ...Object.entries(limit.min ?? {}).flatMap(([name, bound]) => belowMinimum(limit.type, name, bound, { requests, limits: {} })),
    ...Object.entries(limit.max ?? {}).flatMap(([name, bound]) => {
      const head = `maximum ${name} usage per ${limit.type} is ${bound}`;
      const request = requests[name];
      if (request === undefined) return [`${head}.  No request is specified`];
      return isMore(request, bound) ? [`${head}, but request is ${request}`] : [];
    }),
  ]);
}

function reasonsAgainst(limit: Limit, usage: Usage): string[] {
  return [
    ...Object.entries(limit.min ?? {}).flatMap(([name, bound]) => belowMinimum(limit.type, name, bound, usage)),
    ...Object.entries(limit.max ?? {}).flatMap(([name, bound]) => aboveMaximum(limit.type, name, bound, usage)),
    ...Object.entries(limit.maxLimitRequestRatio ?? {}).flatMap(([name, bound]) => aboveRatio(limit.type, name, bound, usage)),
  ];
}

// What is limited, by what name and amount, and what is used.
function belowMinimum(type: string, name: string, bound: string, { requests, limits }: Usage): string[] {
  const head = `minimum ${name} usage per ${type} is ${bound}`;
  const [request, limit] = [requests[name], limits[name]];
  if (request === undefined) return [`${head}.  No request is specified`];
  if (isMore(bound, request)) return [`${head}, but request is ${request}`];
  return limit !== undefined && isMore(bound, limit) ? [`${head}, but limit is ${limit}`] : [];
}

// What is limited, by what name and amount, and what is used.
function aboveMaximum(type: string, name: string, bound: string, { requests, limits }: Usage): string[] {
  const head = `maximum ${name} usage per ${type} is ${bound}`;
  const [request, limit] = [requests[name], limits[name]];
  if (limit === undefined) return [`${head}.  No limit is specified`];
  if (isMore(limit, bound)) return [`${head}, but limit is ${limit}`];
  return request !== undefined && isMore(request, bound) ? [`${head}, but request is ${request}`] : [];
}

// What is limited, by what name and amount, and what is used.
function aboveRatio(type: string, name: string, bound: string, { requests, limits }: Usage): string[] {
  const head = `${name} max limit to request ratio per ${type} is ${bound}`;
  const request = parseQuantity(requests[name] ?? "0");
  const limit = parseQuantity(limits[name] ?? "0");
  if (compareQuantities(request, ZERO) === 0) return [`${head}, but no request is specified or request is 0`];
  if (compareQuantities(limit, ZERO) === 0) return [`${head}, but no limit is specified or limit is 0`];
  const ratio = Number(limit.nano) / Number(request.nano);
  return ratio * 1000 > milliValue(parseQuantity(bound)) ? [`${head}, but provided ratio is ${ratio.toFixed(6)}`] : [];
}

function isMore(a: string, b: string): boolean {
  return compareQuantities(parseQuantity(a), parseQuantity(b)) > 0;
}

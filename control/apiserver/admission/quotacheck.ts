// Whether a write fits the quotas of its namespace, and what they say afterwards. Pure: quotas in, quotas out.
import { compareQuantities, formatQuantity, parseQuantity, subtractQuantities } from "../../../api/quantity.ts";
import type { ResourceList } from "../../../api/podresources.ts";
import { hasDeadline, isInScope } from "../../../api/quota/scopes.ts";
import { addUsage, computeUsage, resourcesUsedBy, usageOf } from "../../../api/quota/usage.ts";
import type { AnyObject, Container, Pod, ResourceQuota, Stored } from "../../../api/types.ts";
import type { Attributes } from "./plugin.ts";

type Quota = Stored<ResourceQuota>;
const DEMANDED = new Set(["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"]);

/** Either why the write does not fit, or what each quota it touches has used then. */
export type Verdict = { readonly refusal: string } | { readonly used: ReadonlyMap<string, ResourceList> };

/** Whether this write changes what any quota counts. */
export function countsForQuota({ kind, operation, subresource, object, oldObject }: Attributes): boolean {
  if (!kind.namespaced) return false;
  const isPod = kind.group === "" && kind.plural === "pods";
  if (isPod && subresource === "resize") return operation === "UPDATE";
  if (subresource !== "") return false;
  if (operation === "CREATE") return true;
  if (operation !== "UPDATE" || kind.group !== "") return false;
  if (isPod) return hasDeadline(object as Pod) !== hasDeadline(oldObject as Pod);
  return kind.plural === "services" || kind.plural === "persistentvolumeclaims";
}

/** Checks one write against all quotas of its namespace. */
export function checkQuotas(quotas: readonly Quota[], attributes: Attributes, nowMs: number): Verdict {
  const { kind, object, oldObject, operation } = attributes;
  const item = object as AnyObject;
  const interesting = quotas.filter(({ spec, status }) => isInScope(spec, kind, item) && resourcesUsedBy(kind, Object.keys(status?.hard ?? {})).length > 0);
  const used = new Map<string, ResourceList>();
  if (interesting.length === 0) return { used };
  for (const quota of interesting) {
    const names = resourcesUsedBy(kind, Object.keys(quota.status?.hard ?? {}));
    const missing = kind.plural === "pods" && kind.group === "" ? unspecified(item as Pod, names) : undefined;
    if (missing !== undefined) return { refusal: `failed quota: ${quota.metadata.name}: must specify ${missing}` };
    if (names.some((name) => quota.status?.used?.[name] === undefined)) return { refusal: `status unknown for quota: ${quota.metadata.name}, resources: ${[...names].sort().join(",")}` };
  }
  const usage = usageOf(kind, item, nowMs);
  const before = operation === "UPDATE" ? usageOf(kind, oldObject as AnyObject, nowMs) : undefined;
  for (const quota of interesting) {
    const counted = before && isInScope(quota.spec, kind, oldObject as AnyObject) ? before : {};
    const refusal = book(quota, increase(usage, counted), used);
    if (refusal !== undefined) return { refusal };
  }
  return { used };
}

function book({ metadata: { name }, status }: Quota, delta: ResourceList, used: Map<string, ResourceList>): string | undefined {
  const hard = status?.hard ?? {};
  const sofar = status?.used ?? {};
  const requested = Object.fromEntries(Object.entries(delta).filter(([resource]) => hard[resource] !== undefined));
  if (Object.keys(requested).length === 0) return undefined;
  const next = addUsage(sofar, requested);
  const exceeded = Object.keys(requested).filter((resource) => isMore(next[resource] as string, hard[resource] as string)).sort();
  if (exceeded.length > 0) {
    const show = (list: Readonly<ResourceList>): string => exceeded.map((resource) => `${resource}=${list[resource]}`).join(",");
    return `exceeded quota: ${name}, requested: ${show(requested)}, used: ${show(sofar)}, limited: ${show(hard)}`;
  }
  used.set(name, next);
  return undefined;
}

/** What is used beyond before; nothing is given back here, because only the recount knows what is really gone. */
function increase(usage: Readonly<ResourceList>, before: Readonly<ResourceList>): ResourceList {
  const delta: ResourceList = {};
  for (const [name, amount] of Object.entries(usage)) {
    const more = subtractQuantities(parseQuantity(amount), parseQuantity(before[name] ?? "0"));
    if (more.nano > 0n) delta[name] = formatQuantity(more);
  }
  return delta;
}

/** Where a quota counts compute, every container must say what it wants of it. */
function unspecified({ spec }: Pod, names: readonly string[]): string | undefined {
  if (Object.keys(spec?.resources?.requests ?? {}).length + Object.keys(spec?.resources?.limits ?? {}).length > 0) return undefined;
  const demanded = names.filter((name) => DEMANDED.has(name)).sort();
  const missing = demanded.flatMap((name) => {
    const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].filter((container) => !specifies(container, name)).map((container) => container.name);
    return containers.length === 0 ? [] : [`${name} for: ${[...new Set(containers)].sort().join(",")}`];
  });
  return missing.length === 0 ? undefined : missing.join("; ");
}

function specifies({ resources }: Container, name: string): boolean {
  return computeUsage(resources?.requests ?? {}, resources?.limits ?? {})[name] !== undefined;
}

function isMore(a: string, b: string): boolean {
  return compareQuantities(parseQuantity(a), parseQuantity(b)) > 0;
}

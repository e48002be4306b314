// The downward API: fields of a pod and resources of its containers as text, for env variables and volumes. Pure.
import { parseQuantity } from "../../api/quantity.ts";
import type { Container, Pod } from "../../api/types.ts";

/** What is only known on the node. */
export interface NodeFacts {
  readonly podIps: readonly string[];
  readonly nodeIp: string;
  /** Stand-ins for limits a container does not set. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** A field path or resource that does not exist; the message is upstream's. */
export class FieldError extends Error {
  override readonly name = "FieldError";
}

/** The value of a `fieldRef`. */
export function fieldValue(pod: Pod, path: string, facts: NodeFacts): string {
  const keyed = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(path);
  if (keyed) return (keyed[1] === "metadata.labels" ? pod.metadata.labels : pod.metadata.annotations)?.[keyed[2] as string] ?? "";
  switch (path) {
    case "metadata.name": return pod.metadata.name ?? "";
    case "metadata.namespace": return pod.metadata.namespace ?? "";
    case "metadata.uid": return pod.metadata.uid ?? "";
    case "metadata.labels": return formatMap(pod.metadata.labels);
    case "metadata.annotations": return formatMap(pod.metadata.annotations);
    case "spec.nodeName": return pod.spec?.nodeName ?? "";
    case "spec.serviceAccountName": return pod.spec?.serviceAccountName ?? "";
    case "status.hostIP": case "status.hostIPs": return facts.nodeIp;
    case "status.podIP": return facts.podIps[0] ?? "";
    case "status.podIPs": return facts.podIps.join(",");
    default: throw new FieldError(`unsupported fieldPath: ${path}`);
  }
}

/** The value of a `resourceFieldRef`, in multiples of its divisor, rounded up. */
export function resourceValue(pod: Pod, container: Container, ref: { resource: string; divisor?: string | undefined }, facts: NodeFacts): string {
  const [kind, ...rest] = ref.resource.split(".");
  const name = rest.join(".");
  if (kind !== "limits" && kind !== "requests") throw new FieldError(`unsupported container resource : ${ref.resource}`);
  const { limits = {}, requests = {} } = container.resources ?? {};
  const podLimits = pod.spec?.resources?.limits;
  const text = kind === "limits" ? (nonZero(limits[name]) ?? nonZero(podLimits?.[name]) ?? facts.allocatable[name]) : requests[name];
  const divisor = parseQuantity(ref.divisor && ref.divisor !== "0" ? ref.divisor : "1").nano;
  const value = parseQuantity(text ?? "0").nano;
  return String((value + divisor - 1n) / divisor);
}

function nonZero(quantity: string | undefined): string | undefined {
  return quantity === undefined || parseQuantity(quantity).nano === 0n ? undefined : quantity;
}

/** `key="value"` lines sorted by key, with Go's string escapes. */
export function formatMap(map: Record<string, string> | undefined): string {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join("\n");
}

// Resources of containers that are devices in truth: `example.com/gpu: 1` becomes a request of the claim made for the pod.
// Pure; rules: k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources (extended resources).
import type { Container, Pod, PodSpec, ResourceClaim, Stored } from "../../../api/types.ts";
import { amountOf } from "../requests.ts";
import type { Claim, Class, Request } from "./types.ts";

/** The annotation of claims made for a pod's resources. */
export const EXTENDED_CLAIM = "resource.kubernetes.io/extended-resource-claim";

/** Which container gets a resource from which request: what the pod's status says. */
export interface RequestMapping {
  readonly containerName: string;
  readonly resourceName: string;
  readonly requestName: string;
}

export interface ExtendedRequests {
  readonly requests: readonly Request[];
  readonly mappings: readonly RequestMapping[];
}

/** A claim that was made for the pod's resources in an earlier attempt. */
export function earlierClaim(claims: readonly Claim[], { metadata }: Stored<Pod>): Claim | undefined {
  return claims.find((claim) => claim.metadata.annotations?.[EXTENDED_CLAIM] === "true" && claim.metadata.ownerReferences?.some((owner) => owner.controller && owner.uid === metadata.uid));
}

/** The claim to be made for the pod. */
export function newClaim({ metadata }: Stored<Pod>, requests: readonly Request[]): ResourceClaim {
  return {
    apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim",
    metadata: {
      namespace: metadata.namespace, generateName: `${metadata.name}-extended-resources-`, annotations: { [EXTENDED_CLAIM]: "true" },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: metadata.name, uid: metadata.uid, controller: true }],
    },
    spec: { devices: { requests: [...requests] } },
  };
}

/** The requests that stand for these resources, and who gets what. */
export function extendedRequests(spec: PodSpec, resources: ReadonlyMap<string, Class>): ExtendedRequests {
  const requests: Request[] = [];
  const mappings: RequestMapping[] = [];
  for (const [resource, deviceClass] of [...resources].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const part = requestsFor(spec, resource, deviceClass.metadata.name);
    requests.push(...part.requests);
    mappings.push(...part.mappings);
  }
  return { requests: requests.sort((a, b) => (a.name < b.name ? -1 : 1)), mappings };
}

/** Containers that keep running have devices of their own; init containers use those of later ones, and share what they lack. */
function requestsFor(spec: PodSpec, resource: string, className: string): ExtendedRequests {
  const initCount = spec.initContainers?.length ?? 0;
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const isShort = (index: number): boolean => index < initCount && containers[index]?.restartPolicy !== "Always";
  const own = containers.map((container, index) => (isShort(index) ? undefined : requestOf({ container, index, resource, className, missing: wanted(container, resource) })));
  const mappings = own.flatMap((request, index) => (request ? [{ containerName: containers[index]?.name ?? "", resourceName: resource, requestName: request.name }] : []));
  const shared: { container: Container; request: Request }[] = [];
  const borrowed: RequestMapping[] = [];
  for (const [index, container] of containers.entries()) {
    if (!isShort(index)) continue;
    let missing = wanted(container, resource);
    for (const request of own.slice(index)) {
      if (!request || missing <= 0) continue;
      borrowed.push({ containerName: container.name, resourceName: resource, requestName: request.name });
      missing -= request.exactly?.count ?? 0;
    }
    const request = requestOf({ container, index, resource, className, missing });
    if (request) shared.push({ container, request });
  }
  const largest = shared.reduce<(typeof shared)[number] | undefined>((best, each) => (best && countOf(best) >= countOf(each) ? best : each), undefined);
  for (const { container } of shared) borrowed.push({ containerName: container.name, resourceName: resource, requestName: largest?.request.name ?? "" });
  return { requests: [...(largest ? [largest.request] : []), ...own.filter((request) => request !== undefined)], mappings: [...mappings, ...borrowed] };
}

const countOf = ({ request }: { request: Request }): number => request.exactly?.count ?? 0;

function requestOf({ container, index, resource, className, missing }: { container: Container; index: number; resource: string; className: string; missing: number }): Request | undefined {
  if (missing <= 0) return undefined;
  const place = Object.keys(container.resources?.requests ?? {}).sort().indexOf(resource);
  return { name: `container-${index}-request-${place}`, exactly: { deviceClassName: className, allocationMode: "ExactCount", count: missing } };
}

function wanted(container: Container, resource: string): number {
  const quantity = container.resources?.requests?.[resource];
  return quantity === undefined ? 0 : amountOf(resource, quantity);
}

// Whether the Service an APIService names is there, listens and has somebody behind it.
// Reasons and wording: k8s.io/kube-aggregator/pkg/controllers/status/remote.
import { builtinKind } from "../../../../api/registry.ts";
import type { EndpointSlice, Service } from "../../../../api/types.ts";
import { cacheOf, type Engine } from "../../engine.ts";
import type { ApiServiceSpec } from "./apiservice.ts";

export const SERVICE = builtinKind("", "v1", "Service");
export const SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");

/** Why the Service a group-version is said to be behind cannot be asked; undefined when it can. */
export function problemOf(engine: Engine, { service }: ApiServiceSpec): { reason: string; message: string } | undefined {
  const { namespace = "", name = "", port = 443 } = service ?? {};
  const found = cacheOf(engine, SERVICE).get(namespace, name)?.object as unknown as Service | undefined;
  if (!found) return { reason: "ServiceNotFound", message: `service/${name} in "${namespace}" is not present` };
  const wanted = found.spec?.ports?.find((one) => one.port === port);
  if (!wanted) return { reason: "ServicePortError", message: `service/${name} in "${namespace}" is not listening on port ${port}` };
  const slices = cacheOf(engine, SLICE).entries(namespace).map(({ object }) => object as unknown as EndpointSlice).filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === name);
  if (slices.length === 0) return { reason: "EndpointsNotFound", message: `cannot find endpointslices for service/${name} in "${namespace}"` };
  const isReady = slices.some(({ endpoints = [], ports = [] }) => ports?.some((one) => (one.name ?? "") === (wanted.name ?? "")) && endpoints?.some(({ conditions }) => conditions?.ready !== false));
  return isReady ? undefined : { reason: "MissingEndpoints", message: `endpointslices for service/${name} in "${namespace}" have no addresses with port name "${wanted.name ?? ""}"` };
}

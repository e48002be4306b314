// What the EndpointSlice controller wrote, and how well endpoints are packed, under upstream's names.
import type { Informer } from "../../../api/client/informer.ts";
import type { EndpointSlice, Service, Stored } from "../../../api/types.ts";
import { tally, type ControllerFigures } from "../figures.ts";
import { MAX_ENDPOINTS, SERVICE_NAME, type SlicePlan } from "./sliceplan.ts";

/** Has the gauges read off what the caches hold. */
export function tellSlices(figures: ControllerFigures, slices: Informer<EndpointSlice>, services: Informer<Service>): void {
  figures.reads("endpoint_slice_controller_num_endpoint_slices", () => [[[], slices.lister.list().length]]);
  figures.reads("endpoint_slice_controller_endpoints_desired", () => [[[], slices.lister.list().reduce((total, slice) => total + endpointsIn(slice), 0)]]);
  figures.reads("endpoint_slice_controller_desired_endpoint_slices", () => [[[], desired(slices.lister.list())]]);
  figures.reads("endpoint_slice_controller_services_count_by_traffic_distribution", () => tally(services.lister.list(), ({ spec }) => (spec?.trafficDistribution ? [spec.trafficDistribution] : undefined)));
}

function endpointsIn({ endpoints }: EndpointSlice): number {
  return endpoints?.length ?? 0;
}

/** One for every hundred endpoints with the same ports; a service without any has one that is empty. */
function desired(slices: readonly Stored<EndpointSlice>[]): number {
  const groups = Map.groupBy(slices, ({ metadata: { namespace, labels }, addressType, ports }) => `${namespace}/${labels?.[SERVICE_NAME]}|${addressType}|${JSON.stringify(ports)}`);
  return [...groups.values()].reduce((total, group) => total + Math.max(1, Math.ceil(group.reduce((sum, slice) => sum + endpointsIn(slice), 0) / MAX_ENDPOINTS)), 0);
}

/** Counts what a plan changed, given the slices as they were. */
export function countPlan(figures: ControllerFigures, plan: SlicePlan, existing: readonly EndpointSlice[]): void {
  figures.add("endpoint_slice_controller_changes", plan.create.length, "create");
  figures.add("endpoint_slice_controller_changes", plan.update.length, "update");
  figures.add("endpoint_slice_controller_changes", plan.delete.length, "delete");
  const replaced = new Set([...plan.update, ...plan.delete].map(({ metadata: { name = "" } }) => name));
  const before = podsIn(existing.filter(({ metadata: { name } }) => replaced.has(name ?? "")));
  const after = podsIn([...plan.create, ...plan.update]);
  figures.observe("endpoint_slice_controller_endpoints_added_per_sync", after.difference(before).size);
  figures.observe("endpoint_slice_controller_endpoints_removed_per_sync", before.difference(after).size);
}

function podsIn(slices: readonly EndpointSlice[]): Set<string> {
  return new Set(slices.flatMap(({ addressType, endpoints = [] }) => endpoints.map(({ targetRef }) => `${addressType}/${targetRef?.uid}`)));
}

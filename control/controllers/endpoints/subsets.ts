// Subsets of Endpoints in their shortest form: every port once, with all who offer it, and ports that the same addresses offer together. Pure.
// Rules: k8s.io/kubernetes/pkg/api/v1/endpoints RepackSubsets.
import type { EndpointAddress, EndpointSubset } from "../../../api/types.ts";
import { canonical } from "../template.ts";

type Port = NonNullable<EndpointSubset["ports"]>[number];
/** Which addresses are ready, by key. */
type Hosts = Map<string, boolean>;

/** The same addresses and ports, each said once; an address that is not ready anywhere for a port is not ready for it. */
export function repackSubsets(subsets: readonly EndpointSubset[]): EndpointSubset[] {
  const addresses = new Map<string, EndpointAddress>();
  const offers = new Map<string, { readonly port: Port | undefined; readonly hosts: Hosts }>();
  for (const subset of subsets) {
    for (const port of subset.ports?.length ? subset.ports : [undefined]) {
      const key = port === undefined ? "" : canonical(port);
      const { hosts } = offers.get(key) ?? { hosts: new Map<string, boolean>() };
      if (!offers.has(key)) offers.set(key, { port, hosts });
      note(addresses, hosts, subset);
    }
  }
  const groups = Map.groupBy(offers.values(), ({ hosts }) => [...hosts].map(([key, isReady]) => `${key} ${isReady}`).sort().join());
  return [...groups.values()].filter(([first]) => (first?.hosts.size ?? 0) > 0).map((group) => subsetOf(addresses, group)).sort(byPorts);
}

function note(addresses: Map<string, EndpointAddress>, hosts: Hosts, { addresses: ready = [], notReadyAddresses: notReady = [] }: EndpointSubset): void {
  for (const [list, isReady] of [[ready, true], [notReady, false]] as const) {
    for (const address of list) {
      const key = `${address.ip}/${address.targetRef?.uid ?? ""}`;
      if (!addresses.has(key)) addresses.set(key, address);
      hosts.set(key, (hosts.get(key) ?? true) && isReady);
    }
  }
}

function subsetOf(addresses: ReadonlyMap<string, EndpointAddress>, group: readonly { readonly port: Port | undefined; readonly hosts: Hosts }[]): EndpointSubset {
  const hosts = [...(group[0]?.hosts ?? [])];
  const those = (isReady: boolean): EndpointAddress[] => hosts.filter(([, ready]) => ready === isReady).map(([key]) => addresses.get(key) as EndpointAddress).sort(byAddress);
  const [ready, notReady] = [those(true), those(false)];
  const ports = group.flatMap(({ port }) => port ?? []).sort((a, b) => (canonical(a) < canonical(b) ? -1 : 1));
  return { ...(ready.length > 0 && { addresses: ready }), ...(notReady.length > 0 && { notReadyAddresses: notReady }), ...(ports.length > 0 && { ports }) };
}

function byAddress(a: EndpointAddress, b: EndpointAddress): number {
  return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0;
}

function byPorts(a: EndpointSubset, b: EndpointSubset): number {
  return canonical(a.ports ?? []) < canonical(b.ports ?? []) ? -1 : 1;
}

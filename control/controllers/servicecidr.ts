// ServiceCIDRs: ready as soon as they are seen, and kept while addresses in use have no other range to be in.
// Upstream's service-cidr controller.
import { WorkQueue } from "../../api/client/workqueue.ts";
import { orAbsent } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { IPAddress, ServiceCIDR, Stored } from "../../api/types.ts";
import { cidrContains, parseAddress, parseCidr, type Address, type Cidr } from "../../lib/cidr.ts";
import { timestamp } from "../../lib/clock.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";

type Range = Stored<ServiceCIDR>;

const NAME = "service-cidr-controller";
export const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");
export const IP_ADDRESS = builtinKind("networking.k8s.io", "v1", "IPAddress");
const FINALIZER = "networking.k8s.io/service-cidr-finalizer";
/** Allocators may not know yet that a range goes away. */
const GRACE_MS = 10_000;
const MANAGER = "ipallocator.k8s.io";
const READY = { status: "True", reason: "", message: "Kubernetes Service CIDR is ready" } as const;
const TERMINATING = { status: "False", reason: "Terminating", message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR" } as const;

export function serviceCidrController(deps: ControllerDeps): Controller {
  const client = deps.clientFor("service-cidrs-controller");
  const queue = new WorkQueue({ clock: deps.clock });
  const ranges = deps.informers.for<ServiceCIDR>(SERVICE_CIDR);
  const addresses = deps.informers.for<IPAddress>(IP_ADDRESS);
  // Any range that comes or goes may be what another one waits for, and there are never many.
  const enqueueAll = (): void => ranges.lister.list().forEach(({ metadata }) => queue.add(metadata.name));
  const enqueueDeleting = (): void => ranges.lister.list().forEach(({ metadata }) => (metadata.deletionTimestamp ? queue.add(metadata.name) : undefined));
  ranges.addHandler({ add: enqueueAll, update: ({ metadata }) => queue.add(metadata.name), delete: enqueueAll });
  addresses.addHandler({ add: enqueueDeleting, delete: enqueueDeleting });

  async function reconcile(name: string): Promise<void> {
    const range = ranges.lister.get(name);
    if (!range) return;
    const { deletionTimestamp, finalizers = [] } = range.metadata;
    if (!deletionTimestamp) {
      const protectedRange = finalizers.includes(FINALIZER) ? range : await setFinalizers(range, [...finalizers, FINALIZER]);
      if (protectedRange) await setReady(protectedRange, READY);
      return;
    }
    if (!finalizers.includes(FINALIZER)) return;
    if (!canGo(range, ranges.lister.list(), addresses.lister.list())) return setReady(range, TERMINATING);
    const waitMs = Date.parse(deletionTimestamp) + GRACE_MS - deps.clock.now();
    if (waitMs > 0) return queue.addAfter(name, waitMs);
    await setFinalizers(range, finalizers.filter((finalizer) => finalizer !== FINALIZER));
  }
  function setFinalizers(range: Range, finalizers: string[]): Promise<Range | undefined> {
    return orAbsent(client.update<ServiceCIDR>(SERVICE_CIDR, { ...range, metadata: { ...range.metadata, finalizers } }));
  }
  async function setReady(range: Range, state: typeof READY | typeof TERMINATING): Promise<void> {
    const current = range.status?.conditions?.find(({ type }) => type === "Ready");
    if (current && current.status === state.status && current.reason === state.reason && current.message === state.message) return;
    const lastTransitionTime = current?.status === state.status ? current.lastTransitionTime : timestamp(deps.clock.now());
    const conditions = [...(range.status?.conditions ?? []).filter(({ type }) => type !== "Ready"), { type: "Ready", ...state, lastTransitionTime }];
    await orAbsent(client.update<ServiceCIDR>(SERVICE_CIDR, { ...range, status: { ...range.status, conditions } }, { subresource: "status" }));
  }
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 1, reconcile, subject: telling(deps, NAME, ranges) });
}

/** Whether every address in the range is in another one as well. */
export function canGo(range: Range, all: readonly Range[], addresses: readonly Stored<IPAddress>[]): boolean {
  const others = all.filter(({ metadata }) => metadata.name !== range.metadata.name).flatMap(cidrsOf);
  const own = cidrsOf(range);
  if (own.every((cidr) => others.some((other) => other.prefix <= cidr.prefix && cidrContains(other, cidr.address)))) return true;
  const managed = addresses.filter(({ metadata }) => metadata.labels?.["ipaddress.kubernetes.io/managed-by"] === MANAGER).flatMap(({ metadata }): Address[] => {
    const address = parseAddress(metadata.name);
    return address ? [address] : [];
  });
  return !managed.some((address) => own.some((cidr) => cidrContains(cidr, address)) && !others.some((cidr) => cidrContains(cidr, address)));
}

function cidrsOf({ spec }: Range): Cidr[] {
  return (spec?.cidrs ?? []).flatMap((text) => parseCidr(text) ?? []);
}

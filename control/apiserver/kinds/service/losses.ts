// Notices when a service loses an address because somebody deleted the IPAddress: before long another service could get it.
import type { IPAddress, Service } from "../../../../api/types.ts";
import { builtinKind } from "../../../../api/registry.ts";
import { cacheOf, type Engine } from "../../engine.ts";
import { selectAll } from "../../cache/selection.ts";
import { IP_ADDRESS } from "./addresses.ts";
import { addressesOf } from "./held.ts";

const SERVICE = builtinKind("", "v1", "Service");

/** Calls back for every IPAddress that is deleted while its service is there and holds it, until the signal aborts. */
export function watchLosses(engine: Engine, lost: () => void, signal: AbortSignal): void {
  const services = cacheOf(engine, SERVICE);
  const isLoss = ({ metadata, spec }: IPAddress): boolean => {
    const service = services.get(spec?.parentRef?.namespace ?? "", spec?.parentRef?.name ?? "")?.object as Service | undefined;
    return service !== undefined && addressesOf(service.spec ?? {}).includes(metadata.name ?? "");
  };
  const stop = cacheOf(engine, IP_ADDRESS).watchFromNow(selectAll(), {
    deliver: (deliveries) => {
      if (deliveries.some(({ type, entry }) => type === "DELETED" && isLoss(entry.object as unknown as IPAddress))) lost();
    },
  }, engine.caches.revision);
  signal.addEventListener("abort", stop, { once: true });
}

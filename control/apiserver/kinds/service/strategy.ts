// The behaviour of services: families, addresses and ports on the way in, given back on the way out.
import type { Service } from "../../../../api/types.ts";
import { define } from "../define.ts";
import type { Strategy } from "../strategy.ts";
import { ServiceAllocation, type AllocationOptions } from "./allocation.ts";
import { defaultService } from "./defaults.ts";
import { chooseFamilies } from "./families.ts";
import { servicePrinter } from "./printer.ts";
import { dropTypeDependent, keepAllocated, syncClusterIPs } from "./update.ts";
import { validateService, validateServiceName, validateServiceStatus, validateServiceUpdate } from "./validate.ts";

/** Services, with the ranges their addresses and node ports come from. */
export function createServiceStrategy(options: AllocationOptions): Strategy {
  const allocation = new ServiceAllocation(options);
  return define<Service>({
    group: "", kind: "Service",
    applyDefaults: defaultService,
    prepareForCreate(service) {
      service.status = { loadBalancer: {} };
      service.spec ??= {};
      syncClusterIPs(service.spec, undefined);
      chooseFamilies(service, undefined, allocation.families);
    },
    prepareForUpdate(service, old) {
      service.spec ??= {};
      const before = old.spec ?? {};
      keepAllocated(service.spec, before);
      syncClusterIPs(service.spec, before);
      dropTypeDependent(service.spec, before);
      if (service.spec.type !== "LoadBalancer") service.status = { ...service.status, loadBalancer: {} };
      chooseFamilies(service, old, allocation.families);
    },
    allocate: (service, old, context) => allocation.take(service, old, context),
    afterUpdate: (service, old, context) => allocation.release(old, context, service),
    release: (service, context) => allocation.release(service, context),
    validateName: validateServiceName,
    validate: validateService,
    validateUpdate: validateServiceUpdate,
    subresources: { status: { validateUpdate: validateServiceStatus } },
    allowCreateOnUpdate: true,
    hasGeneration: false,
    selectableFields: ({ spec }) => ({ "spec.clusterIP": spec?.clusterIP ?? "", "spec.type": spec?.type ?? "" }),
    printer: servicePrinter,
  });
}

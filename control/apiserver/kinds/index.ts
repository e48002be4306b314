// Every kind that adds behaviour to the general verbs, as one list; all others get none.
import type { KindInfo } from "../../../api/kinds.ts";
import { apiServiceStrategy } from "./apiregistration/apiservice.ts";
import { controllerRevisionStrategy, daemonSetStrategy } from "./apps/daemonset.ts";
import { deploymentStrategy } from "./apps/deployment.ts";
import { replicaSetStrategy, replicationControllerStrategy } from "./apps/replicaset.ts";
import { statefulSetStrategy } from "./apps/statefulset.ts";
import { hpaV1Strategy } from "./autoscaling/hpa-v1.ts";
import { hpaStrategy } from "./autoscaling/hpa.ts";
import { cronJobStrategy } from "./batch/cronjob.ts";
import { jobStrategy } from "./batch/job.ts";
import { certificateSigningRequestStrategy } from "./certificates/csr.ts";
import { configMapStrategy } from "./core/configmap.ts";
import { endpointsStrategy } from "./core/endpoints.ts";
import { endpointSliceStrategy } from "./core/endpointslice.ts";
import { eventsEventStrategy, eventStrategy } from "./core/event.ts";
import { limitRangeStrategy, resourceQuotaStrategy } from "./core/limits.ts";
import { namespaceStrategy } from "./core/namespace.ts";
import { nodeStrategy } from "./core/node.ts";
import { secretStrategy } from "./core/secret.ts";
import { bindingStrategy, componentStatusStrategy, leaseStrategy, podTemplateStrategy, serviceAccountStrategy } from "./core/small.ts";
import { persistentVolumeClaimStrategy, persistentVolumeStrategy } from "./core/volumes.ts";
import { deviceClassStrategy, resourceClaimStrategy, resourceClaimTemplateStrategy } from "./dra/claims.ts";
import { resourceSliceStrategy } from "./dra/slices.ts";
import { flowSchemaStrategy, priorityLevelStrategy } from "./flowcontrol/schemas.ts";
import { NODE_PORT_RANGE, NodePorts } from "./service/node-ports.ts";
import { ipAddressStrategy, serviceCIDRStrategy } from "./networking/addresses.ts";
import { ingressClassStrategy, ingressStrategy } from "./networking/ingress.ts";
import { networkPolicyStrategy } from "./networking/policy.ts";
import { podStrategy } from "./pod/strategy.ts";
import { podDisruptionBudgetStrategy } from "./policy/budget.ts";
import { clusterRoleBindingStrategy, clusterRoleStrategy, roleBindingStrategy, roleStrategy } from "./rbac/roles.ts";
import { priorityClassStrategy, runtimeClassStrategy } from "./scheduling/classes.ts";
import { IpRange } from "./service/ip-range.ts";
import { createServiceStrategy } from "./service/strategy.ts";
import { volumeAttachmentStrategy } from "./storage/attachment.ts";
import { storageClassStrategy, volumeAttributesClassStrategy } from "./storage/classes.ts";
import { csiDriverStrategy, csiNodeStrategy, csiStorageCapacityStrategy } from "./storage/csi.ts";
import type { Strategies, Strategy } from "./strategy.ts";

export interface StrategyOptions {
  /** Ranges of cluster IPs, at most one per family, the default family first. */
  readonly serviceCidrs: readonly string[];
  readonly nodePorts?: NodePorts;
  /** Strategies made at run time, for custom resources; looked at when no built-in one exists. */
  custom?(kind: KindInfo): Strategy | undefined;
}

/** The strategies of all kinds. Throws for a range that is no CIDR. */
export function createStrategies(options: StrategyOptions): Strategies {
  const byKind = new Map(builtIn(options).map((strategy) => [`${strategy.group}/${strategy.kind}${strategy.version === undefined ? "" : `/${strategy.version}`}`, strategy]));
  const find = (kind: KindInfo): Strategy | undefined => (kind.storedAs && byKind.get(`${kind.group}/${kind.kind}/${kind.version}`)) ?? byKind.get(`${kind.group}/${kind.kind}`);
  const known = new WeakMap<KindInfo, Strategy>();
  return {
    for(kind) {
      let strategy = known.get(kind);
      if (strategy) return strategy;
      strategy = find(kind);
      // Those made at run time are made anew whenever their definition changes.
      if (!strategy) return options.custom?.(kind) ?? { group: kind.group, kind: kind.kind };
      known.set(kind, strategy);
      return strategy;
    },
  };
}

function builtIn({ serviceCidrs, nodePorts = new NodePorts(NODE_PORT_RANGE, false) }: StrategyOptions): readonly Strategy[] {
  return [
    podStrategy, podTemplateStrategy, bindingStrategy, createServiceStrategy({ clusterIPs: serviceCidrs.map(rangeOf), nodePorts }), endpointsStrategy, endpointSliceStrategy,
    configMapStrategy, secretStrategy, namespaceStrategy, nodeStrategy, serviceAccountStrategy, eventStrategy, eventsEventStrategy, leaseStrategy, componentStatusStrategy,
    persistentVolumeStrategy, persistentVolumeClaimStrategy, limitRangeStrategy, resourceQuotaStrategy,
    deploymentStrategy, replicaSetStrategy, replicationControllerStrategy, daemonSetStrategy, statefulSetStrategy, controllerRevisionStrategy, jobStrategy, cronJobStrategy,
    ingressStrategy, ingressClassStrategy, networkPolicyStrategy, serviceCIDRStrategy, ipAddressStrategy,
    hpaStrategy, hpaV1Strategy, podDisruptionBudgetStrategy, priorityClassStrategy, runtimeClassStrategy,
    storageClassStrategy, volumeAttributesClassStrategy, volumeAttachmentStrategy, csiDriverStrategy, csiNodeStrategy, csiStorageCapacityStrategy,
    flowSchemaStrategy, priorityLevelStrategy, apiServiceStrategy, deviceClassStrategy, resourceClaimStrategy, resourceClaimTemplateStrategy, resourceSliceStrategy,
    roleStrategy, clusterRoleStrategy, roleBindingStrategy, clusterRoleBindingStrategy, certificateSigningRequestStrategy,
  ];
}

function rangeOf(text: string): IpRange {
  const range = IpRange.parse(text);
  if (!range) throw new Error(`service range ${text} is not a CIDR such as 10.96.0.0/16`);
  return range;
}

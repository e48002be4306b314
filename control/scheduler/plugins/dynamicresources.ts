// DynamicResources: a pod goes where the devices its claims ask for can be had; claims are allocated before the pod is bound.
// Rules: k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources.
import type { Client } from "../../../api/client/client.ts";
import type { EventRecorder } from "../../../api/client/recorder.ts";
import type { Clock } from "../../../lib/clock.ts";
import { reserveDevices, type DeviceCounts } from "../dra/reserve.ts";
import { deallocate, deleteClaim } from "../dra/bind.ts";
import type { DeviceObjects } from "../dra/objects.ts";
import { claimsOfPod } from "../dra/podclaims.ts";
import { NAME, PodState, podStateOf } from "../dra/podstate.ts";
import { normalizeByHighest, unresolvable, type ClusterEvent, type LastResort, type Plugin, type PreparedFilter } from "../framework.ts";
import type { PodInfo } from "../podinfo.ts";

export interface DynamicResourcesArgs {
  readonly objects: DeviceObjects;
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  /** How long devices may take to be made ready; how long the search on one node may take. */
  readonly bindingTimeoutMs: number;
  readonly filterTimeoutMs: number;
  readonly counts?: DeviceCounts | undefined;
}

export function dynamicResources(args: DynamicResourcesArgs): Plugin {
  const { objects, clock, bindingTimeoutMs, filterTimeoutMs } = args;
  // A decision is made in one go: what its filters found, its scores can use.
  let current: PodState | undefined;
  return {
    name: NAME,
    preEnqueue: ({ pod }) => {
      const claims = pod.spec?.resourceClaims ? claimsOfPod(pod, objects) : undefined;
      return typeof claims === "string" ? unresolvable(NAME, claims) : undefined;
    },
    prepareFilter: (pod) => {
      current = undefined;
      const state = podStateOf(pod, { objects, bindingTimeoutMs, filterTimeoutMs, now: () => clock.now() });
      if (!state) return undefined;
      if (!(state instanceof PodState)) return { reject: state };
      current = state;
      return preparedFor(state, args);
    },
    prepareScore: (pod) => {
      const state = current?.pod === pod && current.hasAlternatives ? current : undefined;
      return state && { score: (node) => state.score(node), normalize: (scores) => normalizeByHighest(scores, false) };
    },
    hint: { on: ["NodeAdd", "NodeUpdate", "ResourceClaimChange", "DeviceChange", "PodUpdate"], helps: (event, pod) => helps(event, pod, objects) },
  };
}

function preparedFor(state: PodState, args: DynamicResourcesArgs): PreparedFilter {
  return {
    filter: (node) => state.filter(node),
    reserve: (node) => reserveDevices(state, node.name, args),
    lastResort: () => lastResort(state, args),
  };
}

/** When no node will do: gives up devices that keep the pod from going elsewhere. */
function lastResort(state: PodState, args: DynamicResourcesArgs): LastResort {
  const { stale, replaceable } = state;
  if (replaceable) return { message: "deallocation of ResourceClaim completed", act: () => deallocate(replaceable, args) };
  if (stale) return { message: "deletion of ResourceClaim completed", act: () => deleteClaim(stale, args) };
  return { message: "still not schedulable" };
}

function helps(event: ClusterEvent, pod: PodInfo, objects: DeviceObjects): boolean {
  switch (event.type) {
    case "NodeAdd":
    case "DeviceChange": return true;
    case "NodeUpdate": return event.node.labels !== event.old.labels || event.node.allocatable !== event.old.allocatable;
    case "PodUpdate": return event.pod.uid === pod.uid && typeof claimsOfPod(event.pod.pod, objects) !== "string";
    case "ResourceClaimChange": return claimHelps(event, pod, objects);
    default: return false;
  }
}

/** Devices that came free help everybody; other changes only those who use the claim. */
function claimHelps({ claim, old }: Extract<ClusterEvent, { type: "ResourceClaimChange" }>, pod: PodInfo, objects: DeviceObjects): boolean {
  const claims = claimsOfPod(pod.pod, objects);
  if (typeof claims === "string") return false;
  if (old?.status?.allocation && !claim.status?.allocation) return true;
  const isMade = claim.metadata.ownerReferences?.some((owner) => owner.uid === pod.uid) ?? false;
  if (!isMade && !claims.some(({ metadata }) => metadata.uid === claim.metadata.uid)) return false;
  return !old || JSON.stringify(old.status) !== JSON.stringify(claim.status);
}

// What can be configured about scheduling: profiles with their plugins and weights, backoffs, how many nodes to look at.
// Defaults are upstream's; reading a KubeSchedulerConfiguration file happens elsewhere.
import type { Client } from "../../api/client/client.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import type { NodeAffinity } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { EnabledPlugin, Plugin } from "./framework.ts";
import { nodeDeclaredFeatures } from "./plugins/declaredfeatures.ts";
import { schedulingGates } from "./plugins/gates.ts";
import { imageLocality } from "./plugins/imagelocality.ts";
import { interPodAffinity, type InterPodAffinityArgs } from "./plugins/interpodaffinity.ts";
import { nodeAffinity, nodeName, nodePorts, nodeUnschedulable, taintToleration } from "./plugins/node.ts";
import { balancedAllocation, nodeResourcesFit, type FitArgs } from "./plugins/resources.ts";
import { DEFAULT_PREEMPTION, type PreemptionArgs } from "./preemption.ts";
import type { DeviceCounts } from "./dra/reserve.ts";
import type { ExtenderConfig } from "./extenders/config.ts";
import { deviceTotals } from "./dra/totals.ts";
import type { DeviceObjects } from "./dra/objects.ts";
import { dynamicResources } from "./plugins/dynamicresources.ts";
import { podTopologySpread, SYSTEM_DEFAULTS, type DefaultConstraint, type SpreadArgs } from "./plugins/spread.ts";
import { volumeBinding } from "./plugins/volumebinding.ts";
import { nodeVolumeLimits } from "./plugins/volumelimits.ts";
import { volumeRestrictions } from "./plugins/volumerestrictions.ts";
import { volumeZone } from "./plugins/volumezone.ts";
import type { Volumes } from "./volumes.ts";

/** One scheduler name pods can ask for, and how it decides. */
export interface Profile {
  readonly schedulerName: string;
  readonly percentageOfNodesToScore?: number | undefined;
  readonly plugins: readonly EnabledPlugin[];
  /** Left out: pods are never removed for others. */
  readonly preemption?: PreemptionArgs | undefined;
}

export interface SchedulerConfig {
  /** 0: by the size of the cluster. */
  readonly percentageOfNodesToScore?: number;
  readonly podInitialBackoffMs?: number;
  readonly podMaxBackoffMs?: number;
  /** Programs outside that are asked, too. */
  readonly extenders?: readonly ExtenderConfig[];
  /** Left out: one profile named `default-scheduler` with upstream's plugins. */
  readonly profiles?: readonly ((context: PluginContext) => Profile)[];
}

/** What plugins need beyond the cluster. */
export interface PluginContext {
  readonly defaultSelector: SpreadArgs["defaultSelector"];
  readonly volumes: Volumes;
  readonly devices: DeviceObjects;
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly counts?: DeviceCounts;
}

/** How long volumes may take to be bound, and devices to be made ready; upstream's defaults. */
const BIND_TIMEOUT_MS = 600_000;
/** How long devices may be looked for on one node. Shorter than upstream's 10 s: an API server may share the process. */
const DEVICE_SEARCH_MS = 1_000;

/** What plugins can be told; upstream's defaults where left out. */
export interface PluginArgs {
  readonly nodeResourcesFit?: FitArgs | undefined;
  readonly balancedResources?: readonly string[] | undefined;
  readonly interPodAffinity?: InterPodAffinityArgs | undefined;
  readonly spreadDefaults?: readonly DefaultConstraint[] | undefined;
  readonly addedAffinity?: NodeAffinity | undefined;
  readonly bindTimeoutMs?: number | undefined;
  readonly deviceBindTimeoutMs?: number | undefined;
  readonly deviceSearchMs?: number | undefined;
}

/** The names of `defaultPlugins`. */
export const PLUGIN_NAMES: readonly string[] = [
  "SchedulingGates", "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding",
  "VolumeZone", "PodTopologySpread", "InterPodAffinity", "DynamicResources", "NodeResourcesBalancedAllocation", "ImageLocality", "NodeDeclaredFeatures",
];

const filtering = (plugin: Plugin, weight = 0): EnabledPlugin => ({ plugin, weight, filters: true });

/** Upstream's plugins in upstream's order, with its weights. */
export function defaultPlugins(context: PluginContext, args: PluginArgs = {}): EnabledPlugin[] {
  const { defaultSelector, volumes, devices, client, recorder, clock, counts } = context;
  return [
    filtering(schedulingGates),
    filtering(nodeUnschedulable),
    filtering(nodeName),
    filtering(taintToleration, 3),
    filtering(nodeAffinity(args.addedAffinity), 2),
    filtering(nodePorts),
    filtering(nodeResourcesFit(args.nodeResourcesFit, (resource) => devices.classForResource(resource) !== undefined, (resource, node) => deviceTotals(devices, resource, node)), 1),
    filtering(volumeRestrictions(volumes)),
    filtering(nodeVolumeLimits(volumes)),
    filtering(volumeBinding({ volumes, client, clock, bindTimeoutMs: args.bindTimeoutMs ?? BIND_TIMEOUT_MS })),
    filtering(volumeZone(volumes)),
    filtering(podTopologySpread({ defaults: args.spreadDefaults ?? SYSTEM_DEFAULTS, isSystemDefault: !args.spreadDefaults, defaultSelector }), 2),
    filtering(interPodAffinity(args.interPodAffinity), 2),
    filtering(dynamicResources({
      objects: devices, client, recorder, clock, counts,
      bindingTimeoutMs: args.deviceBindTimeoutMs ?? BIND_TIMEOUT_MS, filterTimeoutMs: args.deviceSearchMs ?? DEVICE_SEARCH_MS,
    }), 2),
    filtering(balancedAllocation(args.balancedResources), 1),
    filtering(imageLocality, 1),
    filtering(nodeDeclaredFeatures),
  ];
}

export const defaultProfile = (context: PluginContext): Profile => ({ schedulerName: "default-scheduler", plugins: defaultPlugins(context), preemption: DEFAULT_PREEMPTION });

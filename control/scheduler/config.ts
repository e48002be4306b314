// What can be configured about scheduling: profiles with their plugins and weights, backoffs, how many nodes to look at.
// Defaults are upstream's; reading a KubeSchedulerConfiguration file happens elsewhere.
import type { Client } from "../../api/client/client.ts";
import type { Clock } from "../../lib/clock.ts";
import type { EnabledPlugin, Plugin } from "./framework.ts";
import { schedulingGates } from "./plugins/gates.ts";
import { imageLocality } from "./plugins/imagelocality.ts";
import { interPodAffinity } from "./plugins/interpodaffinity.ts";
import { nodeAffinity, nodeName, nodePorts, nodeUnschedulable, taintToleration } from "./plugins/node.ts";
import { balancedAllocation, nodeResourcesFit } from "./plugins/resources.ts";
import { DEFAULT_PREEMPTION, type PreemptionArgs } from "./preemption.ts";
import { podTopologySpread, SYSTEM_DEFAULTS, type SpreadArgs } from "./plugins/spread.ts";
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
  /** Left out: one profile named `default-scheduler` with upstream's plugins. */
  readonly profiles?: readonly ((context: PluginContext) => Profile)[];
}

/** What plugins need beyond the cluster. */
export interface PluginContext {
  readonly defaultSelector: SpreadArgs["defaultSelector"];
  readonly volumes: Volumes;
  readonly client: Client;
  readonly clock: Clock;
}

/** How long volumes may take to be bound; upstream's default. */
const BIND_TIMEOUT_MS = 600_000;

const filtering = (plugin: Plugin, weight = 0): EnabledPlugin => ({ plugin, weight, filters: true });

/** Upstream's plugins in upstream's order, with its weights. */
export function defaultPlugins(context: PluginContext): EnabledPlugin[] {
  return [
    filtering(schedulingGates),
    filtering(nodeUnschedulable),
    filtering(nodeName),
    filtering(taintToleration, 3),
    filtering(nodeAffinity, 2),
    filtering(nodePorts),
    filtering(nodeResourcesFit(), 1),
    filtering(volumeRestrictions(context.volumes)),
    filtering(nodeVolumeLimits(context.volumes)),
    filtering(volumeBinding({ volumes: context.volumes, client: context.client, clock: context.clock, bindTimeoutMs: BIND_TIMEOUT_MS })),
    filtering(volumeZone(context.volumes)),
    filtering(podTopologySpread({ defaults: SYSTEM_DEFAULTS, isSystemDefault: true, defaultSelector: context.defaultSelector }), 2),
    filtering(interPodAffinity(), 2),
    filtering(balancedAllocation(), 1),
    filtering(imageLocality, 1),
  ];
}

export const defaultProfile = (context: PluginContext): Profile => ({ schedulerName: "default-scheduler", plugins: defaultPlugins(context), preemption: DEFAULT_PREEMPTION });

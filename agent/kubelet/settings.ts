// What a KubeletConfiguration means to the parts of this node: milliseconds, bytes and lists instead of words. Pure.
import { formatQuantity, parseQuantity, wholeValue } from "../../api/quantity.ts";
import type { Taint } from "../../api/types.ts";
import { durationMs } from "../../lib/duration.ts";
import { DEFAULT_CONFIGURATION, type Configuration } from "./configuration.ts";
import type { VerificationPolicy } from "./pullrecords.ts";

/** Seconds pods of at least this priority get when the node shuts down. */
export interface ShutdownPeriod {
  readonly priority: number;
  readonly seconds: number;
}

/** A limit of what must stay free: an amount, or a share of all there is. */
export type Threshold = { readonly amount: number } | { readonly share: number };

export interface Settings {
  readonly configuration: Configuration;
  readonly maxPods: number;
  readonly podsPerCore: number;
  /** Process ids one pod may use; undefined for no limit. */
  readonly podPidsLimit: number | undefined;
  readonly maxParallelPulls: number;
  /** Pulls that may begin in a second, after so many at once; undefined for no limit. */
  readonly pullPace: { readonly perSecond: number; readonly burst: number } | undefined;
  readonly verification: VerificationPolicy;
  readonly imageGc: { readonly minAgeMs: number; readonly maxAgeMs: number; readonly highPercent: number; readonly lowPercent: number };
  readonly logs: { readonly maxBytes: number; readonly maxFiles: number; readonly checkMs: number };
  readonly eviction: { readonly hard: Readonly<Record<string, Threshold>>; readonly soft: Readonly<Record<string, Threshold>>; readonly softGraceMs: Readonly<Record<string, number>>; readonly minimumReclaim: Readonly<Record<string, Threshold>>; readonly maxGraceSeconds: number; readonly transitionMs: number };
  /** What the machine keeps for itself, kubelet and system together. */
  readonly reserved: Readonly<Record<string, string>>;
  readonly enforcesAllocatable: boolean;
  readonly allowedUnsafeSysctls: readonly string[];
  readonly isSeccompDefault: boolean;
  /** Whether cpu limits are enforced. */
  readonly limitsCpu: boolean;
  /** Lowest priority first; empty where shutting down is nobody's business here. */
  readonly shutdown: readonly ShutdownPeriod[];
  readonly maxRestartDelayMs: number;
  readonly nodeStatus: { readonly checkMs: number; readonly reportMs: number; readonly leaseSeconds: number; readonly maxImages: number };
  readonly taints: readonly Taint[];
  readonly idsPerPod: number;
  readonly fileCheckMs: number;
  readonly healthz: { readonly address: string; readonly port: number };
}

const DEFAULT_PRIORITY = 0;
const CRITICAL_PRIORITY = 2_000_000_000;

export function settingsOf(configuration: Configuration): Settings {
  // Every field was checked when the configuration was read.
  const get = <T>(name: string): T => configuration[name] as T;
  const ms = (name: string): number => durationMs(get<string>(name)) ?? 0;
  const pids = get<number>("podPidsLimit");
  const restart = get<{ maxContainerRestartPeriod?: string }>("crashLoopBackOff").maxContainerRestartPeriod;
  return {
    configuration,
    maxPods: get("maxPods"), podsPerCore: get("podsPerCore"), podPidsLimit: pids > 0 ? pids : undefined,
    maxParallelPulls: get("maxParallelImagePulls"),
    pullPace: get<number>("registryPullQPS") > 0 ? { perSecond: get("registryPullQPS"), burst: Math.max(1, get<number>("registryBurst")) } : undefined,
    verification: { policy: get("imagePullCredentialsVerificationPolicy"), preloadedImages: get("preloadedImagesVerificationAllowlist") },
    imageGc: { minAgeMs: ms("imageMinimumGCAge"), maxAgeMs: ms("imageMaximumGCAge"), highPercent: get("imageGCHighThresholdPercent"), lowPercent: get("imageGCLowThresholdPercent") },
    logs: { maxBytes: wholeValue(parseQuantity(get<string>("containerLogMaxSize"))), maxFiles: get("containerLogMaxFiles"), checkMs: ms("containerLogMonitorInterval") },
    eviction: {
      hard: thresholds(get("evictionHard")), soft: thresholds(get("evictionSoft")),
      softGraceMs: mapValues(get<Record<string, string>>("evictionSoftGracePeriod"), (one) => durationMs(one) ?? 0),
      minimumReclaim: thresholds(get("evictionMinimumReclaim")),
      maxGraceSeconds: get("evictionMaxPodGracePeriod"), transitionMs: ms("evictionPressureTransitionPeriod"),
    },
    reserved: sum(get("systemReserved"), get("kubeReserved")),
    enforcesAllocatable: get<string[]>("enforceNodeAllocatable").includes("pods"),
    allowedUnsafeSysctls: get("allowedUnsafeSysctls"),
    isSeccompDefault: get("seccompDefault"),
    limitsCpu: get("cpuCFSQuota"),
    shutdown: shutdownPeriods({ all: ms("shutdownGracePeriod"), critical: ms("shutdownGracePeriodCriticalPods"), byPriority: get("shutdownGracePeriodByPodPriority") }),
    maxRestartDelayMs: durationMs(restart ?? "5m") ?? 300_000,
    nodeStatus: { checkMs: ms("nodeStatusUpdateFrequency"), reportMs: ms("nodeStatusReportFrequency"), leaseSeconds: get("nodeLeaseDurationSeconds"), maxImages: get("nodeStatusMaxImages") },
    taints: get("registerWithTaints"),
    idsPerPod: get<{ idsPerPod: number }>("userNamespaces").idsPerPod,
    fileCheckMs: ms("fileCheckFrequency"),
    healthz: { address: get("healthzBindAddress"), port: get("healthzPort") },
  };
}

/** The amount a threshold is of all there is; 0 without one. */
export function thresholdOf(threshold: Threshold | undefined, capacity: number): number {
  if (!threshold) return 0;
  return "amount" in threshold ? threshold.amount : Math.floor(capacity * threshold.share);
}

function shutdownPeriods({ all, critical, byPriority }: { all: number; critical: number; byPriority: readonly { priority: number; shutdownGracePeriodSeconds: number }[] }): ShutdownPeriod[] {
  if (byPriority.length > 0) return byPriority.map(({ priority, shutdownGracePeriodSeconds }) => ({ priority, seconds: shutdownGracePeriodSeconds })).sort((a, b) => a.priority - b.priority);
  if (all === 0) return [];
  return [{ priority: DEFAULT_PRIORITY, seconds: Math.floor((all - critical) / 1000) }, { priority: CRITICAL_PRIORITY, seconds: Math.floor(critical / 1000) }];
}

function thresholds(map: Readonly<Record<string, string>>): Record<string, Threshold> {
  return mapValues(map, (value) => (String(value).endsWith("%") ? { share: Number(String(value).slice(0, -1)) / 100 } : { amount: wholeValue(parseQuantity(String(value))) }));
}

function sum(...lists: readonly Readonly<Record<string, string>>[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, amount] of lists.flatMap((list) => Object.entries(list))) {
    const more = parseQuantity(String(amount));
    result[name] = formatQuantity({ format: more.format, nano: more.nano + parseQuantity(result[name] ?? "0").nano });
  }
  return result;
}

function mapValues<A, B>(map: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
}

export const DEFAULT_SETTINGS = settingsOf(DEFAULT_CONFIGURATION);

// Reads a KubeSchedulerConfiguration file into what the scheduler is made of: profiles, plugins, weights, arguments.
// Format: kubescheduler.config.k8s.io/v1. What is not understood is an error that says where, never ignored.
import { parse as parseYaml } from "yaml";
import type { NodeAffinity } from "../../api/types.ts";
import { defaultPlugins, type PluginArgs, type PluginContext, type Profile, type SchedulerConfig } from "./config.ts";
import type { EnabledPlugin, Plugin } from "./framework.ts";
import { DEFAULT_FIT, type FitArgs } from "./plugins/resources.ts";
import type { DefaultConstraint } from "./plugins/spread.ts";
import { DEFAULT_PREEMPTION, type PreemptionArgs } from "./preemption.ts";

/** The file cannot be used; the message names the field. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

type Fields = Readonly<Record<string, unknown>>;

const API_VERSION = "kubescheduler.config.k8s.io/v1";
const PREEMPTION = "DefaultPreemption";
/** Known to upstream, always on here, and without anything to configure. */
const IMPLIED = new Set(["PrioritySort", "DefaultBinder", "GangScheduling", "NodeDeclaredFeatures"]);
const FILTER_POINTS = ["preFilter", "filter"] as const;
const SCORE_POINTS = ["preScore", "score"] as const;
const POINTS = new Set<string>(["multiPoint", "preEnqueue", "queueSort", ...FILTER_POINTS, "postFilter", ...SCORE_POINTS, "reserve", "permit", "preBind", "bind", "postBind"]);
/** About how upstream's process runs; here another flag or nothing at all. */
const PROCESS_FIELDS = ["apiVersion", "kind", "leaderElection", "clientConnection", "parallelism", "enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"];

/** Reads the text of a configuration file; throws ConfigError. */
export function readSchedulerConfig(text: string): SchedulerConfig {
  const file = fieldsOf(parseYaml(text), "the configuration");
  if (file["apiVersion"] !== API_VERSION || file["kind"] !== "KubeSchedulerConfiguration") throw new ConfigError(`apiVersion and kind must be ${API_VERSION} KubeSchedulerConfiguration, not ${String(file["apiVersion"])} ${String(file["kind"])}`);
  allow(file, "", [...PROCESS_FIELDS, "percentageOfNodesToScore", "podInitialBackoffSeconds", "podMaxBackoffSeconds", "profiles", "extenders"]);
  if (listOf(file["extenders"], "extenders").length > 0) throw new ConfigError("extenders: HTTP extenders are not supported; use a profile with other plugins or weights");
  const profiles = listOf(file["profiles"], "profiles").map((p, i) => profileOf(fieldsOf(p, `profiles[${i}]`), `profiles[${i}]`));
  requireDistinct(profiles.map((p) => p.schedulerName));
  const seconds = (name: string): number | undefined => numberOf(file[name], name, { min: 1 });
  const [initial, max] = [seconds("podInitialBackoffSeconds"), seconds("podMaxBackoffSeconds")];
  if ((max ?? 10) < (initial ?? 1)) throw new ConfigError("podMaxBackoffSeconds: must be greater than or equal to podInitialBackoffSeconds");
  const percentage = numberOf(file["percentageOfNodesToScore"], "percentageOfNodesToScore", { min: 0, max: 100 });
  return {
    ...(percentage !== undefined && { percentageOfNodesToScore: percentage }),
    ...(initial !== undefined && { podInitialBackoffMs: initial * 1000 }),
    ...(max !== undefined && { podMaxBackoffMs: max * 1000 }),
    ...(profiles.length > 0 && { profiles: profiles.map((p) => (context: PluginContext) => p.make(context)) }),
  };
}

interface ProfileSource {
  readonly schedulerName: string;
  make(context: PluginContext): Profile;
}

function profileOf(profile: Fields, path: string): ProfileSource {
  allow(profile, path, ["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"]);
  const schedulerName = stringOf(profile["schedulerName"], `${path}.schedulerName`) ?? "default-scheduler";
  const percentage = numberOf(profile["percentageOfNodesToScore"], `${path}.percentageOfNodesToScore`, { min: 0, max: 100 });
  const { args, preemption } = argsOf(listOf(profile["pluginConfig"], `${path}.pluginConfig`), `${path}.pluginConfig`);
  const points = pointsOf(fieldsOf(profile["plugins"] ?? {}, `${path}.plugins`), `${path}.plugins`);
  return {
    schedulerName,
    make: (context) => {
      const known = defaultPlugins(context, args);
      requireKnown(points, known, `${path}.plugins`);
      const preempts = isOn(PREEMPTION, [points.get("multiPoint"), points.get("postFilter")]);
      return {
        schedulerName, percentageOfNodesToScore: percentage,
        plugins: known.flatMap((plugin) => enabled(plugin, points) ?? []),
        preemption: preempts ? preemption : undefined,
      };
    },
  };
}

/** What one extension point turns on (with a weight) and off. */
interface Point {
  readonly enabled: ReadonlyMap<string, number>;
  readonly disabled: ReadonlySet<string>;
}

function pointsOf(plugins: Fields, path: string): ReadonlyMap<string, Point> {
  const points = new Map<string, Point>();
  for (const [name, value] of Object.entries(plugins)) {
    if (!POINTS.has(name)) throw new ConfigError(`${path}.${name}: unknown extension point`);
    const set = fieldsOf(value, `${path}.${name}`);
    allow(set, `${path}.${name}`, ["enabled", "disabled"]);
    const named = (list: "enabled" | "disabled"): Fields[] => listOf(set[list], `${path}.${name}.${list}`).map((item, i) => fieldsOf(item, `${path}.${name}.${list}[${i}]`));
    points.set(name, {
      enabled: new Map(named("enabled").map((p) => [String(p["name"]), numberOf(p["weight"], `${path}.${name}.enabled.weight`, { min: 0 }) ?? 0])),
      disabled: new Set(named("disabled").map((p) => String(p["name"]))),
    });
  }
  return points;
}

function requireKnown(points: ReadonlyMap<string, Point>, known: readonly EnabledPlugin[], path: string): void {
  const names = new Set([...known.map((k) => k.plugin.name), ...IMPLIED, PREEMPTION, "*"]);
  for (const [point, { enabled: on, disabled }] of points) {
    for (const name of [...on.keys(), ...disabled]) if (!names.has(name)) throw new ConfigError(`${path}.${point}: plugin ${JSON.stringify(name)} does not exist`);
  }
}

/** A default plugin as the profile wants it; undefined when nothing of it is left. */
function enabled({ plugin, weight }: EnabledPlugin, points: ReadonlyMap<string, Point>): EnabledPlugin | undefined {
  const multiPoint = points.get("multiPoint");
  const at = (names: readonly string[]): (Point | undefined)[] => [multiPoint, ...names.map((name) => points.get(name))];
  const filters = isOn(plugin.name, at(FILTER_POINTS));
  const scores = isOn(plugin.name, at(SCORE_POINTS));
  const gates = isOn(plugin.name, at(["preEnqueue"]));
  if (!filters && !scores && !gates) return undefined;
  const asked = points.get("score")?.enabled.get(plugin.name) || multiPoint?.enabled.get(plugin.name) || weight;
  const { preEnqueue: _gate, ...ungated } = plugin;
  const kept: Plugin = gates ? plugin : ungated;
  return { plugin: kept, weight: scores ? asked : 0, filters };
}

/** On by default; each point in turn may turn it off or back on. */
function isOn(name: string, points: readonly (Point | undefined)[]): boolean {
  let on = true;
  for (const point of points) {
    if (!point) continue;
    if (point.enabled.has(name)) on = true;
    else if (point.disabled.has(name) || point.disabled.has("*")) on = false;
  }
  return on;
}

function argsOf(configs: readonly unknown[], path: string): { args: PluginArgs; preemption: PreemptionArgs } {
  let args: PluginArgs = {};
  let preemption = DEFAULT_PREEMPTION;
  configs.forEach((config, i) => {
    const at = `${path}[${i}]`;
    const { name, args: raw } = fieldsOf(config, at);
    const given = fieldsOf(raw ?? {}, `${at}.args`);
    const read = READERS[String(name)];
    if (name === PREEMPTION) preemption = preemptionArgs(given, `${at}.args`);
    else if (read) args = { ...args, ...read(given, `${at}.args`) };
    else throw new ConfigError(`${at}: plugin ${JSON.stringify(name)} takes no arguments`);
  });
  return { args, preemption };
}

const HEAD = ["apiVersion", "kind"];

const READERS: Readonly<Record<string, (args: Fields, path: string) => PluginArgs>> = {
  NodeResourcesFit: (args, path) => ({ nodeResourcesFit: fitArgs(args, path) }),
  NodeResourcesBalancedAllocation: (args, path) => {
    allow(args, path, [...HEAD, "resources"]);
    return { balancedResources: listOf(args["resources"], `${path}.resources`).map((r, i) => String(fieldsOf(r, `${path}.resources[${i}]`)["name"])) };
  },
  InterPodAffinity: (args, path) => {
    allow(args, path, [...HEAD, "hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"]);
    return { interPodAffinity: { hardPodAffinityWeight: numberOf(args["hardPodAffinityWeight"], `${path}.hardPodAffinityWeight`, { min: 0, max: 100 }) ?? 1, ignorePreferredTermsOfExistingPods: args["ignorePreferredTermsOfExistingPods"] === true } };
  },
  PodTopologySpread: (args, path) => {
    allow(args, path, [...HEAD, "defaultConstraints", "defaultingType"]);
    const constraints = listOf(args["defaultConstraints"], `${path}.defaultConstraints`) as DefaultConstraint[];
    const type = args["defaultingType"] ?? (constraints.length > 0 ? "List" : "System");
    if (type === "System" && constraints.length > 0) throw new ConfigError(`${path}.defaultConstraints: when .defaultingType is "System", must be empty`);
    return type === "List" ? { spreadDefaults: constraints } : {};
  },
  NodeAffinity: (args, path) => {
    allow(args, path, [...HEAD, "addedAffinity"]);
    return { addedAffinity: args["addedAffinity"] as NodeAffinity };
  },
  DynamicResources: (args, path) => {
    allow(args, path, [...HEAD, "filterTimeout", "bindingTimeout"]);
    return { deviceSearchMs: durationOf(args["filterTimeout"], `${path}.filterTimeout`), deviceBindTimeoutMs: durationOf(args["bindingTimeout"], `${path}.bindingTimeout`) };
  },
  VolumeBinding: (args, path) => {
    allow(args, path, [...HEAD, "bindTimeoutSeconds", "shape"]);
    return { bindTimeoutMs: (numberOf(args["bindTimeoutSeconds"], `${path}.bindTimeoutSeconds`, { min: 0 }) ?? 600) * 1000 };
  },
};

function fitArgs(args: Fields, path: string): FitArgs {
  allow(args, path, [...HEAD, "ignoredResources", "ignoredResourceGroups", "scoringStrategy"]);
  const strategy = fieldsOf(args["scoringStrategy"] ?? {}, `${path}.scoringStrategy`);
  allow(strategy, `${path}.scoringStrategy`, ["type", "resources", "requestedToCapacityRatio"]);
  const type = (strategy["type"] ?? "LeastAllocated") as FitArgs["strategy"];
  if (!["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"].includes(type)) throw new ConfigError(`${path}.scoringStrategy.type: must be LeastAllocated, MostAllocated or RequestedToCapacityRatio, not ${String(type)}`);
  const resources = listOf(strategy["resources"], `${path}.scoringStrategy.resources`).map((r) => r as { name: string; weight?: number });
  const ratio = fieldsOf(strategy["requestedToCapacityRatio"] ?? {}, `${path}.scoringStrategy.requestedToCapacityRatio`);
  const shape = listOf(ratio["shape"], `${path}.scoringStrategy.requestedToCapacityRatio.shape`) as { utilization: number; score: number }[];
  if (type === "RequestedToCapacityRatio" && shape.length === 0) throw new ConfigError(`${path}.scoringStrategy.requestedToCapacityRatio.shape: at least one point must be specified`);
  return {
    strategy: type, shape,
    resources: resources.length > 0 ? resources.map((r) => ({ name: r.name, weight: r.weight ?? 1 })) : DEFAULT_FIT.resources,
    ignoredResources: listOf(args["ignoredResources"], `${path}.ignoredResources`) as string[],
    ignoredResourceGroups: listOf(args["ignoredResourceGroups"], `${path}.ignoredResourceGroups`) as string[],
  };
}

function preemptionArgs(args: Fields, path: string): PreemptionArgs {
  allow(args, path, [...HEAD, "minCandidateNodesPercentage", "minCandidateNodesAbsolute"]);
  return {
    minCandidateNodesPercentage: numberOf(args["minCandidateNodesPercentage"], `${path}.minCandidateNodesPercentage`, { min: 0, max: 100 }) ?? DEFAULT_PREEMPTION.minCandidateNodesPercentage,
    minCandidateNodesAbsolute: numberOf(args["minCandidateNodesAbsolute"], `${path}.minCandidateNodesAbsolute`, { min: 0 }) ?? DEFAULT_PREEMPTION.minCandidateNodesAbsolute,
  };
}

function requireDistinct(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new ConfigError(`profiles: schedulerName ${JSON.stringify(twice)} is used by more than one profile`);
}

function allow(fields: Fields, path: string, names: readonly string[]): void {
  for (const name of Object.keys(fields)) if (!names.includes(name)) throw new ConfigError(`${path === "" ? "" : `${path}.`}${name}: unknown field`);
}

function fieldsOf(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ConfigError(`${path}: must be an object`);
  return value as Fields;
}

function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new ConfigError(`${path}: must be a list`);
  return value;
}

function stringOf(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value === "") throw new ConfigError(`${path}: must be a name`);
  return value;
}

/** A Go duration such as `1m30s`, in milliseconds. */
function durationOf(value: unknown, path: string): number | undefined {
  const text = stringOf(value, path);
  if (text === undefined) return undefined;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) throw new ConfigError(`${path}: must be a duration such as 10s, not ${text}`);
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ""] ?? 0), 0);
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function numberOf(value: unknown, path: string, { min, max = Infinity }: { min: number; max?: number }): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) throw new ConfigError(`${path}: must be a whole number ${max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`}, not ${String(value)}`);
  return value;
}

// `pluginConfig` of a scheduler's profile: what plugins are told, with upstream's defaults, ranges and sentences.
// Rules: k8s.io/kubernetes/pkg/scheduler/apis/config/{v1,validation}.
import { field } from "../../api/errors.ts";
import type { NodeAffinity } from "../../api/types.ts";
import type { PluginArgs } from "./config.ts";
import { allow, booleanOf, ConfigError, durationOf, fieldsListOf, fieldsOf, listOf, stringOf, type Fields, type Problems } from "./configfields.ts";
import { DEFAULT_FIT, type FitArgs } from "./plugins/resources.ts";
import type { DefaultConstraint } from "./plugins/spread.ts";
import { DEFAULT_PREEMPTION, type PreemptionArgs } from "./preemption.ts";

export const PREEMPTION = "DefaultPreemption";

/** Arguments of all plugins, and of preemption, which is no plugin here. */
export interface AllArgs {
  readonly args: PluginArgs;
  readonly preemption: PreemptionArgs;
}

/** Where the arguments of one plugin are, and where to say what is wrong with them. */
interface Source {
  readonly args: Fields;
  readonly path: string;
  readonly problems: Problems;
}

/** Reads the list of one profile; values that cannot be meant are noted down. */
export function pluginArgs(value: unknown, path: string, problems: Problems): AllArgs {
  let args: PluginArgs = {};
  let preemption = DEFAULT_PREEMPTION;
  const seen = new Set<string>();
  fieldsListOf(value, path).forEach((config, i) => {
    const at = `${path}[${i}]`;
    allow(config, at, ["name", "args"]);
    const name = stringOf(config["name"], `${at}.name`) ?? "";
    if (seen.has(name)) problems.add(field.duplicate(at, name));
    seen.add(name);
    const source = { args: argsFields(config["args"], name, `${at}.args`), path: `${at}.args`, problems };
    if (name === PREEMPTION) preemption = preemptionArgs(source);
    else if (READERS[name]) args = { ...args, ...READERS[name](source) };
    else throw new ConfigError(`${at}: plugin ${JSON.stringify(name)} takes no arguments`);
  });
  return { args, preemption };
}

function argsFields(value: unknown, name: string, path: string): Fields {
  const { apiVersion: _version, kind, ...args } = fieldsOf(value ?? {}, path);
  if (kind !== undefined && kind !== `${name}Args`) throw new ConfigError(`${path}: Invalid value: ${JSON.stringify(kind)}: has to match plugin args`);
  return args;
}

const READERS: Readonly<Record<string, (source: Source) => PluginArgs>> = {
  NodeResourcesFit: (source) => ({ nodeResourcesFit: fitArgs(source) }),
  NodeResourcesBalancedAllocation: (source) => balancedArgs(source),
  InterPodAffinity: ({ args, path, problems }) => {
    allow(args, path, ["hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"]);
    const weight = problems.number(args["hardPodAffinityWeight"], `${path}.hardPodAffinityWeight`, { min: 0, max: 100, otherwise: "not in valid range [0, 100]" });
    return { interPodAffinity: { hardPodAffinityWeight: weight ?? 1, ignorePreferredTermsOfExistingPods: booleanOf(args["ignorePreferredTermsOfExistingPods"], `${path}.ignorePreferredTermsOfExistingPods`) ?? false } };
  },
  PodTopologySpread: (source) => spreadArgs(source),
  NodeAffinity: ({ args, path, problems }) => {
    allow(args, path, ["addedAffinity"]);
    const addedAffinity = args["addedAffinity"] as NodeAffinity | undefined;
    if (addedAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms?.length === 0) problems.add(field.required(`${path}.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`, "must have at least one node selector term"));
    return { addedAffinity };
  },
  DynamicResources: ({ args, path, problems }) => {
    allow(args, path, ["filterTimeout", "bindingTimeout"]);
    const [filterMs, bindingMs] = [durationOf(args["filterTimeout"], `${path}.filterTimeout`), durationOf(args["bindingTimeout"], `${path}.bindingTimeout`)];
    if ((filterMs ?? 0) < 0) problems.add(field.invalid(`${path}.filterTimeout`, args["filterTimeout"], "must be zero or positive"));
    if ((bindingMs ?? 1000) < 1000) problems.add(field.invalid(`${path}.bindingTimeout`, args["bindingTimeout"], "must be at least 1 second"));
    return { deviceSearchMs: filterMs, deviceBindTimeoutMs: bindingMs };
  },
  VolumeBinding: ({ args, path, problems }) => {
    allow(args, path, ["bindTimeoutSeconds", "shape"]);
    if (args["shape"] !== undefined) problems.add(field.invalid(`${path}.shape`, args["shape"], "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring"));
    const seconds = problems.number(args["bindTimeoutSeconds"], `${path}.bindTimeoutSeconds`, { min: 0, otherwise: "invalid BindTimeoutSeconds, should not be a negative value" });
    return { bindTimeoutMs: (seconds ?? 600) * 1000 };
  },
};

function balancedArgs({ args, path, problems }: Source): PluginArgs {
  allow(args, path, ["resources"]);
  const names: string[] = [];
  fieldsListOf(args["resources"], `${path}.resources`).forEach((resource, i) => {
    const name = stringOf(resource["name"], `${path}.resources[${i}].name`) ?? "";
    if (names.includes(name)) problems.add(field.duplicate(`${path}.resources[${i}].name`, name));
    names.push(name);
    // Zero is what is left out.
    if (resource["weight"]) problems.number(resource["weight"], `${path}.resources[${i}].weight`, { min: 1, max: 1, otherwise: "must be 1" });
  });
  return names.length > 0 ? { balancedResources: names } : {};
}

function spreadArgs({ args, path, problems }: Source): PluginArgs {
  allow(args, path, ["defaultConstraints", "defaultingType"]);
  const type = stringOf(args["defaultingType"], `${path}.defaultingType`) || "System";
  const constraints = fieldsListOf(args["defaultConstraints"], `${path}.defaultConstraints`);
  if (type !== "System" && type !== "List") problems.add(field.notSupported(`${path}.defaultingType`, type, ["System", "List"]));
  if (type === "System" && constraints.length > 0) problems.add(field.invalid(`${path}.defaultingType`, type, "when .defaultConstraints are not empty"));
  constraints.forEach((constraint, i) => checkConstraint(constraint, { path: `${path}.defaultConstraints[${i}]`, problems, earlier: constraints.slice(0, i) }));
  return type === "List" ? { spreadDefaults: constraints as unknown as DefaultConstraint[] } : {};
}

function checkConstraint(constraint: Fields, { path, problems, earlier }: { path: string; problems: Problems; earlier: readonly Fields[] }): void {
  const { topologyKey = "", whenUnsatisfiable = "" } = constraint;
  problems.number(constraint["maxSkew"] ?? 0, `${path}.maxSkew`, { min: 1, otherwise: "not in valid range (0, inf)" });
  if (topologyKey === "") problems.add(field.required(`${path}.topologyKey`, "can not be empty"));
  if (whenUnsatisfiable === "") problems.add(field.required(`${path}.whenUnsatisfiable`, "can not be empty"));
  else if (whenUnsatisfiable !== "DoNotSchedule" && whenUnsatisfiable !== "ScheduleAnyway") problems.add(field.notSupported(`${path}.whenUnsatisfiable`, whenUnsatisfiable, ["DoNotSchedule", "ScheduleAnyway"]));
  if (constraint["labelSelector"] !== undefined) problems.add(field.forbidden(`${path}.labelSelector`, "constraint must not define a selector, as they deduced for each pod"));
  if (earlier.some((other) => other["topologyKey"] === topologyKey && other["whenUnsatisfiable"] === whenUnsatisfiable)) problems.add(field.duplicate(path, `{${String(topologyKey)}, ${String(whenUnsatisfiable)}}`));
}

const STRATEGIES = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] as const;

function fitArgs({ args, path, problems }: Source): FitArgs {
  allow(args, path, ["ignoredResources", "ignoredResourceGroups", "scoringStrategy"]);
  const groups = listOf(args["ignoredResourceGroups"], `${path}.ignoredResourceGroups`) as string[];
  groups.forEach((group, i) => (group.includes("/") ? problems.add(field.invalid(`${path}.ignoredResourceGroups[${i}]`, group, "resource group name can't contain '/'")) : undefined));
  return {
    ...strategyArgs({ args: fieldsOf(args["scoringStrategy"] ?? { type: "LeastAllocated" }, `${path}.scoringStrategy`), path: `${path}.scoringStrategy`, problems }),
    ignoredResources: listOf(args["ignoredResources"], `${path}.ignoredResources`) as string[],
    ignoredResourceGroups: groups,
  };
}

function strategyArgs({ args, path, problems }: Source): Pick<FitArgs, "strategy" | "resources" | "shape"> {
  allow(args, path, ["type", "resources", "requestedToCapacityRatio"]);
  const type = (args["type"] ?? "") as FitArgs["strategy"];
  if (!STRATEGIES.includes(type)) problems.add(field.notSupported(`${path}.type`, type, STRATEGIES));
  const resources = fieldsListOf(args["resources"], `${path}.resources`).map((resource, i) => {
    const name = stringOf(resource["name"], `${path}.resources[${i}].name`) ?? "";
    const weight = problems.number(resource["weight"] || 1, `${path}.resources[${i}].weight`, { min: 1, max: 100, otherwise: `resource weight of ${name} not in valid range (0, 100]` });
    return { name, weight: weight ?? 1 };
  });
  return { strategy: type, resources: resources.length > 0 ? resources : DEFAULT_FIT.resources, shape: ratioShape(args["requestedToCapacityRatio"], { type, path: `${path}.requestedToCapacityRatio`, problems }) };
}

function ratioShape(value: unknown, { type, path, problems }: { type: string; path: string; problems: Problems }): { utilization: number; score: number }[] {
  if (value === undefined) {
    if (type === "RequestedToCapacityRatio") problems.add(field.required(path, "must be specified when type is RequestedToCapacityRatio"));
    return [];
  }
  if (type !== "RequestedToCapacityRatio") problems.add(field.forbidden(path, "must be nil when type is not RequestedToCapacityRatio"));
  const points = fieldsListOf(fieldsOf(value, path)["shape"], `${path}.shape`);
  if (points.length === 0) problems.add(field.required(`${path}.shape`, "at least one point must be specified"));
  const shape = points.map((point, i) => ({
    utilization: problems.number(point["utilization"] ?? 0, `${path}.shape[${i}].utilization`, { min: 0, max: 100, otherwise: "not in valid range [0, 100]" }) ?? 0,
    score: problems.number(point["score"] ?? 0, `${path}.shape[${i}].score`, { min: 0, max: 10, otherwise: "not in valid range [0, 10]" }) ?? 0,
  }));
  const unsorted = shape.findIndex(({ utilization }, i) => i > 0 && (shape[i - 1]?.utilization ?? 0) >= utilization);
  if (unsorted > 0) problems.add(field.invalid(`${path}.shape[${unsorted}].utilization`, shape[unsorted]?.utilization, "values must be sorted in increasing order"));
  return shape;
}

function preemptionArgs({ args, path, problems }: Source): PreemptionArgs {
  allow(args, path, ["minCandidateNodesPercentage", "minCandidateNodesAbsolute"]);
  const { minCandidateNodesPercentage: defaultPercentage, minCandidateNodesAbsolute: defaultAbsolute } = DEFAULT_PREEMPTION;
  const [percentagePath, absolutePath] = [`${path}.minCandidateNodesPercentage`, `${path}.minCandidateNodesAbsolute`];
  const percentage = problems.number(args["minCandidateNodesPercentage"], percentagePath, { min: 0, max: 100, otherwise: "not in valid range [0, 100]" }) ?? defaultPercentage;
  const absolute = problems.number(args["minCandidateNodesAbsolute"], absolutePath, { min: 0, otherwise: "not in valid range [0, inf)" }) ?? defaultAbsolute;
  if (percentage === 0 && absolute === 0) {
    problems.add(field.invalid(percentagePath, 0, "cannot be zero at the same time as minCandidateNodesAbsolute"));
    problems.add(field.invalid(absolutePath, 0, "cannot be zero at the same time as minCandidateNodesPercentage"));
  }
  return { minCandidateNodesPercentage: percentage, minCandidateNodesAbsolute: absolute };
}

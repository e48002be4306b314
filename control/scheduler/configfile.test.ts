import { describe, expect, test } from "bun:test";
import { defaultPlugins, PLUGIN_NAMES } from "./config.ts";
import { readSchedulerConfig } from "./configfile.ts";
import { aNode, aPod, NODE, POD } from "./fakes.ts";
import { nodeOf, settle, start } from "./harness.ts";

const file = (rest: string): string => `apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n${rest}`;

function startWith(rest: string) {
  return start({ config: readSchedulerConfig(file(rest)) });
}

describe("a configuration file", () => {
  test("makes one scheduler pack what another spreads", async () => {
    const { api } = startWith(`
profiles:
- schedulerName: default-scheduler
- schedulerName: packer
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}
  plugins:
    score: {disabled: [{name: NodeResourcesBalancedAllocation}]}
`);
    for (const name of ["full", "empty"]) api.put(NODE, aNode(name));
    api.put(POD, aPod("old", { cpu: "2", spec: { nodeName: "full" } }));
    await settle();
    api.put(POD, aPod("packed", { cpu: "100m", spec: { schedulerName: "packer" } }));
    await settle();
    api.put(POD, aPod("spread", { cpu: "100m" }));
    await settle();
    expect(nodeOf(api.pod("default/packed"))).toBe("full");
    expect(nodeOf(api.pod("default/spread"))).toBe("empty");
  });

  test("turns filters off and preemption too", async () => {
    const { api } = startWith(`
profiles:
- plugins:
    filter: {disabled: [{name: TaintToleration}]}
    postFilter: {disabled: [{name: DefaultPreemption}]}
`);
    api.put(NODE, aNode("a", { taints: [{ key: "x", effect: "NoSchedule" }] }));
    api.put(POD, aPod("old", { cpu: "4" }));
    await settle();
    api.put(POD, aPod("high", { cpu: "4", spec: { priority: 100 } }));
    await settle();
    expect(nodeOf(api.pod("default/old"))).toBe("a");
    expect(api.deleted).toEqual([]);
    expect(api.pod("default/high").status?.conditions?.[0]?.message).toBe("0/1 nodes are available: 1 Insufficient cpu.");
  });

  test("demands a node affinity of every pod", async () => {
    const { api } = startWith(`
profiles:
- pluginConfig:
  - name: NodeAffinity
    args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: team, operator: In, values: [a]}]}]}}}
`);
    api.put(NODE, aNode("n"));
    api.put(POD, aPod("p"));
    await settle();
    expect(api.pod("default/p").status?.conditions?.[0]?.message).toStartWith("0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity.");
  });

  test("disables everything with a star and enables what is needed by name", () => {
    const config = readSchedulerConfig(file("profiles: [{plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit, weight: 7}, {name: PrioritySort}, {name: DefaultBinder}]}}}]"));
    const profile = config.profiles?.[0]?.({ volumes: {}, defaultSelector: () => undefined } as never);
    expect(profile?.plugins.map(({ plugin, weight, filters }) => ({ name: plugin.name, weight, filters }))).toEqual([{ name: "NodeResourcesFit", weight: 7, filters: true }]);
    expect(profile?.preemption).toBeUndefined();
  });

  test("may say how upstream's process is to run", () => {
    expect(readSchedulerConfig(file("parallelism: 4\nenableProfiling: false\ndelayCacheUntilActive: true\nleaderElection: {leaderElect: true, resourceLock: leases}\nclientConnection: {qps: 5}\npodInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 4"))).toEqual({ podInitialBackoffMs: 2000, podMaxBackoffMs: 4000 });
  });

  test.each([
    ["profiles: [{schedulerName: a}, {schedulerName: a}]", 'profiles[1].schedulerName: Duplicate value: "a"'],
    ["profiles: [{schedulerName: a}, {}]", "profiles[1].schedulerName: Required value"],
    ["percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"],
    ["profiles: [{percentageOfNodesToScore: -1}]", "profiles[0].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]"],
    ["parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero"],
    ["leaderElection: {leaderElect: true, resourceLock: endpoints}", 'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"'],
    ["profile: []", 'strict decoding error: unknown field "profile"'],
    ["profiles: [{plugins: {filtr: {}}}]", 'strict decoding error: unknown field "profiles[0].plugins.filtr"'],
    ["profiles: [{pluginConfig: [{name: Unknown, args: {}}]}]", 'profiles[0].pluginConfig[0]: plugin "Unknown" takes no arguments'],
    ["extenders: [{urlPrefix: x, prioritizeVerb: p}]", "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"],
    ["extenders: [{bindVerb: b}, {bindVerb: b}]", 'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind'],
    ["extenders: [{managedResources: [{name: cpu}]}]", 'extenders[0].managedResources[0].name: Invalid value: "cpu": is an invalid extended resource name'],
    ["podInitialBackoffSeconds: 20", "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds"],
    ["podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"],
    ["profiles: [{plugins: {filter: {enabled: [{name: EBSLimits}]}}}]", 'profiles[0].plugins.filter.enabled[0]: Invalid value: "EBSLimits": was invalid in version "kubescheduler.config.k8s.io/v1" (KubeSchedulerConfiguration is version "kubescheduler.config.k8s.io/v1")'],
    ["profiles: [{plugins: {filter: {enabled: [{name: NodeName}, {name: NodeName}]}}}]", 'plugin "NodeName" already registered as "filter"'],
    ["parallelism: 0\npercentageOfNodesToScore: 101", "[parallelism: Invalid value: 0: should be an integer value greater than zero, percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]]"],
  ])("with %s is refused, saying where", (rest, message) => {
    expect(() => readSchedulerConfig(file(rest))).toThrow(message);
  });

  const strategy = "scoringStrategy";
  test.each([
    ["InterPodAffinity", "hardPodAffinityWeight: 101", "hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]"],
    ["NodeResourcesBalancedAllocation", "resources: [{name: cpu, weight: 2}]", "resources[0].weight: Invalid value: 2: must be 1"],
    ["NodeResourcesBalancedAllocation", "resources: [{name: cpu}, {name: cpu}]", 'resources[1].name: Duplicate value: "cpu"'],
    ["PodTopologySpread", "defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]", 'defaultingType: Invalid value: "System": when .defaultConstraints are not empty'],
    ["PodTopologySpread", "defaultingType: Other", 'defaultingType: Unsupported value: "Other": supported values: "System", "List"'],
    ["PodTopologySpread", "defaultingType: List, defaultConstraints: [{maxSkew: 0, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]", "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)"],
    ["PodTopologySpread", "defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]", "defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod"],
    ["NodeResourcesFit", `${strategy}: {type: Best}`, `${strategy}.type: Unsupported value: "Best": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"`],
    ["NodeResourcesFit", `${strategy}: {type: RequestedToCapacityRatio}`, `${strategy}.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio`],
    ["NodeResourcesFit", `${strategy}: {type: MostAllocated, resources: [{name: cpu, weight: 101}]}`, `${strategy}.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]`],
    ["NodeResourcesFit", `${strategy}: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 50, score: 0}, {utilization: 50, score: 10}]}}`, `${strategy}.requestedToCapacityRatio.shape[1].utilization: Invalid value: 50: values must be sorted in increasing order`],
    ["NodeResourcesFit", "ignoredResourceGroups: [a/b]", `ignoredResourceGroups[0]: Invalid value: "a/b": resource group name can't contain '/'`],
    ["VolumeBinding", "bindTimeoutSeconds: -1", "bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value"],
    ["DynamicResources", "bindingTimeout: 100ms", 'bindingTimeout: Invalid value: "100ms": must be at least 1 second'],
    ["DefaultPreemption", "minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0", "minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as minCandidateNodesPercentage"],
  ])("with %s told %s is refused in upstream's words", (name, args, message) => {
    expect(() => readSchedulerConfig(file(`profiles: [{pluginConfig: [{name: ${name}, args: {${args}}}]}]`))).toThrow(`profiles[0].pluginConfig[0].args.${message}`);
  });

  test.each([
    ["queueSort: {disabled: [{name: '*'}]}", 'only one queue sort plugin required for profile with scheduler name "default-scheduler", but got 0'],
    ["bind: {disabled: [{name: DefaultBinder}]}", 'at least one bind plugin is needed for profile with scheduler name "default-scheduler"'],
  ])("whose profile could not work (%s) is refused", (plugins, message) => {
    expect(() => readSchedulerConfig(file(`profiles: [{plugins: {${plugins}}}]`))).toThrow(message);
  });

  test("of another kind is refused", () => {
    expect(() => readSchedulerConfig("apiVersion: v1\nkind: Pod")).toThrow("apiVersion and kind must be");
  });

  test("knows every plugin there is by its name", () => {
    expect(defaultPlugins({ volumes: {}, defaultSelector: () => undefined } as never).map(({ plugin }) => plugin.name)).toEqual([...PLUGIN_NAMES]);
  });

  test("naming a plugin that does not exist is refused", () => {
    expect(() => readSchedulerConfig(file("profiles: [{plugins: {filter: {enabled: [{name: Nope}]}}}]"))).toThrow('profiles[0].plugins.filter: plugin "Nope" does not exist');
  });
});

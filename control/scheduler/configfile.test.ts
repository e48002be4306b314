import { describe, expect, test } from "bun:test";
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

  test("disables everything with a star and enables one by name", () => {
    const config = readSchedulerConfig(file("profiles: [{plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit, weight: 7}]}}}]"));
    const profile = config.profiles?.[0]?.({ volumes: {}, defaultSelector: () => undefined } as never);
    expect(profile?.plugins.map(({ plugin, weight, filters }) => ({ name: plugin.name, weight, filters }))).toEqual([{ name: "NodeResourcesFit", weight: 7, filters: true }]);
    expect(profile?.preemption).toBeUndefined();
  });

  test.each([
    ["profiles: [{schedulerName: a}, {schedulerName: a}]", 'profiles: schedulerName "a" is used by more than one profile'],
    ["percentageOfNodesToScore: 101", "percentageOfNodesToScore: must be a whole number from 0 to 100, not 101"],
    ["profile: []", "profile: unknown field"],
    ["profiles: [{plugins: {filtr: {}}}]", "profiles[0].plugins.filtr: unknown extension point"],
    ["profiles: [{pluginConfig: [{name: Unknown, args: {}}]}]", 'profiles[0].pluginConfig[0]: plugin "Unknown" takes no arguments'],
    ["extenders: [{urlPrefix: x}]", "extenders: HTTP extenders are not supported; use a profile with other plugins or weights"],
    ["podInitialBackoffSeconds: 20", "podMaxBackoffSeconds: must be greater than or equal to podInitialBackoffSeconds"],
  ])("with %s is refused, saying where", (rest, message) => {
    expect(() => readSchedulerConfig(file(rest))).toThrow(message);
  });

  test("of another kind is refused", () => {
    expect(() => readSchedulerConfig("apiVersion: v1\nkind: Pod")).toThrow("apiVersion and kind must be");
  });

  test("naming a plugin that does not exist is refused when the scheduler is made", () => {
    expect(() => startWith("profiles: [{plugins: {filter: {enabled: [{name: Nope}]}}}]")).toThrow('profiles[0].plugins.filter: plugin "Nope" does not exist');
  });
});

import { describe, expect, test } from "bun:test";
import { matcherOf } from "../../api/selectors.ts";
import type { Node, Pod, Stored } from "../../api/types.ts";
import { Cluster } from "./cluster.ts";
import { defaultPlugins } from "./config.ts";
import { Cycle } from "./cycle.ts";
import { aNode, aPod } from "./fakes.ts";
import { PodParser } from "./podinfo.ts";

/** The same numbers for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const stored = <T extends Pod | Node>(object: T): Stored<T> => ({ ...object, metadata: { uid: `uid-${object.metadata.name}`, resourceVersion: "1", creationTimestamp: "", ...object.metadata } }) as unknown as Stored<T>;

const SELECTOR = matcherOf({ matchLabels: { app: "a0" } });
const anti = (app: string) => ({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone", labelSelector: { matchLabels: { app } } }] } } });

function randomPod(name: string, random: (below: number) => number): Stored<Pod> {
  return stored(aPod(name, {
    labels: { app: `a${random(3)}` }, cpu: `${random(4) * 100}m`, memory: `${random(3)}Gi`, ports: random(4) === 0 ? [80 + random(3)] : [],
    spec: random(3) === 0 ? anti(`a${random(3)}`) : {},
    metadata: random(6) === 0 ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {},
  }));
}

const randomNode = (name: string, random: (below: number) => number): Stored<Node> =>
  stored(aNode(name, { labels: { zone: `z${random(3)}` }, cpu: `${2 + random(6)}`, taints: random(5) === 0 ? [{ key: "x", effect: "NoSchedule" }] : [], unschedulable: random(8) === 0 }));

/** Everything decisions read, as plain data. */
function read(cluster: Cluster): unknown {
  const counts = cluster.counters.get({ terms: [{ namespaces: ["default"], selector: SELECTOR }], skipTerminating: true });
  const topology = cluster.topologies.get("zone");
  const byName = (counted: ReadonlyMap<number, number>) => [...counted].map(([index, count]) => [cluster.nodeAt(index)?.name, count]).sort();
  const zone = (domain: number) => cluster.nodes.find((n) => topology.domainOf[n.index] === domain)?.labels["zone"];
  return {
    nodes: cluster.nodes.map((n) => ({ name: n.name, cpu: n.milliCpu, memory: n.memory, nonZero: [n.nonZeroMilliCpu, n.nonZeroMemory], ports: [...n.ports].sort(), pods: [...n.pods.keys()].sort(), zone: zone(topology.domainOf[n.index] ?? -1) })).sort((a, b) => (a.name < b.name ? -1 : 1)),
    counts: byName(counts.byNode),
    totals: [...counts.totals(topology)].map(([domain, count]) => [zone(domain), count]).filter(([name]) => name !== undefined).sort(),
    anti: [...cluster.placedAntiAffinity.for("default")].map(({ term, counts: placed }) => [term.key, byName(placed.byNode), [...placed.totals(topology)].map(([domain, count]) => [zone(domain), count]).filter(([name]) => name !== undefined).sort()]).sort(),
    zones: [topology.nodeCount, [...topology.domains].map(zone).sort()],
  };
}

describe("the picture kept change by change", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])("equals one made anew, whatever came in which order (seed %i)", (seed) => {
    const random = randomFrom(seed);
    const parser = new PodParser();
    const cluster = new Cluster();
    const nodes = new Map<string, Stored<Node>>();
    const pods = new Map<string, { pod: Stored<Pod>; node: string }>();
    read(cluster);
    for (let step = 0; step < 400; step++) {
      const nodeName = `n${random(6)}`;
      const podName = `p${random(25)}`;
      const what = random(10);
      if (what < 2) {
        const node = randomNode(nodeName, random);
        nodes.set(nodeName, node);
        cluster.setNode(node);
      } else if (what < 3) {
        nodes.delete(nodeName);
        cluster.removeNode(nodeName);
      } else if (what < 8) {
        const pod = randomPod(podName, random);
        pods.set(podName, { pod, node: nodeName });
        cluster.place(parser.parse(pod), nodeName, random(3) === 0);
      } else {
        pods.delete(podName);
        cluster.remove(`uid-${podName}`);
      }
    }
    const fresh = new Cluster();
    const anew = new PodParser();
    for (const node of nodes.values()) fresh.setNode(node);
    for (const { pod, node } of pods.values()) fresh.place(anew.parse(pod), node);
    expect(read(cluster)).toEqual(read(fresh));
  });

  test.each([1, 2, 3, 4])("and remembered judgements equal fresh ones (seed %i)", (seed) => {
    const random = randomFrom(seed);
    const parser = new PodParser();
    const cluster = new Cluster();
    const plugins = defaultPlugins({ volumes: {}, defaultSelector: () => matcherOf(undefined) } as never);
    const cycle = new Cycle({ cluster, plugins, percentageOfNodesToScore: 100, nominations: { on: () => [] }, random: () => 0 });
    for (let i = 0; i < 6; i++) cluster.setNode(randomNode(`n${i}`, random));
    for (let step = 0; step < 200; step++) {
      const pod = parser.parse(randomPod(`q${random(10)}`, random));
      cycle.decide(pod);
      for (const node of cluster.nodes) expect(cycle.judge.status(pod, node)).toEqual(cycle.judge.judge(pod, node));
      const fitting = cluster.nodes.filter((node) => !cycle.judge.judge(pod, node));
      const anew = new Cycle({ cluster, plugins, percentageOfNodesToScore: 100, nominations: { on: () => [] }, random: () => 0 });
      expect(cycle.judge.scores(pod, fitting)).toEqual(anew.judge.scores(pod, fitting));
      if (random(2) === 0) cluster.place(parser.parse(randomPod(`p${random(20)}`, random)), `n${random(6)}`);
      else if (random(3) === 0) cluster.setNode(randomNode(`n${random(6)}`, random));
      else cluster.remove(`uid-p${random(20)}`);
    }
  });
});

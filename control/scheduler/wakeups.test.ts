import { expect, test } from "bun:test";
import { matcherOf } from "../../api/selectors.ts";
import type { Node, Pod, Stored } from "../../api/types.ts";
import { Cluster } from "./cluster.ts";
import { defaultPlugins } from "./config.ts";
import { Cycle } from "./cycle.ts";
import { aNode, aPod, NODE, POD } from "./fakes.ts";
import { nodeOf, settle, start } from "./harness.ts";
import { PodParser } from "./podinfo.ts";

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Random = (below: number) => number;

const near = (app: string) => ({ topologyKey: "zone", labelSelector: { matchLabels: { app } } });

function randomSpec(random: Random): NonNullable<Pod["spec"]> | object {
  switch (random(7)) {
    case 0: return { nodeSelector: { disk: `d${random(2)}` } };
    case 1: return { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [near(`a${random(2)}`)] } } };
    case 2: return { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [near(`a${random(2)}`)] } } };
    case 3: return { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: { matchLabels: { app: `a${random(2)}` } } }] };
    case 4: return { tolerations: [{ key: "x", operator: "Exists" }] };
    default: return {};
  }
}

const randomPod = (name: string, random: Random): Pod =>
  aPod(name, { labels: { app: `a${random(2)}` }, cpu: `${random(4) * 500}m`, ports: random(5) === 0 ? [80] : [], spec: { preemptionPolicy: "Never", ...randomSpec(random) } });

const randomNode = (name: string, random: Random): Node =>
  aNode(name, { labels: { zone: `z${random(2)}`, ...(random(2) === 0 && { disk: `d${random(2)}` }) }, cpu: `${1 + random(3)}`, pods: `${2 + random(4)}`, taints: random(4) === 0 ? [{ key: "x", effect: "NoSchedule" }] : [], unschedulable: random(6) === 0 });

test.each(Array.from({ length: 100 }, (_unused, i) => i + 1))("no pod waits that could go somewhere, whatever happened before (seed %i)", async (seed) => {
  const random = randomFrom(seed);
  const { api, clock } = start({ config: { podInitialBackoffMs: 1, podMaxBackoffMs: 1 } });
  for (let step = 0; step < 60; step++) {
    const podName = `p${random(14)}`;
    // Towards the end things only leave or change: a pod nobody woke then stays where it is.
    switch (step < 50 ? random(6) : 2 + random(2)) {
      case 0:
      case 1:
        api.put(NODE, randomNode(`n${random(5)}`, random));
        break;
      case 2:
        api.remove(POD, `default/${podName}`);
        break;
      case 3: {
        const pod = api.pod(`default/${podName}`);
        // Labels of running pods may change, which others' rules look at.
        if (pod) api.put(POD, { ...pod, metadata: { ...pod.metadata, labels: { app: `a${random(2)}` } } });
        break;
      }
      default:
        if (!api.pod(`default/${podName}`)) api.put(POD, randomPod(podName, random));
    }
    if (random(3) === 0) await settle();
  }
  await settle();
  await clock.advance(10);
  await settle();

  const cluster = new Cluster();
  const parser = new PodParser();
  for (const node of api.for<Node>(NODE).lister.list()) cluster.setNode(node);
  const pods = api.for<Pod>(POD).lister.list();
  for (const pod of pods) if (nodeOf(pod)) cluster.place(parser.parse(pod), nodeOf(pod) as string);
  const plugins = defaultPlugins({ volumes: {}, defaultSelector: () => matcherOf({}) } as never);
  const cycle = new Cycle({ cluster, plugins, percentageOfNodesToScore: 100, nominations: { on: () => [] }, random: () => 0 });
  const stuck = pods.filter((pod: Stored<Pod>) => !nodeOf(pod) && !("failed" in cycle.decide(parser.parse(pod))));
  expect(stuck.map((pod) => [pod.metadata.name, pod.status?.conditions?.[0]?.message])).toEqual([]);
});

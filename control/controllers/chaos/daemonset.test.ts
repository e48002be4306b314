// DaemonSets in bad weather: nodes come, go, are tainted and relabelled; in the end one pod is on every node that fits.
import { describe } from "bun:test";
import type { DaemonSet, Node, Pod, Stored } from "../../../api/types.ts";
import { targetNode } from "../daemonset/nodes.ts";
import { DAEMON_SET, NODE, POD } from "../kinds.ts";
import { controllerRefOf } from "../owners.ts";
import { isActive, isReady } from "../pods.ts";
import { aTemplate, imageOf, labels } from "./objects.suite.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const CONTROLLERS = ["daemonset-controller", "garbage-collector-controller", "pod-garbage-collector-controller"];
const LIMITS = [[0, 1], [1, 0]] as const;
const NODES = ["a", "b", "c", "d", "e"];

function aDaemonSet([maxSurge, maxUnavailable]: readonly [number, number]): DaemonSet {
  return {
    metadata: { name: "agent" },
    spec: {
      selector: { matchLabels: labels }, revisionHistoryLimit: 2,
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: maxSurge as never, maxUnavailable: maxUnavailable as never } },
      template: aTemplate("v0", { nodeSelector: { on: "yes" } }),
    },
  };
}

async function checkSettled(world: World): Promise<void> {
  const set = await world.find<DaemonSet>(DAEMON_SET, "agent") as Stored<DaemonSet>;
  const nodes = (await world.list<Node>(NODE)).filter((node) => node.metadata.labels?.["on"] === "yes" && !node.spec?.taints?.some(({ key }) => key === "out"));
  const pods = await world.list<Pod>(POD);
  const image = set.spec?.template?.spec?.containers[0]?.image;
  check(world, Bun.deepEquals(pods.map((pod) => targetNode(pod)).toSorted(), nodes.map((node) => node.metadata.name).toSorted()), `pods are on ${pods.map((pod) => targetNode(pod)).join(", ")}; wanted on ${nodes.map((node) => node.metadata.name).join(", ")}`);
  check(world, pods.every((pod) => isActive(pod) && isReady(pod) && imageOf(pod) === image), `pods are ${pods.map((pod) => `${pod.metadata.name} ${imageOf(pod)}`).join(", ")}; wanted ${image}`);
  const { status, metadata } = set;
  check(world, status?.observedGeneration === metadata.generation && [status?.desiredNumberScheduled, status?.currentNumberScheduled, status?.numberReady, status?.numberAvailable, status?.updatedNumberScheduled].every((count) => (count ?? 0) === nodes.length), `status is ${JSON.stringify(status)}`);
}

describe("a DaemonSet in bad weather", () => {
  for (const [maxSurge, maxUnavailable] of LIMITS) {
    plays(`rolls out with ${maxSurge} more and ${maxUnavailable} fewer at most`, {
      controllers: CONTROLLERS,
      script: async (world, kubelets): Promise<Script> => {
        for (const name of NODES) await kubelets.addNode(name, { on: "yes" });
        await world.create(DAEMON_SET, aDaemonSet([maxSurge, maxUnavailable]));
        let wasComplete = false;
        return {
          actions: [["a template", () => world.edit(DAEMON_SET, "agent", { spec: { template: aTemplate(`v${world.below(4)}`, { nodeSelector: { on: "yes" } }) } })]],
          always: async () => {
            const pods = (await world.list<Pod>(POD)).filter(isActive);
            const served = new Set(pods.filter(isReady).map((pod) => targetNode(pod)));
            wasComplete ||= served.size === NODES.length;
            if (wasComplete) check(world, served.size >= NODES.length - maxUnavailable, `only ${[...served].join(", ")} are served`);
          },
          atRest: () => checkSettled(world),
        };
      },
    });
  }

  plays("ends on every node that fits, whatever becomes of nodes and pods", {
    controllers: CONTROLLERS, kubelets: { areUnreliable: true }, setsDate: true,
    script: async (world, kubelets): Promise<Script> => {
      for (const name of NODES) await kubelets.addNode(name, { on: "yes" });
      await world.create(DAEMON_SET, aDaemonSet(world.pick(LIMITS)));
      return {
        actions: [
          ["a template", () => world.edit(DAEMON_SET, "agent", { spec: { template: aTemplate(`v${world.below(4)}`, { nodeSelector: { on: "yes" } }) } })],
          ["a node is relabelled", () => world.edit(NODE, world.pick(NODES), { metadata: { labels: { on: world.pick(["yes", "no"]) } } })],
          ["a node is tainted", () => world.edit(NODE, world.pick(NODES), { spec: { taints: world.chance(0.5) ? [{ key: "out", effect: world.pick(["NoExecute", "NoSchedule"]) }] : null } })],
          ["a node goes", () => world.remove(NODE, { metadata: { name: world.pick(NODES) } })],
          ["a node comes", () => kubelets.addNode(world.pick(NODES), { on: "yes" })],
          ["a pod is deleted", async () => {
            const pods = await world.list<Pod>(POD);
            if (pods.length > 0) await world.remove(POD, world.pick(pods));
          }],
          ["deleted and made anew", async () => {
            const old = await world.find<DaemonSet>(DAEMON_SET, "agent");
            if (old) await world.remove(DAEMON_SET, old, { propagationPolicy: world.pick(["Background", "Foreground", "Orphan"]) });
            await unlessRefused(world.create(DAEMON_SET, aDaemonSet(world.pick(LIMITS))));
          }],
        ],
        tend: async () => {
          if (!(await world.find(DAEMON_SET, "agent"))) await unlessRefused(world.create(DAEMON_SET, aDaemonSet([0, 1])));
          // A pod that is no longer tolerated, but was not to be driven out, may stay.
          for (const name of NODES) await world.edit(NODE, name, { spec: { taints: null } });
          for (const pod of await world.list<Pod>(POD)) if (!controllerRefOf(pod) && pod.metadata.labels?.["app"] === undefined) await world.remove(POD, pod, { gracePeriodSeconds: 0 });
        },
        atRest: () => checkSettled(world),
      };
    },
  });
});

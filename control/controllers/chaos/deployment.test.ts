// Deployments in bad weather: rolled out, scaled, paused, rolled back and deleted while calls fail, watches lag and controllers crash.
import { describe } from "bun:test";
import type { Deployment, KubeObject, Pod, ReplicaSet, Stored } from "../../../api/types.ts";
import { DEPLOYMENT, POD, REPLICA_SET } from "../kinds.ts";
import { controllerRefOf, isControlledBy } from "../owners.ts";
import { isActive, isFinished, isReady } from "../pods.ts";
import { plays, type Script } from "./play.suite.ts";
import { aTemplate, imageOf, labels } from "./objects.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const CONTROLLERS = ["deployment-controller", "replicaset-controller", "garbage-collector-controller"];
const LIMIT = 2;

function aDeployment(replicas: number, strategy: NonNullable<Deployment["spec"]>["strategy"]): Deployment {
  return { metadata: { name: "web" }, spec: { replicas, selector: { matchLabels: labels }, revisionHistoryLimit: LIMIT, progressDeadlineSeconds: 600, ...(strategy && { strategy }), template: aTemplate("v0") } };
}

const rolling = (maxSurge: number, maxUnavailable: number): NonNullable<Deployment["spec"]>["strategy"] => ({ type: "RollingUpdate", rollingUpdate: { maxSurge: maxSurge as never, maxUnavailable: maxUnavailable as never } });

async function podsOf(world: World, deployment: KubeObject): Promise<Stored<Pod>[]> {
  const sets = (await world.list<ReplicaSet>(REPLICA_SET)).filter((set) => isControlledBy(set, deployment));
  return (await world.list<Pod>(POD)).filter((pod) => sets.some((set) => isControlledBy(pod, set)));
}

/** Exactly what the Deployment asks for is there, and told. */
async function checkSettled(world: World): Promise<void> {
  const deployment = await world.find<Deployment>(DEPLOYMENT, "web") as Stored<Deployment>;
  const { replicas = 1, template } = deployment.spec ?? {};
  const sets = (await world.list<ReplicaSet>(REPLICA_SET)).filter((set) => isControlledBy(set, deployment));
  // What failed is left to be looked at.
  const pods = (await podsOf(world, deployment)).filter((pod) => !isFinished(pod));
  const image = template?.spec?.containers[0]?.image;
  const { status, metadata } = deployment;
  check(world, pods.length === replicas && pods.every((pod) => isActive(pod) && isReady(pod)), `pods are ${pods.map((pod) => `${pod.metadata.name} ${imageOf(pod)} ${pod.status?.phase}`).join(", ")}; wanted ${replicas}`);
  check(world, (status?.availableReplicas ?? 0) === replicas && (status?.replicas ?? 0) === replicas && status?.observedGeneration === metadata.generation, `status is ${JSON.stringify(status)}; wanted ${replicas}`);
  const revisions = sets.map((set) => set.metadata.annotations?.["deployment.kubernetes.io/revision"]);
  check(world, new Set(revisions).size === revisions.length, `revisions are ${revisions.join(", ")}`);
  if (deployment.spec?.paused) return;
  check(world, pods.every((pod) => imageOf(pod) === image), `images are ${pods.map(imageOf).join(", ")}; wanted ${image}`);
  check(world, (status?.updatedReplicas ?? 0) === replicas, `updated are ${status?.updatedReplicas}; wanted ${replicas}`);
  check(world, sets.length <= LIMIT + 1, `${sets.length} sets are kept`);
  check(world, status?.conditions?.find(({ type }) => type === "Progressing")?.reason === "NewReplicaSetAvailable", `conditions are ${JSON.stringify(status?.conditions)}`);
}

describe("a Deployment in bad weather", () => {
  plays("rolls out without ever having too few or too many", {
    controllers: CONTROLLERS,
    script: async (world, kubelets): Promise<Script> => {
      const replicas = 2 + world.below(5);
      const [maxSurge, maxUnavailable] = world.pick([[1, 0], [0, 1], [1, 1], [2, 1]] as const);
      await kubelets.addNode("n");
      await world.create(DEPLOYMENT, aDeployment(replicas, rolling(maxSurge, maxUnavailable)));
      let wasComplete = false;
      let version = 0;
      return {
        actions: [
          ["a new template", () => world.edit(DEPLOYMENT, "web", { spec: { template: aTemplate(`v${++version}`) } })],
          ["the first template", () => world.edit(DEPLOYMENT, "web", { spec: { template: aTemplate("v0") } })],
          ["pause", () => world.edit(DEPLOYMENT, "web", { spec: { paused: true } })],
          ["resume", () => world.edit(DEPLOYMENT, "web", { spec: { paused: null } })],
          ["an annotation", () => world.edit(DEPLOYMENT, "web", { metadata: { annotations: { at: String(version) } } })],
        ],
        always: async () => {
          const deployment = await world.find<Deployment>(DEPLOYMENT, "web") as Stored<Deployment>;
          const sets = (await world.list<ReplicaSet>(REPLICA_SET)).filter((set) => isControlledBy(set, deployment));
          const total = sets.reduce((sum, set) => sum + (set.spec?.replicas ?? 1), 0);
          check(world, total <= replicas + maxSurge, `sets ask for ${total} pods, ${replicas} and ${maxSurge} more are wanted`);
          const ready = (await podsOf(world, deployment)).filter((pod) => isActive(pod) && isReady(pod));
          const available = ready.length;
          // Pods of a set that was already told to be smaller do not make it complete.
          const lasting = sets.map((set) => Math.min(set.spec?.replicas ?? 1, ready.filter((pod) => isControlledBy(pod, set)).length));
          wasComplete ||= lasting.reduce((sum, count) => sum + count, 0) >= replicas;
          if (wasComplete) check(world, available >= replicas - maxUnavailable, `${available} pods are available, of ${replicas} no more than ${maxUnavailable} may be missing`);
        },
        tend: () => world.edit(DEPLOYMENT, "web", { spec: { paused: null } }),
        atRest: () => checkSettled(world),
      };
    },
  });

  plays("ends as asked, whatever was asked before", {
    controllers: CONTROLLERS, kubelets: { areUnreliable: true }, setsDate: true,
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const strategies = [rolling(1, 1), rolling(2, 0), { type: "Recreate" }] as const;
      await world.create(DEPLOYMENT, aDeployment(3, world.pick(strategies)));
      const withPods = async (use: (pod: Stored<Pod>) => Promise<unknown>): Promise<void> => {
        const pods = await world.list<Pod>(POD);
        if (pods.length > 0) await use(world.pick(pods));
      };
      return {
        actions: [
          ["scale", () => world.edit(DEPLOYMENT, "web", { spec: { replicas: world.below(8) } })],
          ["scale", () => world.edit(DEPLOYMENT, "web", { spec: { replicas: world.below(8) } })],
          ["a template", () => world.edit(DEPLOYMENT, "web", { spec: { template: aTemplate(`v${world.below(4)}`) } })],
          ["a template", () => world.edit(DEPLOYMENT, "web", { spec: { template: aTemplate(`v${world.below(4)}`) } })],
          ["pause or resume", () => world.edit(DEPLOYMENT, "web", { spec: { paused: world.chance(0.3) ? true : null } })],
          ["another strategy", () => world.edit(DEPLOYMENT, "web", { spec: { strategy: { rollingUpdate: null, ...world.pick(strategies) } } })],
          ["a pod is deleted", () => withPods((pod) => world.remove(POD, pod))],
          ["a pod's labels are taken away", () => withPods((pod) => world.edit(POD, pod.metadata.name, { metadata: { labels: { app: null } } }))],
          ["a set is deleted", async () => {
            const sets = await world.list<ReplicaSet>(REPLICA_SET);
            if (sets.length > 0) await world.remove(REPLICA_SET, world.pick(sets), { propagationPolicy: world.pick(["Background", "Foreground"]) });
          }],
          ["deleted and made anew", async () => {
            const old = await world.find<Deployment>(DEPLOYMENT, "web");
            if (old) await world.remove(DEPLOYMENT, old, { propagationPolicy: world.pick(["Background", "Foreground", "Orphan"]) });
            await unlessRefused(world.create(DEPLOYMENT, aDeployment(world.below(5), world.pick(strategies))));
          }],
        ],
        tend: async () => {
          if (!(await world.find(DEPLOYMENT, "web"))) await unlessRefused(world.create(DEPLOYMENT, aDeployment(3, world.pick(strategies))));
          await world.edit(DEPLOYMENT, "web", { spec: { paused: null } });
          // Pods without an owner stay for ever, failed ones too.
          for (const pod of await world.list<Pod>(POD)) if (!controllerRefOf(pod) && pod.metadata.labels?.["app"] === undefined) await world.remove(POD, pod, { gracePeriodSeconds: 0 });
        },
        atRest: () => checkSettled(world),
      };
    },
  });
});

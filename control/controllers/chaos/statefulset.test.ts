// StatefulSets in bad weather: every ordinal at most once, in order, with its claims, and in the end exactly what is asked for.
import { describe } from "bun:test";
import type { ControllerRevision, PersistentVolumeClaim, Pod, StatefulSet, Stored } from "../../../api/types.ts";
import { CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET } from "../kinds.ts";
import { controllerRefOf } from "../owners.ts";
import { isActive, isReady } from "../pods.ts";
import { ordinalOf } from "../statefulset/identity.ts";
import { aTemplate, imageOf, labels } from "./objects.suite.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const CONTROLLERS = ["statefulset-controller", "garbage-collector-controller", "persistentvolumeclaim-protection-controller"];
type Spec = NonNullable<StatefulSet["spec"]>;

function aSet(spec: Partial<Spec> = {}): StatefulSet {
  return {
    metadata: { name: "db" },
    spec: { replicas: 3, serviceName: "db", selector: { matchLabels: labels }, revisionHistoryLimit: 2, template: aTemplate("v0"), volumeClaimTemplates: [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } }] as never, ...spec },
  };
}

async function checkSettled(world: World): Promise<void> {
  const set = await world.find<StatefulSet>(STATEFUL_SET, "db") as Stored<StatefulSet>;
  const { replicas = 1, ordinals, template } = set.spec as Spec;
  const start = ordinals?.start ?? 0;
  const wanted = Array.from({ length: replicas }, (_, index) => `db-${start + index}`);
  const pods = (await world.list<Pod>(POD)).filter((pod) => controllerRefOf(pod)?.uid === set.metadata.uid);
  const image = template?.spec?.containers[0]?.image;
  check(world, Bun.deepEquals(pods.map((pod) => pod.metadata.name).toSorted(), wanted.toSorted()), `pods are ${pods.map((pod) => `${pod.metadata.name} ${pod.status?.phase} ${pod.spec?.nodeName} ${pod.metadata.deletionTimestamp ?? ""}`).join(", ")}; wanted ${wanted.join(", ")}`);
  check(world, pods.every((pod) => isActive(pod) && isReady(pod) && imageOf(pod) === image), `pods are ${pods.map((pod) => `${pod.metadata.name} ${imageOf(pod)} ${pod.status?.phase}`).join(", ")}; wanted ${image}`);
  const { status, metadata } = set;
  check(world, [status?.replicas, status?.readyReplicas, status?.updatedReplicas, status?.availableReplicas].every((count) => (count ?? 0) === replicas) && status?.observedGeneration === metadata.generation, `status is ${JSON.stringify(status)}`);
  check(world, status?.currentRevision === status?.updateRevision, `revisions are ${status?.currentRevision} and ${status?.updateRevision}`);
  const claims = await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
  for (const name of wanted) check(world, claims.some((claim) => claim.metadata.name === `data-${name}`), `the claim of ${name} is missing`);
  const revisions = await world.list<ControllerRevision>(CONTROLLER_REVISION);
  check(world, revisions.length <= 4, `${revisions.length} revisions are kept`);
}

describe("a StatefulSet in bad weather", () => {
  plays("makes and takes its pods in order", {
    controllers: CONTROLLERS,
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      await world.create(STATEFUL_SET, aSet({ persistentVolumeClaimRetentionPolicy: { whenScaled: "Delete", whenDeleted: "Retain" } }));
      let lowest = 3;
      /** Claims some pod ran with. */
      const ran = new Set<string>();
      return {
        actions: [
          ["scale", async () => {
            const replicas = world.below(6);
            lowest = Math.min(lowest, replicas);
            await world.edit(STATEFUL_SET, "db", { spec: { replicas } });
          }],
        ],
        always: async () => {
          const set = await world.find<StatefulSet>(STATEFUL_SET, "db") as Stored<StatefulSet>;
          const pods = (await world.list<Pod>(POD)).toSorted((a, b) => ordinalOf(set, a) - ordinalOf(set, b));
          for (const { metadata } of await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM)) if (pods.some((pod) => isReady(pod) && `data-${pod.metadata.name}` === metadata.name)) ran.add(metadata.uid);
          // One that is not running yet, or on its way out, is the last there is.
          const unfinished = pods.filter((pod) => !isReady(pod) || pod.metadata.deletionTimestamp);
          check(world, unfinished.length <= 1 && (unfinished.length === 0 || unfinished[0] === pods.at(-1)), `pods are ${pods.map((pod) => `${pod.metadata.name} ${isReady(pod)} ${pod.metadata.deletionTimestamp ?? ""}`).join(", ")}`);
          check(world, pods.every((pod, index) => ordinalOf(set, pod) === index), `ordinals are ${pods.map((pod) => ordinalOf(set, pod)).join(", ")}`);
          check(world, pods.length >= Math.min(lowest, pods.length), "never fewer than were ever asked for");
        },
        atRest: async () => {
          await checkSettled(world);
          const pods = (await world.list<Pod>(POD)).map((pod) => `data-${pod.metadata.name}`);
          const left = (await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM)).filter(({ metadata }) => ran.has(metadata.uid) && !pods.includes(metadata.name));
          check(world, left.length === 0, `claims of pods scaled away are left: ${left.map((claim) => claim.metadata.name).join(", ")}`);
        },
      };
    },
  });

  plays("ends as asked, whatever was asked before", {
    controllers: CONTROLLERS, kubelets: { areUnreliable: true }, setsDate: true,
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const podManagementPolicy = world.pick(["OrderedReady", "Parallel"]);
      const whenScaled = world.pick(["Retain", "Delete"]);
      await world.create(STATEFUL_SET, aSet({ podManagementPolicy, persistentVolumeClaimRetentionPolicy: { whenScaled, whenDeleted: "Retain" } }));
      const seen = new Map<string, string>();
      const withPod = async (use: (pod: Stored<Pod>) => Promise<unknown>): Promise<void> => {
        const pods = await world.list<Pod>(POD);
        if (pods.length > 0) await use(world.pick(pods));
      };
      return {
        actions: [
          ["scale", () => world.edit(STATEFUL_SET, "db", { spec: { replicas: world.below(6) } })],
          ["a template", () => world.edit(STATEFUL_SET, "db", { spec: { template: aTemplate(`v${world.below(3)}`) } })],
          ["a partition", () => world.edit(STATEFUL_SET, "db", { spec: { updateStrategy: { rollingUpdate: { partition: world.below(4) } } } })],
          ["another start", () => world.edit(STATEFUL_SET, "db", { spec: { ordinals: { start: world.below(3) } } })],
          ["a pod is deleted", () => withPod((pod) => world.remove(POD, pod))],
          ["a pod loses its labels", () => withPod((pod) => world.edit(POD, pod.metadata.name, { metadata: { labels: { app: null } } }))],
          ["a claim is deleted", async () => {
            const claims = await world.list<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM);
            if (claims.length > 0) await world.remove(PERSISTENT_VOLUME_CLAIM, world.pick(claims));
          }],
          ["deleted and made anew", async () => {
            const old = await world.find<StatefulSet>(STATEFUL_SET, "db");
            if (old) await world.remove(STATEFUL_SET, old, { propagationPolicy: world.pick(["Background", "Foreground", "Orphan"]) });
            await unlessRefused(world.create(STATEFUL_SET, aSet({ podManagementPolicy, persistentVolumeClaimRetentionPolicy: { whenScaled, whenDeleted: "Retain" } })));
          }],
        ],
        always: async () => {
          for (const pod of await world.list<Pod>(POD)) seen.set(pod.metadata.name, pod.metadata.uid);
        },
        tend: async () => {
          await world.edit(STATEFUL_SET, "db", { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } });
          if (!(await world.find(STATEFUL_SET, "db"))) await unlessRefused(world.create(STATEFUL_SET, aSet({ podManagementPolicy, persistentVolumeClaimRetentionPolicy: { whenScaled, whenDeleted: "Retain" } })));
          // A pod that was released keeps its name, and with it the place of the one to come.
          for (const pod of await world.list<Pod>(POD)) if (!controllerRefOf(pod) && pod.metadata.labels?.["app"] === undefined) await world.remove(POD, pod, { gracePeriodSeconds: 0 });
        },
        atRest: () => checkSettled(world),
      };
    },
  });
});

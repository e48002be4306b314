// Who owns what in bad weather: pods adopted, set free and stolen, webs of owners collected, namespaces emptied.
import { describe } from "bun:test";
import type { KindInfo } from "../../../api/kinds.ts";
import type { ConfigMap, Deployment, Job, Namespace, Pod, ReplicaSet, ReplicationController, Service, StatefulSet, Stored } from "../../../api/types.ts";
import { CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, JOB, NAMESPACE, PERSISTENT_VOLUME_CLAIM, POD, REPLICA_SET, REPLICATION_CONTROLLER, SECRET, SERVICE, SERVICE_ACCOUNT, STATEFUL_SET } from "../kinds.ts";
import { controllerRefOf } from "../owners.ts";
import { isActive } from "../pods.ts";
import { aTemplate, labels } from "./objects.suite.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused } from "./world.suite.ts";

describe("in bad weather", () => {
  for (const [kind, name] of [[REPLICA_SET, "replicaset-controller"], [REPLICATION_CONTROLLER, "replicationcontroller-controller"]] as const) {
    plays(`a ${kind.kind} has as many pods as it asks for, whoever takes or gives some`, {
      controllers: [name, "garbage-collector-controller"], kubelets: { areUnreliable: true }, setsDate: true,
      script: async (world, kubelets): Promise<Script> => {
        await kubelets.addNode("n");
        const make = (): Promise<unknown> => unlessRefused(world.create<ReplicaSet | ReplicationController>(kind, { metadata: { name: "web" }, spec: { replicas: world.below(6), selector: (kind === REPLICA_SET ? { matchLabels: labels } : labels) as never, template: aTemplate("v0") } }));
        await make();
        let bare = 0;
        const withPod = async (use: (pod: Stored<Pod>) => Promise<unknown>): Promise<void> => {
          const pods = await world.list<Pod>(POD);
          if (pods.length > 0) await use(world.pick(pods));
        };
        return {
          actions: [
            ["scale", () => world.edit(kind, "web", { spec: { replicas: world.below(9) } })],
            ["a bare pod", () => world.create<Pod>(POD, { metadata: { name: `bare-${bare++}`, ...(world.chance(0.7) && { labels }) }, spec: { containers: [{ name: "c", image: "i" }] } })],
            ["a pod loses its labels", () => withPod((pod) => world.edit(POD, pod.metadata.name, { metadata: { labels: { app: null } } }))],
            ["a pod gets its labels", () => withPod((pod) => world.edit(POD, pod.metadata.name, { metadata: { labels } }))],
            ["a pod is deleted", () => withPod((pod) => world.remove(POD, pod))],
            ["deleted", async () => {
              const old = await world.find(kind, "web");
              if (old) await world.remove(kind, old, { propagationPolicy: world.pick(["Background", "Foreground", "Orphan"]) });
              await make();
            }],
          ],
          tend: make,
          atRest: async () => {
            const owner = await world.find<ReplicaSet>(kind, "web") as Stored<ReplicaSet>;
            const pods = await world.list<Pod>(POD);
            const owned = pods.filter((pod) => isActive(pod) && controllerRefOf(pod)?.uid === owner.metadata.uid);
            const wanted = owner.spec?.replicas ?? 1;
            check(world, owned.length === wanted, `${owned.length} pods are owned, ${wanted} are wanted`);
            check(world, [owner.status?.replicas, owner.status?.readyReplicas, owner.status?.availableReplicas].every((count) => (count ?? 0) === wanted) && owner.status?.observedGeneration === owner.metadata.generation, `status is ${JSON.stringify(owner.status)}; wanted ${wanted}`);
            const strays = pods.filter((pod) => isActive(pod) && pod.metadata.labels?.["app"] === "web" && !controllerRefOf(pod));
            check(world, strays.length === 0, `not adopted: ${strays.map((pod) => pod.metadata.name).join(", ")}`);
            const wrong = pods.filter((pod) => controllerRefOf(pod) && pod.metadata.labels?.["app"] !== "web" && isActive(pod));
            check(world, wrong.length === 0, `not released: ${wrong.map((pod) => pod.metadata.name).join(", ")}`);
          },
        };
      },
    });
  }

  plays("of a web of owners exactly what still has one, or was set free, stays", {
    controllers: ["garbage-collector-controller"], steps: 80,
    script: async (world): Promise<Script> => {
      const owners = new Map<string, string[]>();
      const objects = new Map<string, Stored<ConfigMap>>();
      const deleted = new Set<string>();
      const add = async (): Promise<void> => {
        const name = `o${owners.size}`;
        const candidates = [...owners.keys()].filter((owner) => !deleted.has(owner));
        const chosen = candidates.length === 0 || world.chance(0.3) ? [] : [...new Set([world.pick(candidates), world.pick(candidates)])];
        const ownerReferences = chosen.map((owner) => ({ apiVersion: "v1", kind: "ConfigMap", name: owner, uid: objects.get(owner)?.metadata.uid as string, blockOwnerDeletion: world.chance(0.5) }));
        objects.set(name, await world.create<ConfigMap>(CONFIG_MAP, { metadata: { name, ...(chosen.length > 0 && { ownerReferences }) } }));
        owners.set(name, chosen);
      };
      /** Alive when nobody deleted it, and it never had an owner, was set free by all, or still has a living one. */
      const isAlive = (name: string): boolean => {
        const references = owners.get(name) ?? [];
        return !deleted.has(name) && (references.length === 0 || references.some(isAlive));
      };
      const remove = async (): Promise<void> => {
        const name = world.pick([...owners.keys()]);
        const current = await world.find<ConfigMap>(CONFIG_MAP, name);
        if (!current || current.metadata.deletionTimestamp) return;
        // With several owners it is a matter of time which of them is gone first, and whether it is set free or left alone.
        const isRoot = owners.get(name)?.length === 0 && [...owners.values()].every((references) => !references.includes(name) || references.length === 1);
        const propagationPolicy = world.pick(isRoot ? (["Background", "Foreground", "Orphan"] as const) : (["Background", "Foreground"] as const));
        await world.remove(CONFIG_MAP, current, { propagationPolicy });
        if (propagationPolicy === "Orphan") for (const [other, references] of owners) owners.set(other, references.filter((owner) => owner !== name));
        deleted.add(name);
      };
      for (let i = 0; i < 8; i++) await add();
      const roots = new Set([...owners].filter(([, references]) => references.length === 0).map(([name]) => name));
      return {
        actions: [["an object", add], ["an object", add], ["a deletion", remove]],
        always: async () => {
          const there = new Set((await world.list(CONFIG_MAP)).map(({ metadata }) => metadata.name));
          for (const name of roots) check(world, deleted.has(name) || there.has(name), `${name} was deleted, though it never had an owner`);
          for (const name of owners.keys()) if (isAlive(name)) check(world, there.has(name), `${name} was deleted, though an owner lives`);
        },
        atRest: async () => {
          const there = (await world.list(CONFIG_MAP)).map(({ metadata }) => metadata.name).filter((name) => owners.has(name)).toSorted();
          const wanted = [...owners.keys()].filter(isAlive).toSorted();
          check(world, Bun.deepEquals(there, wanted), `there are ${there.join(", ")}; wanted ${wanted.join(", ")}`);
        },
      };
    },
  });

  plays("what is orphaned stays, though its kind is heard of late", {
    controllers: ["garbage-collector-controller"],
    script: async (world): Promise<Script> => {
      const kinds = [SECRET, SERVICE_ACCOUNT, PERSISTENT_VOLUME_CLAIM] as const;
      const made: (readonly [KindInfo, string])[] = [];
      let next = 0;
      const orphan = async (): Promise<void> => {
        const owner = await world.create<ConfigMap>(CONFIG_MAP, { metadata: { name: `owner-${next++}` } });
        const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: owner.metadata.name, uid: owner.metadata.uid }];
        for (let count = 0; count < 3; count++) {
          const kind = world.pick(kinds);
          const spec = kind === PERSISTENT_VOLUME_CLAIM ? { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } } : {};
          const { metadata } = await world.create(kind, { metadata: { name: `d-${next++}`, ownerReferences }, ...spec });
          made.push([kind, metadata.name]);
        }
        await world.remove(CONFIG_MAP, owner, { propagationPolicy: "Orphan" });
      };
      const checkThere = async (): Promise<void> => {
        for (const [kind, name] of made) check(world, (await world.find(kind, name)) !== undefined, `${kind.kind} ${name} was deleted with the owner it was to outlive`);
      };
      return {
        actions: [["an owner comes and goes", orphan]],
        always: checkThere,
        atRest: async () => {
          await checkThere();
          for (const [kind, name] of made) check(world, !(await world.find(kind, name))?.metadata.ownerReferences?.length, `${kind.kind} ${name} still refers to its owner`);
        },
      };
    },
  });

  const content: readonly KindInfo[] = [POD, REPLICA_SET, DEPLOYMENT, STATEFUL_SET, JOB, SERVICE, ENDPOINTS, ENDPOINT_SLICE, CONFIG_MAP, SECRET, SERVICE_ACCOUNT, CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM];
  plays("nothing is left of namespaces that are deleted, with every controller at work", {
    controllers: ["*", "-node-lifecycle-controller"], kubelets: { areUnreliable: true, ends: (pod) => (pod.metadata.labels?.["job-name"] ? "succeed" : "run") },
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const names = ["one", "two", "three"];
      const spec = aTemplate("v0");
      const furnish = async (namespace: string): Promise<void> => {
        await unlessRefused(world.create<Namespace>(NAMESPACE, { metadata: { name: namespace } }));
        const metadata = { name: "web", namespace };
        const make: (() => Promise<unknown>)[] = [
          () => world.create<Deployment>(DEPLOYMENT, { metadata, spec: { replicas: 2, selector: { matchLabels: labels }, template: spec } }),
          () => world.create<StatefulSet>(STATEFUL_SET, { metadata, spec: { replicas: 2, serviceName: "web", selector: { matchLabels: labels }, template: spec, volumeClaimTemplates: [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } }] as never } }),
          () => world.create<Job>(JOB, { metadata, spec: { completions: 2, template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } } } as Job["spec"] }),
          () => world.create<Service>(SERVICE, { metadata, spec: { selector: labels, ports: [{ port: 80 }] } }),
        ];
        for (const one of make) if (world.chance(0.6)) await unlessRefused(one());
      };
      for (const name of names) await furnish(name);
      const removeAll = async (): Promise<void> => {
        for (const name of names) await world.remove(NAMESPACE, { metadata: { name } });
      };
      return {
        actions: [
          ["a namespace is furnished", () => furnish(world.pick(names))], ["a namespace is furnished", () => furnish(world.pick(names))],
          ["a namespace is deleted", () => world.remove(NAMESPACE, { metadata: { name: world.pick(names) } })],
        ],
        tend: removeAll,
        atRest: async () => {
          const left = (await world.list<Namespace>(NAMESPACE)).filter(({ metadata }) => names.includes(metadata.name));
          check(world, left.length === 0, `namespaces are left: ${JSON.stringify(left.map(({ metadata, status }) => [metadata.name, status]))}`);
          for (const kind of content) {
            const objects = (await world.list(kind)).filter(({ metadata }) => names.includes(metadata.namespace ?? ""));
            check(world, objects.length === 0, `left over: ${objects.map(({ metadata }) => `${kind.kind} ${metadata.namespace}/${metadata.name}`).join(", ")}`);
          }
        },
      };
    },
  });
});

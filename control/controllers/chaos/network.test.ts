// Services in bad weather: their slices, Endpoints and mirrors hold exactly the pods they select, each once.
import { describe } from "bun:test";
import type { Endpoints, EndpointSlice, Pod, Service, Stored } from "../../../api/types.ts";
import { ENDPOINT_SLICE, ENDPOINTS, POD, SERVICE } from "../kinds.ts";
import { isActive, isReady } from "../pods.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused } from "./world.suite.ts";

const MIRROR = "endpointslicemirroring-controller.k8s.io";

describe("in bad weather", () => {
  plays("a service's slices and Endpoints hold the pods it selects, each once", {
    controllers: ["endpointslice-controller", "endpoints-controller", "endpointslice-mirroring-controller", "garbage-collector-controller"], kubelets: { areUnreliable: true }, steps: 60, setsDate: true,
    script: async (world, kubelets): Promise<Script> => {
      await kubelets.addNode("n");
      const make = (): Promise<unknown> => unlessRefused(world.create<Service>(SERVICE, { metadata: { name: "web" }, spec: { selector: { app: world.pick(["a", "b"]) }, ports: [{ name: "http", port: 80, targetPort: world.pick([80, 81]) as never }] } }));
      await make();
      let next = 0;
      const ofService = async (): Promise<Stored<EndpointSlice>[]> => (await world.list<EndpointSlice>(ENDPOINT_SLICE)).filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === "web");
      return {
        actions: [
          ["a pod", () => world.create<Pod>(POD, { metadata: { name: `p${next++}`, labels: { app: world.pick(["a", "b"]) } }, spec: { containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] } })],
          ["a pod", () => world.create<Pod>(POD, { metadata: { name: `p${next++}`, labels: { app: world.pick(["a", "b"]) } }, spec: { containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] } })],
          ["a pod is relabelled", () => world.edit(POD, `p${world.below(next + 1)}`, { metadata: { labels: { app: world.pick(["a", "b"]) } } })],
          ["a pod is deleted", () => world.remove(POD, { metadata: { name: `p${world.below(next + 1)}`, namespace: "default" } })],
          ["another selector", () => world.edit(SERVICE, "web", { spec: { selector: { app: world.pick(["a", "b"]) } } })],
          ["the service goes", () => world.remove(SERVICE, { metadata: { name: "web", namespace: "default" } })],
          ["the service comes", make],
          ["somebody deletes a slice", async () => {
            const slices = await ofService();
            if (slices.length > 0) await world.remove(ENDPOINT_SLICE, world.pick(slices));
          }],
          ["somebody deletes the Endpoints", () => world.remove(ENDPOINTS, { metadata: { name: "web", namespace: "default" } })],
        ],
        tend: make,
        atRest: async () => {
          const service = await world.find<Service>(SERVICE, "web") as Stored<Service>;
          const pods = (await world.list<Pod>(POD)).filter((pod) => isActive(pod) && isReady(pod) && pod.metadata.labels?.["app"] === service.spec?.selector?.["app"]).map((pod) => pod.metadata.name).toSorted();
          const slices = await ofService();
          const published = slices.flatMap((slice) => slice.endpoints ?? []).map((endpoint) => endpoint.targetRef?.name ?? "").toSorted();
          check(world, Bun.deepEquals(published, pods), `slices hold ${published.join(", ")}; wanted ${pods.join(", ")}`);
          check(world, slices.every(({ ports }) => ports?.every(({ port }) => port === service.spec?.ports?.[0]?.targetPort)), "slices have other ports");
          const endpoints = await world.find<Endpoints>(ENDPOINTS, "web");
          const addresses = (endpoints?.subsets ?? []).flatMap((subset) => subset.addresses ?? []).map((address) => address.targetRef?.name ?? "").toSorted();
          check(world, Bun.deepEquals(addresses, pods), `Endpoints hold ${addresses.join(", ")}; wanted ${pods.join(", ")}`);
        },
      };
    },
  });

  plays("Endpoints made by hand are mirrored as long as they are there", {
    controllers: ["endpointslice-mirroring-controller", "endpointslice-controller", "endpoints-controller", "garbage-collector-controller"],
    script: async (world): Promise<Script> => {
      const addressesOf = (count: number): { ip: string }[] => Array.from({ length: count }, (_, index) => ({ ip: `192.0.2.${index + 1}` }));
      const make = (): Promise<unknown> => unlessRefused(world.create<Endpoints>(ENDPOINTS, { metadata: { name: "ext" }, subsets: [{ addresses: addressesOf(1 + world.below(4)), ports: [{ port: 80 }] }] }));
      const serve = (): Promise<unknown> => unlessRefused(world.create<Service>(SERVICE, { metadata: { name: "ext" }, spec: { ports: [{ port: 80 }] } }));
      await serve();
      const mirrors = async (): Promise<Stored<EndpointSlice>[]> => (await world.list<EndpointSlice>(ENDPOINT_SLICE)).filter(({ metadata }) => metadata.labels?.["endpointslice.kubernetes.io/managed-by"] === MIRROR);
      return {
        actions: [
          ["Endpoints", make],
          ["other addresses", () => world.edit(ENDPOINTS, "ext", { subsets: [{ addresses: addressesOf(1 + world.below(6)), ports: [{ port: world.pick([80, 81]) }] }] })],
          ["the Endpoints go", () => world.remove(ENDPOINTS, { metadata: { name: "ext", namespace: "default" } })],
          ["the service goes", () => world.remove(SERVICE, { metadata: { name: "ext", namespace: "default" } })],
          ["the service comes", serve],
          ["somebody deletes a mirror", async () => {
            const slices = await mirrors();
            if (slices.length > 0) await world.remove(ENDPOINT_SLICE, world.pick(slices));
          }],
        ],
        atRest: async () => {
          const [endpoints, service] = [await world.find<Endpoints>(ENDPOINTS, "ext"), await world.find<Service>(SERVICE, "ext")];
          const wanted = service ? (endpoints?.subsets ?? []).flatMap(({ addresses = [], ports = [] }) => addresses.map(({ ip }) => `${ip}:${ports[0]?.port}`)).toSorted() : [];
          const mirrored = (await mirrors()).flatMap(({ endpoints: all, ports }) => (all ?? []).map((endpoint) => `${endpoint.addresses[0]}:${ports?.[0]?.port}`)).toSorted();
          check(world, Bun.deepEquals(mirrored, wanted), `mirrored are ${mirrored.join(", ")}; wanted ${wanted.join(", ")}`);
        },
      };
    },
  });
});

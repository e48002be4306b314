import { expect, test } from "bun:test";
import type { Endpoints, Stored } from "../../../api/types.ts";
import { mirrorsOf } from "./mirroring.ts";
import { repackSubsets } from "./subsets.ts";

const [http, metrics, other] = [{ name: "http", port: 80 }, { name: "metrics", port: 90 }, { name: "metrics", port: 91 }];
const [a, b] = [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }];

test("ports the same addresses offer are said together, and a port different pods share is said once", () => {
  expect(repackSubsets([{ addresses: [a], ports: [http] }, { addresses: [a], ports: [metrics] }])).toEqual([{ addresses: [a], ports: [http, metrics] }]);
  expect(repackSubsets([{ addresses: [b], ports: [http, other] }, { addresses: [a], ports: [http, metrics] }])).toEqual([{ addresses: [a, b], ports: [http] }, { addresses: [a], ports: [metrics] }, { addresses: [b], ports: [other] }]);
});

test("not being ready for a port outweighs being ready for it, and those without ports are kept", () => {
  expect(repackSubsets([{ addresses: [a, b], ports: [http] }, { notReadyAddresses: [a], ports: [http] }])).toEqual([{ addresses: [b], notReadyAddresses: [a], ports: [http] }]);
  expect(repackSubsets([{ addresses: [a] }, { addresses: [a] }])).toEqual([{ addresses: [a] }]);
  expect(repackSubsets([{ ports: [http] }])).toEqual([]);
});

test("hand-written Endpoints that say one address in two subsets are mirrored as one slice", () => {
  const endpoints = { metadata: { name: "web", namespace: "default", uid: "u", resourceVersion: "1", creationTimestamp: "" }, subsets: [{ addresses: [a], ports: [http] }, { addresses: [a], ports: [metrics] }] } as Stored<Endpoints>;
  expect(mirrorsOf(endpoints).map(({ ports, endpoints: those }) => [ports?.map(({ port }) => port), those?.map(({ addresses }) => addresses)])).toEqual([[[80, 90], [["10.0.0.1"]]]]);
});

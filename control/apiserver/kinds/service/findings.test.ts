import { expect, test } from "bun:test";
import type { IPAddress, Service, ServiceCIDR, Stored } from "../../../../api/types.ts";
import { addressObject } from "./addresses.ts";
import { addressFindings, portFindings, type Holdings } from "./findings.ts";

const stored = <T extends { metadata: object }>(object: T, age = 0): Stored<never> => ({ ...object, metadata: { uid: "u", resourceVersion: "1", creationTimestamp: new Date(1_000_000 + age).toISOString(), ...object.metadata } }) as never;
const aService = (name: string, spec: object, age = 0): Stored<Service> => stored({ metadata: { name, namespace: "team" }, spec: { type: "ClusterIP", ...spec } }, age);
const addressOf = (service: Stored<Service>, ip: string): Stored<IPAddress> => stored(addressObject(service, ip) as never);
const range: Stored<ServiceCIDR> = stored({ metadata: { name: "kubernetes" }, spec: { cidrs: ["10.96.0.0/16"] } });
const holdings = (given: Partial<Holdings>): Holdings => ({ services: [], addresses: [], ranges: [range], leakedBefore: 2_000_000, ...given });
const told = (findings: readonly { about: { metadata: { name: string } }; reason: string; message: string }[]): string[] => findings.map(({ about, reason, message }) => `${about.metadata.name} ${reason}: ${message}`);

test("cluster IPs that are out of range, held by nobody, by another or by a wrong name are told of, and leaked addresses too", () => {
  const at = (ip: string) => ({ clusterIP: ip, clusterIPs: [ip] });
  const good = aService("good", at("10.96.0.1"));
  const services = [good, aService("out", at("10.0.0.1")), aService("lost", at("10.96.0.2")), aService("double", at("10.96.0.1")), aService("wrong", at("10.96.0.3")), aService("none", { clusterIP: "None", clusterIPs: ["None"] })];
  const gone = aService("gone", {});
  const addresses = [addressOf(good, "10.96.0.1"), addressOf(gone, "10.96.0.3"), addressOf(gone, "10.96.0.9")];
  expect(told(addressFindings(holdings({ services, addresses })))).toEqual([
    "out ClusterIPOutOfRange: Cluster IP [IPv4]: 10.0.0.1 is not within any configured Service CIDR; please recreate service",
    "lost ClusterIPNotAllocated: Cluster IP [IPv4]: 10.96.0.2 is not allocated; repairing",
    "double ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.96.0.1 was assigned to multiple services; please recreate service",
    "wrong ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.96.0.3 for Service team/wrong has a wrong reference; repairing",
    "10.96.0.9 IPAddressNotAllocated: IPAddress: 10.96.0.9 for Service team/gone appears to have leaked: cleaning up",
  ]);
  expect(addressFindings(holdings({ addresses, services: [good, aService("wrong", at("10.96.0.3"))].slice(0, 1), leakedBefore: 0 }))).toEqual([]);
});

test("node ports of several services belong to the oldest, and those outside the range to nobody", () => {
  const ports = (...all: number[]) => ({ type: "NodePort", ports: all.map((nodePort, index) => ({ port: 80 + index, nodePort })) });
  const services = [aService("young", ports(30001), 9), aService("old", ports(30001, 30001, 30002)), aService("out", ports(40000))];
  expect(told(portFindings({ services, ports: [30000, 32767], repaired: [30002] }))).toEqual([
    "old PortNotAllocated: Port 30002 is not allocated; repairing",
    "out PortOutOfRange: Port 40000 is not within the port range 30000-32767; please recreate service",
    "young PortAlreadyAllocated: Port 30001 was assigned to multiple services; please recreate service",
  ]);
});

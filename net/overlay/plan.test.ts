import { describe, expect, test } from "bun:test";
import { aNode } from "../testing.ts";
import { planRoutes, routeSignature, type Uplink } from "./plan.ts";

const uplink: Uplink = { nodeName: "a", nodeIp: "192.0.2.1", device: "eth0", subnets: ["192.0.2.1/24"], mtu: 1500 };
const self = aNode("a", "192.0.2.1", "10.244.0.0/24");
const near = aNode("b", "192.0.2.2", "10.244.1.0/24");
const far = aNode("c", "198.51.100.3", "10.244.2.0/24");
const viaTunnel = { dst: "10.244.2.0/24", gateway: "10.244.2.0", mac: "0a:59:c6:33:64:03", nodeIp: "198.51.100.3" };

describe("routes to other nodes' pods", () => {
  test("go straight to nodes on the same link, and need no tunnel", () => {
    expect(planRoutes([self, near], uplink)).toEqual({ direct: [{ dst: "10.244.1.0/24", via: "192.0.2.2" }] });
  });

  test("go through the tunnel to nodes elsewhere, with room for its headers", () => {
    expect(planRoutes([far, near, self], uplink)).toEqual({
      direct: [{ dst: "10.244.1.0/24", via: "192.0.2.2" }],
      tunnel: { address: "10.244.0.0", mac: "0a:59:c0:00:02:01", mtu: 1450, peers: [viaTunnel] },
    });
  });

  test("follow the mode asked for", () => {
    expect(planRoutes([self, near, far], uplink, "host-gw").direct).toHaveLength(2);
    expect(planRoutes([self, near, far], uplink, "vxlan").tunnel?.peers).toHaveLength(2);
  });

  test("wait for a node's range and address", () => {
    const { spec: _spec, ...unassigned } = near;
    const { status: _status, ...unknown } = near;
    expect(planRoutes([self, unassigned, unknown, aNode("d", "192.0.2.4", "not a range")], uplink)).toEqual({ direct: [] });
  });

  test("do not lead to simulated nodes, whatever address they show", () => {
    const hollow = { ...near, metadata: { ...near.metadata, labels: { "minik8s.io/hollow": "true" } } };
    expect(planRoutes([self, hollow], uplink)).toEqual({ direct: [] });
  });

  test("pair each range with the address of its family", () => {
    const dual = { ...near, spec: { podCIDRs: ["10.244.1.0/24", "fd00:1::/64"] }, status: { addresses: [{ type: "InternalIP", address: "192.0.2.2" }, { type: "InternalIP", address: "fd00::2" }] } };
    expect(planRoutes([self, dual], uplink).direct).toEqual([{ dst: "10.244.1.0/24", via: "192.0.2.2" }, { dst: "fd00:1::/64", via: "fd00::2" }]);
  });

  test("do not depend on what nodes report about themselves", () => {
    expect(routeSignature({ ...near, status: { ...near.status, conditions: [{ type: "Ready", status: "True" }] } })).toBe(routeSignature(near));
    expect(routeSignature({ ...near, spec: { podCIDR: "10.244.9.0/24" } })).not.toBe(routeSignature(near));
  });
});

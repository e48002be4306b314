import { expect, test } from "bun:test";
import type { AnyObject } from "../types.ts";
import { resourcesUsedBy, usageOf } from "./usage.ts";

const CLAIMS = { group: "resource.k8s.io", plural: "resourceclaims" };

test("a claim counts the devices of each class it may get", () => {
  const claim = { metadata: {}, spec: { devices: { requests: [
    { name: "a", exactly: { deviceClassName: "gpu", allocationMode: "ExactCount", count: 2 } },
    { name: "b", firstAvailable: [{ name: "x", deviceClassName: "gpu", allocationMode: "ExactCount", count: 3 }, { name: "y", deviceClassName: "gpu", allocationMode: "ExactCount", count: 1 }, { name: "z", deviceClassName: "cpu", allocationMode: "All" }] },
  ] } } } as unknown as AnyObject;
  expect(usageOf(CLAIMS, claim, 0)).toEqual({ "count/resourceclaims.resource.k8s.io": "1", "gpu.deviceclass.resource.k8s.io/devices": "5", "cpu.deviceclass.resource.k8s.io/devices": "32" });
  expect(resourcesUsedBy(CLAIMS, ["pods", "gpu.deviceclass.resource.k8s.io/devices", "count/resourceclaims.resource.k8s.io"])).toEqual(["gpu.deviceclass.resource.k8s.io/devices", "count/resourceclaims.resource.k8s.io"]);
});

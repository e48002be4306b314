import { describe, expect, test } from "bun:test";
import { CompileError } from "./compile.ts";
import { deviceSelector, type Device } from "./device.ts";

const DRIVER = "gpu.example.com";
const gpu: Device = {
  name: "gpu-0",
  attributes: { model: { string: "A100" }, cores: { int: 8 }, ecc: { bool: true }, firmware: { version: "1.10.0-rc.1" }, "numa.example.com/node": { int: 1 } },
  capacity: { memory: { value: "40Gi" } },
};

const matches = (expression: string, device = gpu): boolean => deviceSelector(expression).matches(device, DRIVER);
const failure = (expression: string): string => {
  try {
    return String(matches(expression));
  } catch (error) {
    return (error as Error).message;
  }
};

describe("a device selector", () => {
  test("reads attributes under the driver's domain and under their own", () => {
    expect(matches(`device.attributes["gpu.example.com"].model == "A100"`)).toBe(true);
    expect(matches(`device.attributes["gpu.example.com"].cores > 8`)).toBe(false);
    expect(matches(`device.attributes["numa.example.com"].node == 1`)).toBe(true);
    expect(matches(`device.driver == "gpu.example.com" && !device.allowMultipleAllocations`)).toBe(true);
  });

  test("may be an attribute that is true", () => {
    expect(matches(`device.attributes["gpu.example.com"].ecc`)).toBe(true);
    expect(failure(`device.attributes["gpu.example.com"].cores`)).toContain("could not be converted to bool");
  });

  test("compares capacities and versions", () => {
    expect(matches(`device.capacity["gpu.example.com"].memory.compareTo(quantity("40Gi")) == 0`)).toBe(true);
    expect(matches(`device.capacity["gpu.example.com"].memory.isGreaterThan(quantity("80Gi"))`)).toBe(false);
    expect(matches(`device.attributes["gpu.example.com"].firmware.isLessThan(semver("1.10.0"))`)).toBe(true);
    expect(matches(`device.attributes["gpu.example.com"].firmware.isGreaterThan(semver("1.9.3"))`)).toBe(true);
    expect(matches(`device.attributes["gpu.example.com"].firmware.minor() == 10`)).toBe(true);
  });

  test("takes an unknown domain for an empty one, and an unknown attribute for an error", () => {
    expect(matches(`has(device.attributes["other.example.com"].model)`)).toBe(false);
    expect(matches(`has(device.attributes["gpu.example.com"].model) && device.attributes["gpu.example.com"].model == "A100"`)).toBe(true);
    expect(matches(`"model" in device.attributes["other.example.com"]`)).toBe(false);
    expect(failure(`device.attributes["gpu.example.com"].vendor == "x"`)).toBe("no such key: vendor");
  });

  test("that is no expression about a device does not compile", () => {
    expect(() => deviceSelector(`device.driver`)).toThrow(CompileError);
    expect(() => deviceSelector(`device.colour == "red"`)).toThrow(CompileError);
    expect(() => deviceSelector(`device.driver ==`)).toThrow(CompileError);
    expect(() => deviceSelector(`unknown`)).toThrow(CompileError);
  });

  test("can bind a name to a domain", () => {
    expect(matches(`cel.bind(dra, device.attributes["gpu.example.com"], dra.ecc && dra.cores == 8)`)).toBe(true);
  });
});

// What a CRI runtime tells of its configuration.
import { expect, test } from "bun:test";
import { cniDirectories } from "./runtime.ts";

test.each([
  ["containerd 1's", { cni: { binDir: "/usr/lib/cni", confDir: "/etc/own/net.d" } }, { binDir: "/usr/lib/cni", confDir: "/etc/own/net.d" }],
  ["containerd 2's", { cni: { binDir: "", binDirs: ["/opt/own/bin"], confDir: "/etc/cni/net.d" } }, { binDir: "/opt/own/bin", confDir: "/etc/cni/net.d" }],
  ["nothing is the usual places", {}, { binDir: "/opt/cni/bin", confDir: "/etc/cni/net.d" }],
])("where plugins are looked for: %s", (_what, config, expected) => {
  expect(cniDirectories({ info: { config: JSON.stringify(config) } })).toEqual(expected);
});

test("a runtime that shows no configuration, or one that is no JSON, looks in the usual places", () => {
  const usual = { binDir: "/opt/cni/bin", confDir: "/etc/cni/net.d" };
  expect(cniDirectories({ info: {} })).toEqual(usual);
  expect(cniDirectories({ info: { config: "storage_driver = overlay" } })).toEqual(usual);
});

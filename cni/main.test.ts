import { describe, expect, test } from "bun:test";
import type { Exec } from "../lib/exec.ts";
import { calledAsPlugin, invoke, type Environment } from "./main.ts";

const noExec: Exec = async (command) => ({ exitCode: 1, stdout: "", stderr: `${command[0]} is not to be run` });
const okExec: Exec = async () => ({ exitCode: 0, stdout: "", stderr: "" });
const env = (command: string, more: Environment = {}): Environment => ({ CNI_COMMAND: command, CNI_CONTAINERID: "abc", CNI_NETNS: "/run/netns/x", CNI_IFNAME: "eth0", ...more });

async function call(plugin: string, environment: Environment, stdin: unknown, exec: Exec = noExec): Promise<{ exitCode: number; answer: Record<string, unknown> }> {
  const { exitCode, stdout } = await invoke({ plugin, env: environment, stdin: typeof stdin === "string" ? stdin : JSON.stringify(stdin), exec });
  return { exitCode, answer: stdout ? JSON.parse(stdout) as Record<string, unknown> : {} };
}

describe("the executable as a plugin", () => {
  test("it knows from its name and environment that it was called as one", () => {
    expect(calledAsPlugin("/opt/cni/bin/bridge", { CNI_COMMAND: "ADD" })).toBe("bridge");
    expect(calledAsPlugin("/usr/bin/minik8s", { CNI_COMMAND: "ADD" })).toBeUndefined();
    expect(calledAsPlugin("/opt/cni/bin/bridge", {})).toBeUndefined();
    expect(calledAsPlugin("bun", { CNI_COMMAND: "ADD", MINIK8S_CNI_PLUGIN: "portmap" })).toBe("portmap");
  });

  test("VERSION lists the versions it speaks", async () => {
    const { exitCode, answer } = await call("bridge", { CNI_COMMAND: "VERSION" }, "");
    expect(exitCode).toBe(0);
    expect(answer["supportedVersions"]).toContain("1.0.0");
  });

  test.each([
    ["an unknown version", env("ADD"), { cniVersion: "9.0.0", name: "n", type: "loopback" }, 1],
    ["a missing container id", env("ADD", { CNI_CONTAINERID: "" }), { cniVersion: "1.0.0", name: "n", type: "loopback" }, 4],
    ["a container id with a slash", env("ADD", { CNI_CONTAINERID: "../x" }), { cniVersion: "1.0.0", name: "n", type: "loopback" }, 4],
    ["an interface name that is too long", env("ADD", { CNI_IFNAME: "abcdefghijklmnop" }), { cniVersion: "1.0.0", name: "n", type: "loopback" }, 4],
    ["an unknown command", env("FROB"), { cniVersion: "1.0.0", name: "n", type: "loopback" }, 4],
    ["a document that is not JSON", env("ADD"), "{", 6],
    ["portmap without a previous result", env("ADD"), { cniVersion: "1.0.0", name: "n", type: "portmap" }, 7],
  ])("%s is the specification's error", async (_what, environment, stdin, code) => {
    const { exitCode, answer } = await call((stdin as { type?: string }).type ?? "loopback", environment, stdin);
    expect(exitCode).toBe(1);
    expect(answer["code"]).toBe(code);
    expect(answer["msg"]).toBeString();
  });

  test("older readers are told each address's family", async () => {
    const { answer } = await call("loopback", env("ADD"), { cniVersion: "0.4.0", name: "n", type: "loopback" }, okExec);
    expect(answer).toMatchObject({ cniVersion: "0.4.0", ips: [{ version: "4", address: "127.0.0.1/8" }] });
    const current = await call("loopback", env("ADD"), { cniVersion: "1.0.0", name: "n", type: "loopback" }, okExec);
    expect(current.answer["ips"]).toEqual([{ address: "127.0.0.1/8", interface: 0 }]);
  });

  test("a previous result passes through a chained plugin", async () => {
    const prevResult = { ips: [{ address: "10.0.0.2/24" }], interfaces: [{ name: "eth0" }] };
    const { answer } = await call("loopback", env("ADD"), { cniVersion: "1.0.0", name: "n", type: "loopback", prevResult }, okExec);
    expect(answer).toMatchObject(prevResult);
  });
});

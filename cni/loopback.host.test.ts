import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { showLink } from "../net/host/ip.ts";
import { makeNamespace, type TestNamespace } from "../net/host/testing.ts";
import { loopbackScript } from "./loopback-script.ts";
import { invoke } from "./main.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let scope: AsyncDisposableStack;
let pod: TestNamespace;
let script: string;
beforeEach(async () => {
  scope = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "m8net-lo-"));
  scope.defer(() => rmSync(directory, { recursive: true, force: true }));
  pod = scope.use(await makeNamespace("lo"));
  const whole = join(directory, "whole");
  writeFileSync(whole, "#!/bin/sh\necho \"whole $MINIK8S_CNI_PLUGIN $(cat)\"\nexit 7\n");
  script = join(directory, "loopback");
  writeFileSync(script, loopbackScript(`'${whole}'`));
  for (const file of [whole, script]) chmodSync(file, 0o755);
});
afterEach(() => scope.disposeAsync());

const env = (command: string, netns = pod.path): Record<string, string> => ({ CNI_COMMAND: command, CNI_CONTAINERID: "a", CNI_NETNS: netns, CNI_IFNAME: "lo" });
const config = (version: string, more: object = {}): string => JSON.stringify({ cniVersion: version, name: "cni-loopback", type: "loopback", ...more });

/** Calls the script as a runtime does. */
async function call(command: string, stdin: string, netns?: string): Promise<{ exitCode: number; stdout: string }> {
  const child = Bun.spawn([script], { env: { ...process.env, ...env(command, netns) }, stdin: Buffer.from(stdin), stdout: "pipe" });
  return { stdout: (await new Response(child.stdout).text()).trim(), exitCode: await child.exited };
}

test.each(["0.3.1", "1.0.0"])("the script brings the link up and down, and answers %s as the plugin itself does", async (version) => {
  const expected = await invoke({ plugin: "loopback", env: env("ADD"), stdin: config(version), exec: pod.exec });
  await run(pod.exec, ["ip", "link", "set", "dev", "lo", "down"]);
  expect(await call("ADD", config(version))).toEqual({ exitCode: 0, stdout: expected.stdout.trim() });
  expect((await showLink(pod.exec, "lo"))?.flags).toContain("UP");
  expect(await call("DEL", config(version))).toEqual({ exitCode: 0, stdout: "" });
  expect((await showLink(pod.exec, "lo"))?.flags).not.toContain("UP");
});

test.each([
  ["a namespace that is gone", "ADD", config("1.0.0"), "/run/netns/m8net-absent"],
  ["a version it does not speak", "ADD", config("9.9.9"), undefined],
  ["a result to pass on", "ADD", config("1.0.0", { prevResult: {} }), undefined],
  ["another command", "CHECK", config("1.0.0"), undefined],
])("%s is left to the whole plugin, its answer and exit code with it", async (_name, command, stdin, netns) => {
  expect(await call(command, stdin, netns)).toEqual({ exitCode: 7, stdout: `whole loopback ${stdin}` });
});

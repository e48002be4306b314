import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { showLink } from "../net/host/ip.ts";
import { askTcp, makeNamespace, serveTcp, type TestNamespace } from "../net/host/testing.ts";
import { bridgeScript } from "./bridge-script.ts";
import { podNetwork } from "./config.ts";
import { invoke } from "./main.ts";
import { hostLinkName } from "./names.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let scope: AsyncDisposableStack;
let node: TestNamespace;
let dataDir: string;
let script: string;

/** As a runtime hands it over: every object's keys in order. */
const config = (more: object = {}): string => JSON.stringify({
  bridge: "cni0", capabilities: { portMappings: true }, cniVersion: "1.0.0", hairpinMode: true, ipMasq: false,
  ipam: { dataDir, ranges: [[{ subnet: "10.244.7.0/24" }]], routes: [{ dst: "0.0.0.0/0" }], type: "host-local" },
  isGateway: true, mtu: 1400, name: "minik8s", ...more, type: "bridge",
});
const env = (pod: { name: string; path: string }, more: object = {}): Record<string, string> => ({ CNI_COMMAND: "ADD", CNI_CONTAINERID: pod.name, CNI_NETNS: pod.path, CNI_IFNAME: "eth0", CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=a", ...more });
const aPod = async (label: string): Promise<TestNamespace> => scope.use(await makeNamespace(label));
const reserved = (): string[] => readdirSync(join(dataDir, "minik8s")).filter((name) => name.startsWith("10.")).sort();
const plugin = (pod: TestNamespace): ReturnType<typeof invoke> => invoke({ plugin: "bridge", env: env(pod), stdin: config(), exec: node.exec });

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  dataDir = mkdtempSync(join(tmpdir(), "m8net-br-"));
  scope.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const whole = join(dataDir, "whole");
  writeFileSync(whole, "#!/bin/sh\necho \"whole $MINIK8S_CNI_PLUGIN $(cat)\"\nexit 7\n");
  script = join(dataDir, "bridge");
  writeFileSync(script, bridgeScript(podNetwork({ podCidrs: ["10.244.7.0/24"], mtu: 1400, dataDir }), `'${whole}'`) ?? "");
  for (const file of [whole, script]) chmodSync(file, 0o755);
  node = await aPod("node");
});
afterEach(() => scope.disposeAsync());

/** Calls the script in the node's namespace as a runtime does. */
async function call(environment: Record<string, string>, stdin = config()): Promise<{ exitCode: number; stdout: string }> {
  const child = Bun.spawn(["nsenter", `--net=${node.path}`, script], { env: { ...process.env, ...environment }, stdin: Buffer.from(stdin), stdout: "pipe" });
  return { stdout: (await new Response(child.stdout).text()).trim(), exitCode: await child.exited };
}

test("the first pod is left to the whole plugin, which makes the bridge; the next ones are attached as it does it", async () => {
  const [first, second, third] = [await aPod("a"), await aPod("b"), await aPod("c")];
  expect(await call(env(first))).toEqual({ exitCode: 7, stdout: `whole bridge ${config()}` });
  const whole = JSON.parse((await plugin(first)).stdout) as object;
  const answer = await call(env(second));
  expect(answer.exitCode).toBe(0);
  expect(JSON.parse(answer.stdout)).toEqual(JSON.parse(JSON.stringify(whole)
    .replaceAll("10.244.7.2/", "10.244.7.3/").replaceAll("0a:58:0a:f4:07:02", "0a:58:0a:f4:07:03")
    .replaceAll(hostLinkName(first.name, "eth0"), hostLinkName(second.name, "eth0")).replaceAll(first.path, second.path)));
  expect(reserved()).toEqual(["10.244.7.2", "10.244.7.3"]);
  expect(readFileSync(join(dataDir, "minik8s", "10.244.7.3"), "utf8")).toBe(`${second.name}\r\neth0`);
  await plugin(third);
  serveTcp(second, 80, "second");
  for (const from of [third, first, second, node]) expect(await askTcp(from, "10.244.7.3", 80)).toBe("second");
  const links = await Promise.all([first, second].map(async ({ name }) => showLink(node.exec, hostLinkName(name, "eth0"))));
  expect(links.map((link) => [link?.master, link?.mtu])).toEqual([["cni0", 1400], ["cni0", 1400]]);
  await invoke({ plugin: "bridge", env: env(second, { CNI_COMMAND: "DEL" }), stdin: config(), exec: node.exec });
  expect(reserved()).toEqual(["10.244.7.2", "10.244.7.4"]);
});

test("a pod is detached whoever attached it, again and without its namespace too, and others keep their addresses", async () => {
  const [first, second, third] = [await aPod("a"), await aPod("b"), await aPod("c")];
  await plugin(first);
  for (const pod of [second, third]) expect((await call(env(pod))).exitCode).toBe(0);
  writeFileSync(join(dataDir, "minik8s", "10.244.7.9"), `${first.name}x\r\neth0`);
  writeFileSync(join(dataDir, "minik8s", "10.244.7.10"), `${first.name}\r\neth1`);
  for (const gone of [first, second, second, { name: "never-was", path: "" }]) expect(await call(env(gone, { CNI_COMMAND: "DEL", CNI_NETNS: "" }))).toEqual({ exitCode: 0, stdout: "" });
  expect(reserved()).toEqual(["10.244.7.10", "10.244.7.4", "10.244.7.9"]);
  const links = await Promise.all([first, second, third].map(async ({ name }) => (await showLink(node.exec, hostLinkName(name, "eth0")))?.master));
  expect(links).toEqual([undefined, undefined, "cni0"]);
});

test("many attached at once, by the script and by the plugin, get an address each", async () => {
  await plugin(await aPod("first"));
  const pods = await Promise.all(Array.from({ length: 8 }, (_, index) => aPod(`p${index}`)));
  const answers = await Promise.all(pods.map((pod, index) => (index % 2 === 0 ? call(env(pod)) : plugin(pod))));
  expect(answers.map(({ exitCode }) => exitCode)).toEqual(pods.map(() => 0));
  expect(new Set(answers.map(({ stdout }) => (JSON.parse(stdout) as { ips: { address: string }[] }).ips[0]?.address)).size).toBe(8);
});

test("addresses follow one another, wrap around and leave out the gateway's, and without a free one the whole plugin says so", async () => {
  const [first, second] = [await aPod("a"), await aPod("b")];
  await plugin(first);
  writeFileSync(join(dataDir, "minik8s", "last_reserved_ip.0"), "10.244.7.254");
  expect((await call(env(second))).stdout).toContain('"10.244.7.3/24"');
  for (let host = 4; host < 255; host++) writeFileSync(join(dataDir, "minik8s", `10.244.7.${host}`), "other\r\neth0");
  expect(await call(env(await aPod("c")))).toMatchObject({ exitCode: 7 });
});

test("an attachment that fails takes its address back before the whole plugin tries", async () => {
  await plugin(await aPod("first"));
  expect(await call(env({ name: "ghost", path: "/run/netns/m8net-absent" }))).toMatchObject({ exitCode: 7 });
  expect(reserved()).toEqual(["10.244.7.2"]);
  const pod = await aPod("b");
  await run(pod.exec, ["ip", "link", "add", "eth0", "type", "bridge"]);
  expect(await call(env(pod))).toMatchObject({ exitCode: 7 });
  expect(reserved()).toEqual(["10.244.7.2"]);
  expect(await showLink(node.exec, hostLinkName(pod.name, "eth0"))).toBeUndefined();
});

test.each<[string, object, object]>([
  ["another command", { CNI_COMMAND: "CHECK" }, {}],
  ["taking host ports away", { CNI_COMMAND: "DEL" }, { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } }],
  ["a host port", {}, { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } }],
  ["another configuration", {}, { ipMasq: true }],
  ["a wanted address", { CNI_ARGS: "IP=10.244.7.9" }, {}],
  ["a wanted address among others", { CNI_ARGS: "IgnoreUnknown=1;IP=10.244.7.9" }, {}],
  ["an id that is none", { CNI_CONTAINERID: "a b" }, {}],
])("%s is left to the whole plugin, its answer and exit code with it", async (_name, environment, more) => {
  await plugin(await aPod("first"));
  const pod = await aPod("a");
  expect(await call(env(pod, environment), config(more))).toEqual({ exitCode: 7, stdout: `whole bridge ${config(more)}` });
  expect(reserved()).toEqual(["10.244.7.2"]);
});

test("there is none for two families, other ranges or a directory that needs quoting", () => {
  for (const podCidrs of [["10.244.7.0/24", "fd00:7::/64"], ["10.244.7.0/25"], ["fd00:7::/64"]]) expect(bridgeScript(podNetwork({ podCidrs, dataDir }), "'w'")).toBeUndefined();
  expect(bridgeScript(podNetwork({ podCidrs: ["10.244.7.0/24"], dataDir: "/it's" }), "'w'")).toBeUndefined();
});

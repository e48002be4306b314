import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { createIptables } from "../net/host/iptables.ts";
import { removeHostPortChains } from "../net/host/hostports.ts";
import { showLink } from "../net/host/ip.ts";
import { askTcp, askUdp, makeNamespace, serveTcp, serveUdp, type TestNamespace, tryTcp } from "../net/host/testing.ts";
import { attachPodNetwork, detachPodNetwork, type Attachment, type PodNetwork } from "./attach.ts";
import { podNetwork } from "./config.ts";
import { invoke } from "./main.ts";
import { hostLinkName } from "./names.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** A node with an outside machine on its uplink, and two pods. */
let scope: AsyncDisposableStack;
let node: TestNamespace;
let outside: TestNamespace;
let web: TestNamespace;
let client: TestNamespace;
let network: PodNetwork;
let dataDir: string;

const attachment = (pod: TestNamespace, more: Partial<Attachment> = {}): Attachment => ({ containerId: pod.name, netnsPath: pod.path, ...more });

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  dataDir = mkdtempSync(join(tmpdir(), "m8net-cni-"));
  scope.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  [node, outside, web, client] = await Promise.all(["node", "out", "web", "client"].map(async (label) => scope.use(await makeNamespace(label)))) as [TestNamespace, TestNamespace, TestNamespace, TestNamespace];
  await run(node.exec, ["ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", outside.path]);
  for (const [space, link, address] of [[node, "up0", "192.0.2.1/24"], [outside, "eth0", "192.0.2.9/24"]] as const) {
    await run(space.exec, ["ip", "address", "add", address, "dev", link]);
    await run(space.exec, ["ip", "link", "set", "dev", link, "up"]);
  }
  network = { config: podNetwork({ podCidrs: ["10.244.7.0/24"], mtu: 1400, dataDir }), exec: node.exec };
});
afterEach(() => scope.disposeAsync());

describe("a pod on the bridge", () => {
  test("reaches another pod, its gateway and itself", async () => {
    const [first] = (await attachPodNetwork(network, attachment(web))).ips as [string];
    await attachPodNetwork(network, attachment(client));
    expect(first).toBe("10.244.7.2");
    serveTcp(web, 80, "web");
    serveTcp(node, 81, "node");
    expect(await askTcp(client, first, 80)).toBe("web");
    expect(await askTcp(web, first, 80)).toBe("web");
    expect(await askTcp(node, first, 80)).toBe("web");
    expect(await askTcp(client, "10.244.7.1", 81)).toBe("node");
    expect((await showLink(client.exec, "eth0"))?.mtu).toBe(1400);
  });

  test("has an address of each family on a dual-stack node, usable at once", async () => {
    const dual = { ...network, config: podNetwork({ podCidrs: ["10.244.7.0/24", "fd00:7::/64"], dataDir }) };
    expect((await attachPodNetwork(dual, attachment(web, { portMappings: [{ hostPort: 8080, containerPort: 80 }] }))).ips).toEqual(["10.244.7.2", "fd00:7::2"]);
    await attachPodNetwork(dual, attachment(client));
    web.spawn(["socat", "TCP6-LISTEN:80,fork,reuseaddr", "SYSTEM:echo web"]);
    expect(await askTcp(client, "[fd00:7::2]", 80)).toBe("web");
    expect(await askTcp(node, "[fd00:7::2]", 80)).toBe("web");
    await detachPodNetwork(dual, attachment(web));
    expect(await createIptables({ exec: node.exec, family: 6 }).save("nat")).not.toContain("CNI-DN-");
  });

  test("keeps the bridge's hardware address as pods come and go", async () => {
    await attachPodNetwork(network, attachment(web));
    const before = (await showLink(node.exec, "cni0"))?.address;
    await attachPodNetwork(network, attachment(client));
    await detachPodNetwork(network, attachment(web));
    expect(before).toBe("0a:58:0a:f4:07:01");
    expect((await showLink(node.exec, "cni0"))?.address).toBe(before as string);
  });

  test("many attached at once get an address each", async () => {
    const pods = await Promise.all(Array.from({ length: 8 }, async (_, index) => scope.use(await makeNamespace(`p${index}`))));
    const ips = (await Promise.all(pods.map((pod) => attachPodNetwork(network, attachment(pod))))).flatMap((result) => result.ips);
    expect(new Set(ips).size).toBe(8);
  });

  test("leaves nothing when detached, and may be detached again or after its namespace is gone", async () => {
    await attachPodNetwork(network, attachment(web, { portMappings: [{ hostPort: 8080, containerPort: 80 }] }));
    await detachPodNetwork(network, attachment(web));
    await detachPodNetwork(network, { containerId: web.name, netnsPath: "" });
    expect(await showLink(node.exec, hostLinkName(web.name, "eth0"))).toBeUndefined();
    expect(readdirSync(join(dataDir, "minik8s")).filter((name) => name.startsWith("10."))).toEqual([]);
    expect(await createIptables({ exec: node.exec }).save("nat")).not.toContain("CNI-DN-");
  });

  test("that cannot be attached takes no address with it", async () => {
    await expect(attachPodNetwork(network, { containerId: "ghost", netnsPath: "/run/netns/m8net-absent" })).rejects.toThrow("cannot attach eth0 of ghost");
    expect((await attachPodNetwork(network, attachment(web))).ips).toEqual(["10.244.7.3"]);
    expect(readdirSync(join(dataDir, "minik8s")).filter((name) => name.startsWith("10."))).toEqual(["10.244.7.3"]);
  });

  test("leaves under the node's address with ipMasq, and the rule goes with it", async () => {
    const masquerading = { ...network, config: { ...network.config, plugins: network.config.plugins.map((plugin) => ({ ...plugin, ipMasq: true })) } };
    await attachPodNetwork(masquerading, attachment(web));
    outside.spawn(["socat", "TCP-LISTEN:80,fork,reuseaddr", "SYSTEM:echo $SOCAT_PEERADDR"]);
    expect(await askTcp(web, "192.0.2.9", 80)).toBe("192.0.2.1");
    await detachPodNetwork(masquerading, attachment(web));
    expect(await createIptables({ exec: node.exec }).save("nat")).not.toContain("MASQUERADE");
  });

  test("passes CHECK while it is intact, and fails it once its link is gone", async () => {
    const config = { ...network.config.plugins[0], cniVersion: "1.0.0", name: "minik8s" };
    const env = (command: string): Record<string, string> => ({ CNI_COMMAND: command, CNI_CONTAINERID: web.name, CNI_NETNS: web.path, CNI_IFNAME: "eth0" });
    const added = await invoke({ plugin: "bridge", env: env("ADD"), stdin: JSON.stringify(config), exec: node.exec });
    expect(JSON.parse(added.stdout)).toMatchObject({ cniVersion: "1.0.0", ips: [{ address: "10.244.7.2/24", gateway: "10.244.7.1", interface: 2 }], routes: [{ dst: "0.0.0.0/0", gw: "10.244.7.1" }] });
    const stdin = JSON.stringify({ ...config, prevResult: JSON.parse(added.stdout) });
    expect((await invoke({ plugin: "bridge", env: env("CHECK"), stdin, exec: node.exec })).exitCode).toBe(0);
    await run(node.exec, ["ip", "link", "delete", "dev", hostLinkName(web.name, "eth0")]);
    expect(JSON.parse((await invoke({ plugin: "bridge", env: env("CHECK"), stdin, exec: node.exec })).stdout)).toMatchObject({ msg: expect.stringContaining("is not attached to bridge cni0") });
  });
});

describe("a host port", () => {
  test("works in the spelling of containerd", async () => {
    const config = { ...network.config.plugins[0], cniVersion: "1.0.0", name: "minik8s", runtimeConfig: { portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "" }] } };
    const added = await invoke({ plugin: "bridge", env: { CNI_COMMAND: "ADD", CNI_CONTAINERID: web.name, CNI_NETNS: web.path, CNI_IFNAME: "eth0" }, stdin: JSON.stringify(config), exec: node.exec });
    expect(added.exitCode).toBe(0);
    serveTcp(web, 80, "web");
    expect(await askTcp(outside, "192.0.2.1", 8080)).toBe("web");
  });

  test("answers from outside, from the node, from its loopback, from another pod and from itself", async () => {
    await attachPodNetwork(network, attachment(web, { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP" }, { hostPort: 5353, containerPort: 53, protocol: "UDP" }] }));
    await attachPodNetwork(network, attachment(client));
    serveTcp(web, 80, "web");
    serveUdp(web, 53, "datagram");
    for (const from of [outside, node, client, web]) expect(await askTcp(from, "192.0.2.1", 8080)).toBe("web");
    expect(await askTcp(node, "127.0.0.1", 8080)).toBe("web");
    expect(await askUdp(outside, "192.0.2.1", 5353)).toBe("datagram");
  });

  test("bound to one address does not answer on another", async () => {
    await run(node.exec, ["ip", "address", "add", "192.0.2.2/24", "dev", "up0"]);
    await attachPodNetwork(network, attachment(web, { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP", hostIP: "192.0.2.2" }] }));
    serveTcp(web, 80, "web");
    expect(await askTcp(outside, "192.0.2.2", 8080)).toBe("web");
    expect(await tryTcp(outside, "192.0.2.1", 8080)).toBe("refused");
  });

  test("is shared by pods on different addresses and protocols", async () => {
    await attachPodNetwork(network, attachment(web, { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP", hostIP: "127.0.0.1" }] }));
    await attachPodNetwork(network, attachment(client, { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP", hostIP: "192.0.2.1" }, { hostPort: 8080, containerPort: 80, protocol: "UDP", hostIP: "192.0.2.1" }] }));
    serveTcp(web, 80, "loopback");
    serveTcp(client, 80, "stream");
    serveUdp(client, 80, "datagram");
    expect(await askTcp(node, "127.0.0.1", 8080)).toBe("loopback");
    expect(await askTcp(outside, "192.0.2.1", 8080)).toBe("stream");
    expect(await askUdp(outside, "192.0.2.1", 8080)).toBe("datagram");
    expect(await askTcp(node, "127.0.0.1", 8080, "192.0.2.1")).toBe("loopback");
  });

  test("chains all go away together, and those of others stay", async () => {
    const iptables = createIptables({ exec: node.exec });
    await iptables.ensureChain({ table: "nat", chain: "SOMEBODY" });
    await attachPodNetwork(network, attachment(web, { portMappings: [{ hostPort: 8080, containerPort: 80 }] }));
    await removeHostPortChains(iptables);
    const saved = await iptables.save("nat");
    expect(saved).not.toContain("CNI-");
    expect(saved).toContain("SOMEBODY");
  });
});

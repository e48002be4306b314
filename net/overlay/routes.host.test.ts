import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Node } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { run } from "../../lib/exec.ts";
import { eventually, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { showLink } from "../host/ip.ts";
import { askTcp, makeNamespace, serveTcp, type TestNamespace, tryTcp } from "../host/testing.ts";
import { aNode, FakeInformers } from "../testing.ts";
import { removeRoutes, TUNNEL_LINK } from "./apply.ts";
import type { OverlayMode } from "./plan.ts";
import { createPodRoutes } from "./routes.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const NODE = builtinKind("", "v1", "Node");

interface LabNode {
  readonly object: Node;
  readonly ip: string;
  readonly space: TestNamespace;
  readonly pod: TestNamespace;
}

let scope: AsyncDisposableStack;
let informers: FakeInformers;
beforeEach(() => {
  scope = new AsyncDisposableStack();
  informers = new FakeInformers();
});
afterEach(() => scope.disposeAsync());

/** A node with one pod, on a link of a router that forwards between all of them but knows no pod. */
async function makeLabNode(router: TestNamespace, index: number): Promise<LabNode> {
  const name = `n${index}`;
  const [space, pod] = [scope.use(await makeNamespace(name)), scope.use(await makeNamespace(`${name}p`))];
  await run(router.exec, ["ip", "-batch", "-"], { stdin: `link add r${index} type veth peer name eth0 netns ${space.path}\naddress add 198.18.${index}.254/24 dev r${index}\nlink set dev r${index} up\n` });
  await run(space.exec, ["ip", "-batch", "-"], { stdin: `address add 198.18.${index}.1/24 dev eth0\nlink set dev eth0 up\nroute add default via 198.18.${index}.254\nlink add p0 type veth peer name eth0 netns ${pod.path}\naddress add 10.244.${index}.1/24 dev p0\nlink set dev p0 up\n` });
  await run(pod.exec, ["ip", "-batch", "-"], { stdin: `address add 10.244.${index}.2/24 dev eth0\nlink set dev eth0 up\nroute add default via 10.244.${index}.1\n` });
  await forwarding(space);
  return { object: aNode(name, `198.18.${index}.1`, `10.244.${index}.0/24`), ip: `198.18.${index}.1`, space, pod };
}

async function forwarding(space: TestNamespace): Promise<void> {
  await run(space.exec, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
}

/** Two nodes on one bridge instead. */
async function makeSameLink(): Promise<LabNode[]> {
  const hub = scope.use(await makeNamespace("hub"));
  await run(hub.exec, ["ip", "-batch", "-"], { stdin: "link add br0 type bridge\nlink set dev br0 up\n" });
  return Promise.all([1, 2].map(async (index) => {
    const [space, pod] = [scope.use(await makeNamespace(`l${index}`)), scope.use(await makeNamespace(`l${index}p`))];
    await run(hub.exec, ["ip", "-batch", "-"], { stdin: `link add h${index} type veth peer name eth0 netns ${space.path}\nlink set dev h${index} master br0 up\n` });
    await run(space.exec, ["ip", "-batch", "-"], { stdin: `address add 192.0.2.${index}/24 dev eth0\nlink set dev eth0 up\nlink add p0 type veth peer name eth0 netns ${pod.path}\naddress add 10.244.${index}.1/24 dev p0\nlink set dev p0 up\n` });
    await run(pod.exec, ["ip", "-batch", "-"], { stdin: `address add 10.244.${index}.2/24 dev eth0\nlink set dev eth0 up\nroute add default via 10.244.${index}.1\n` });
    await forwarding(space);
    return { object: aNode(`n${index}`, `192.0.2.${index}`, `10.244.${index}.0/24`), ip: `192.0.2.${index}`, space, pod };
  }));
}

async function startRoutes(nodes: readonly LabNode[], mode?: OverlayMode): Promise<void> {
  informers.put(NODE, ...nodes.map((node) => node.object));
  for (const node of nodes) {
    const routes = createPodRoutes({ informers, nodeName: node.object.metadata.name as string, nodeIp: node.ip, exec: node.space.exec, clock: systemClock, ...(mode && { mode }) });
    await routes.start();
    scope.defer(() => routes.stop());
  }
}

describe("pods on different nodes", () => {
  test("reach each other directly where nodes share a link, without a tunnel", async () => {
    const nodes = await makeSameLink();
    const [one, two] = nodes as [LabNode, LabNode];
    await startRoutes(nodes);
    serveTcp(two.pod, 80, "two");
    expect(await askTcp(one.pod, "10.244.2.2", 80)).toBe("two");
    expect(await showLink(one.space.exec, TUNNEL_LINK)).toBeUndefined();
  });

  test("reach each other through the tunnel across a router that knows no pods", async () => {
    const router = scope.use(await makeNamespace("router"));
    await forwarding(router);
    const nodes = await Promise.all([1, 2, 3].map((index) => makeLabNode(router, index)));
    const [one, two, three] = nodes as [LabNode, LabNode, LabNode];
    await startRoutes(nodes);
    serveTcp(two.pod, 80, "two");
    for (const from of [one.pod, three.pod, one.space]) expect(await askTcp(from, "10.244.2.2", 80)).toBe("two");
    expect((await showLink(one.space.exec, TUNNEL_LINK))?.mtu).toBe(1450);
  });

  test("are cut off once their node is gone, and nothing of it stays", async () => {
    const router = scope.use(await makeNamespace("router"));
    await forwarding(router);
    const nodes = await Promise.all([1, 2].map((index) => makeLabNode(router, index)));
    const [one, two] = nodes as [LabNode, LabNode];
    await startRoutes(nodes);
    serveTcp(two.pod, 80, "two");
    expect(await askTcp(one.pod, "10.244.2.2", 80)).toBe("two");
    informers.of(NODE).remove("n2");
    await eventually("the tunnel goes", async () => !(await showLink(one.space.exec, TUNNEL_LINK)));
    expect(await tryTcp(one.pod, "10.244.2.2", 80)).not.toBe("two");
  });

  test("keep their routes through a restart, and lose them to a cleanup that leaves others' alone", async () => {
    const nodes = await makeSameLink();
    const { space } = nodes[0] as LabNode;
    await run(space.exec, ["ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.2"]);
    await startRoutes(nodes);
    await startRoutes(nodes);
    const shown = async (): Promise<string> => (await space.exec(["ip", "route", "show"])).stdout;
    expect((await shown()).match(/10\.244\.2\.0\/24 via 192\.0\.2\.2/g)).toHaveLength(1);
    await removeRoutes(space.exec);
    await removeRoutes(space.exec);
    expect(await shown()).not.toContain("10.244.2.0");
    expect(await shown()).toContain("203.0.113.0/24");
  });
});

// One simulated node for host tests: a namespace with an uplink to an outside machine, and pods on its bridge.
// Everything goes away with the returned stack.
import { run } from "../../lib/exec.ts";
import { makeNamespace, type TestNamespace } from "./testing.ts";

/** A node at 192.0.2.1 on a link with an outsider at 192.0.2.9. */
export interface TestNode extends AsyncDisposable {
  readonly node: TestNamespace;
  readonly outside: TestNamespace;
  /** Adds a pod with an address of the node's range. */
  addPod(label: string, ip: string): Promise<TestNamespace>;
}

/** Builds the node with the gateway address of its pod range, `10.244.1.1/24`. */
export async function makeNode(gateway = "10.244.1.1/24"): Promise<TestNode> {
  const scope = new AsyncDisposableStack();
  const node = scope.use(await makeNamespace("node"));
  const outside = scope.use(await makeNamespace("out"));
  await run(node.exec, ["ip", "-batch", "-"], {
    stdin: [
      `link add up0 type veth peer name eth0 netns ${outside.path}`, "address add 192.0.2.1/24 dev up0", "link set dev up0 up",
      "link add cni0 type bridge nf_call_iptables 1", `address add ${gateway} dev cni0`, "link set dev cni0 up", "",
    ].join("\n"),
  });
  await run(outside.exec, ["ip", "-batch", "-"], { stdin: "address add 192.0.2.9/24 dev eth0\nlink set dev eth0 up\nroute add default via 192.0.2.1\n" });
  await run(node.exec, ["ip", "route", "add", "default", "via", "192.0.2.9"]);
  await run(node.exec, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
  let count = 0;
  return {
    node, outside,
    async addPod(label, ip) {
      const pod = scope.use(await makeNamespace(label));
      const link = `vp${count++}`;
      await run(node.exec, ["ip", "-batch", "-"], { stdin: `link add ${link} type veth peer name eth0 netns ${pod.path}\nlink set dev ${link} master cni0 up\nlink set dev ${link} type bridge_slave hairpin on\n` });
      await run(pod.exec, ["ip", "-batch", "-"], { stdin: `address add ${ip}/24 dev eth0\nlink set dev eth0 up\nroute add default via ${gateway.split("/")[0]}\n` });
      return pod;
    },
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

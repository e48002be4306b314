// What a node refuses, and in which words.
import { expect, test } from "bun:test";
import type { Node, Pod } from "../../api/types.ts";
import { refusal } from "./admission.ts";
import { aContainer, aPod } from "./builders.ts";

const NONE = { memory: false, disk: false, pid: false };
const node: Node = { metadata: { name: "n1", labels: { zone: "a", "kubernetes.io/os": "linux" } }, status: { allocatable: { cpu: "2", memory: "1Gi", pods: "3", "example.com/widget": "1" } } };
const ask = (pod: Pod, others: Pod[] = [], extra: Partial<Parameters<typeof refusal>[0]> = {}): string | undefined => {
  const found = refusal({ pod, others, node, hasAppArmor: false, pressure: NONE, isStatic: false, ...extra });
  return found && `${found.reason}: ${found.message}`;
};
const wanting = (requests: Record<string, string>, name = "p"): Pod => aPod({ name, uid: name, spec: { containers: [aContainer({ resources: { requests } })] } });

test("a pod that fits is admitted", () => expect(ask(wanting({ cpu: "1" }), [wanting({ cpu: "1" }, "o")])).toBeUndefined());

test("a pod the node has no room for is refused with the figures", () => {
  expect(ask(wanting({ cpu: "1500m" }), [wanting({ cpu: "1" }, "o")])).toBe("OutOfcpu: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000");
  expect(ask(wanting({ memory: "2Gi" }))).toBe("OutOfmemory: Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824");
  expect(ask(wanting({ "example.com/widget": "2" }))).toStartWith("OutOfexample.com/widget");
  expect(ask(wanting({}), [wanting({}, "a"), wanting({}, "b"), wanting({}, "c")])).toStartWith("OutOfpods");
});

test("a node selector or affinity that does not match is refused", () => {
  expect(ask(aPod({ spec: { nodeSelector: { zone: "b" } } }))).toStartWith("NodeAffinity:");
  expect(ask(aPod({ spec: { nodeSelector: { "kubernetes.io/os": "windows" } } }))).toStartWith("PodOSSelectorNodeLabelDoesNotMatch:");
  const affinity = (values: string[]): Pod => aPod({ spec: { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In", values }] }] } } } } });
  expect(ask(affinity(["a"]))).toBeUndefined();
  expect(ask(affinity(["c"]))).toStartWith("NodeAffinity:");
});

test("unsafe sysctls and AppArmor without a kernel that has it are refused", () => {
  const sysctl = (name: string, hostNetwork = false): Pod => aPod({ spec: { hostNetwork, securityContext: { sysctls: [{ name, value: "1" }] } } });
  expect(ask(sysctl("kernel.shm_rmid_forced"))).toBeUndefined();
  expect(ask(sysctl("kernel/shm_rmid_forced"))).toBeUndefined();
  expect(ask(sysctl("kernel.msgmax"))).toBe(`SysctlForbidden: forbidden sysctl: "kernel.msgmax" not allowlisted`);
  expect(ask(sysctl("net.ipv4.tcp_syncookies", true))).toBe(`SysctlForbidden: forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled`);
  expect(ask(aPod({ spec: { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } } }))).toStartWith("AppArmor:");
});

test("a host port somebody has is refused, on another address it is not", () => {
  const on = (hostIP: string, name: string): Pod => aPod({ name, uid: name, spec: { containers: [aContainer({ ports: [{ containerPort: 80, hostPort: 8080, hostIP }] })] } });
  expect(ask(on("", "p"), [on("10.0.0.1", "o")])).toStartWith("NodePorts:");
  expect(ask(on("10.0.0.2", "p"), [on("10.0.0.1", "o")])).toBeUndefined();
});

test("under memory pressure only pods with a promise are admitted, without disk or process ids none but the node's own", () => {
  const [memory, disk] = [{ pressure: { ...NONE, memory: true } }, { pressure: { ...NONE, memory: true, disk: true } }];
  expect(ask(aPod(), [], memory)).toBe("Evicted: The node had condition: [MemoryPressure]. ");
  expect(ask(wanting({ memory: "1Mi" }), [], memory)).toBeUndefined();
  expect(ask(wanting({ memory: "1Mi" }), [], disk)).toBe("Evicted: The node had condition: [MemoryPressure DiskPressure]. ");
  expect(ask(aPod(), [], { pressure: { ...NONE, pid: true } })).toBe("Evicted: The node had condition: [PIDPressure]. ");
  expect(ask(aPod(), [], { ...disk, isStatic: true })).toBeUndefined();
});

test("a NoExecute taint is refused unless tolerated, but not for a static pod", () => {
  const tainted: Node = { ...node, spec: { taints: [{ key: "k", effect: "NoExecute", value: "v" }] } };
  expect(ask(aPod(), [], { node: tainted })).toStartWith("TaintToleration:");
  expect(ask(aPod(), [], { node: tainted, isStatic: true })).toBeUndefined();
  expect(ask(aPod({ spec: { tolerations: [{ operator: "Exists" }] } }), [], { node: tainted })).toBeUndefined();
});

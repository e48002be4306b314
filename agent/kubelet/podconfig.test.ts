// What a pod's spec becomes on the node: names, resolvers, security, limits, cgroups and status.
import { expect, test } from "bun:test";
import type { Container, ContainerStatus, Pod, PodSpec } from "../../api/types.ts";
import { aContainer, aPod } from "./builders.ts";
import { cgroupName, cgroupParent, cgroupPath, cpuWeight, limitFiles } from "./cgroups.ts";
import { conditionsOf } from "./conditions.ts";
import { hostDns, parseResolvConf, podDns } from "./dns.ts";
import { hostNameOf, hostsFile, sandboxHostName } from "./hosts.ts";
import { withDefaultTag, duration } from "./images.ts";
import { phaseOf } from "./phase.ts";
import { podLimit, podRequest, qosClass } from "./qos.ts";
import { containerResources, oomScoreAdj, podResources } from "./resources.ts";
import { containerSecurity, imageUser } from "./security.ts";
import { statusPatch } from "./status.ts";
import { staticPod } from "./staticpods.ts";

const machine = { memoryBytes: 8 * 1024 ** 3, oomFloor: -1000, cgroupVersion: 1 as const };
const spec = (overrides: Partial<PodSpec>): Pod => aPod({ spec: overrides });
const wanting = (requests?: Record<string, string>, limits?: Record<string, string>): Container => aContainer({ resources: { ...(requests && { requests }), ...(limits && { limits }) } });

test("a pod's resolver follows its policy", () => {
  const host = parseResolvConf("# x\nnameserver 1.1.1.1\nsearch lan. corp\noptions timeout:1\n");
  const dns = (overrides: Partial<PodSpec>): ReturnType<typeof podDns>["config"] => podDns({ pod: spec(overrides), clusterDns: ["10.96.0.10"], clusterDomain: "cluster.local", host }).config;
  expect(dns({})).toEqual({ servers: ["10.96.0.10"], searches: ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan", "corp"], options: ["ndots:5"] });
  expect(dns({ dnsPolicy: "Default" })).toEqual(host);
  expect(dns({ hostNetwork: true })).toEqual(host);
  expect(dns({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }).servers).toEqual(["10.96.0.10"]);
  expect(dns({ dnsPolicy: "None", dnsConfig: { nameservers: ["8.8.8.8"], searches: ["x"], options: [{ name: "ndots", value: "2" }, { name: "edns0" }] } })).toEqual({ servers: ["8.8.8.8"], searches: ["x"], options: ["ndots:2", "edns0"] });
  expect(dns({ dnsConfig: { options: [{ name: "ndots", value: "3" }] } }).options).toEqual(["ndots:3"]);
});

test("what a resolver cannot take is left out and told", () => {
  const { config, warnings } = podDns({ pod: spec({ dnsPolicy: "None", dnsConfig: { nameservers: ["1", "2", "3", "4"] } }), clusterDns: [], clusterDomain: "", host: { servers: [], searches: [], options: [] } });
  expect(config.servers).toEqual(["1", "2", "3"]);
  expect(warnings).toEqual(["Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1 2 3"]);
});

test("a pod's name comes from its spec, its domain from its subdomain", () => {
  expect(hostNameOf(spec({ hostname: "h", subdomain: "sub" }), "cluster.local")).toEqual({ hostname: "h", domain: "sub.default.svc.cluster.local" });
  expect(hostNameOf(aPod({ name: `${"a".repeat(62)}-b` }), "x").hostname).toBe("a".repeat(62));
  expect(sandboxHostName(spec({ hostname: "h", subdomain: "s", setHostnameAsFQDN: true }), "c.l")).toBe("h.s.default.svc.c.l");
  expect(() => sandboxHostName(spec({ hostname: "h".repeat(60), subdomain: "s", setHostnameAsFQDN: true }), "cluster.local")).toThrow("is too long");
  const hosts = hostsFile(spec({ hostname: "h", subdomain: "s", hostAliases: [{ ip: "1.2.3.4", hostnames: ["a", "b"] }] }), { podIps: ["10.0.0.9"], clusterDomain: "c.l", nodeHosts: "" });
  expect(hosts).toEndWith("10.0.0.9\th.s.default.svc.c.l\th\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n");
});

test("quality of service follows requests and limits", () => {
  const both = { cpu: "1", memory: "1Gi" };
  expect(qosClass(spec({ containers: [aContainer()] }))).toBe("BestEffort");
  expect(qosClass(spec({ containers: [wanting({ cpu: "1" })] }))).toBe("Burstable");
  expect(qosClass(spec({ containers: [wanting(both, both)] }))).toBe("Guaranteed");
  expect(qosClass(spec({ containers: [wanting(undefined, both)] }))).toBe("Guaranteed");
  expect(qosClass(spec({ containers: [wanting(both, both), aContainer({ name: "b" })] }))).toBe("Burstable");
  expect(qosClass(spec({ containers: [wanting({ cpu: "0" })] }))).toBe("BestEffort");
});

test("a pod asks for the larger of its init containers and the rest, sidecars counted with both", () => {
  const pod = spec({ initContainers: [{ ...wanting({ cpu: "100m" }), name: "sc", restartPolicy: "Always" }, { ...wanting({ cpu: "500m" }), name: "i" }], containers: [wanting({ cpu: "200m" })], overhead: { cpu: "10m" } });
  expect(podRequest(pod, "cpu")).toBe(610);
  expect(podLimit(pod, "cpu")).toBeUndefined();
});

test("limits become shares, quota, memory and OOM scores", () => {
  const container = wanting({ cpu: "250m", memory: "1Gi" }, { cpu: "500m", memory: "2Gi" });
  const pod = spec({ containers: [container] });
  expect(containerResources(pod, container, machine)).toMatchObject({ cpuShares: 256, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, memoryLimitBytes: 2 * 1024 ** 3, oomScoreAdj: 875 });
  expect(podResources(pod)).toEqual({ cpuShares: 256, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, memoryLimitBytes: 2 * 1024 ** 3 });
  const best = aContainer();
  expect(oomScoreAdj(spec({ containers: [best] }), best, machine)).toBe(1000);
  const guaranteed = wanting(undefined, { cpu: "1", memory: "1Gi" });
  expect(oomScoreAdj(spec({ containers: [guaranteed] }), guaranteed, machine)).toBe(-997);
  expect(oomScoreAdj(spec({ containers: [guaranteed] }), guaranteed, { ...machine, oomFloor: 0 })).toBe(0);
});

test("cgroups are named as either driver wants them, and limits written as either version does", () => {
  const pod = aPod({ uid: "a-b", spec: { containers: [wanting({ cpu: "1" })] } });
  expect(cgroupParent(cgroupName(pod), "cgroupfs", "/root")).toBe("/root/kubepods/burstable/poda-b");
  expect(cgroupParent(cgroupName(pod), "systemd")).toBe("kubepods-burstable-poda_b.slice");
  expect(cgroupPath(cgroupName(pod), "systemd")).toBe("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice");
  expect(limitFiles({ cpuShares: 2 }, 1).map(({ file, value }) => `${file}=${value}`)).toEqual(["cpu.shares=2", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=-1", "memory.limit_in_bytes=-1"]);
  expect(limitFiles({ cpuShares: 1024, cpuQuotaUs: 5000, memoryLimitBytes: 9 }, 2).map(({ file, value }) => `${file}=${value}`)).toEqual(["cpu.weight=39", "cpu.max=5000 100000", "memory.max=9"]);
  expect([cpuWeight(2), cpuWeight(262_144)]).toEqual([1, 10_000]);
});

test("the container's security context goes over the pod's, and root is refused in upstream's words", () => {
  const pod = spec({ securityContext: { runAsUser: 1, runAsGroup: 2, fsGroup: 3, supplementalGroups: [4], runAsNonRoot: true } });
  const namespaces = { network: "pod", pid: "container", ipc: "pod" } as const;
  const of = (container: Container, user: string): ReturnType<typeof containerSecurity> => containerSecurity(pod, container, { image: imageUser(user), namespaces, seccompRoot: "/s" });
  expect(of(aContainer({ securityContext: { runAsUser: 9, capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] }, allowPrivilegeEscalation: false, seccompProfile: { type: "Localhost", localhostProfile: "p.json" } } }), "")).toMatchObject({ runAsUser: 9, runAsGroup: 2, supplementalGroups: [3, 4], addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"], noNewPrivileges: true, seccomp: { type: "Localhost", localhostRef: "/s/p.json" } });
  const strict = spec({ securityContext: { runAsNonRoot: true } });
  const verify = (user: string, runAsUser?: number): (() => unknown) => () => containerSecurity(strict, aContainer({ securityContext: { ...(runAsUser !== undefined && { runAsUser }) } }), { image: imageUser(user), namespaces, seccompRoot: "/s" });
  expect(verify("")).toThrow(`container has runAsNonRoot and image will run as root (pod: "p_default(uid-1)", container: app)`);
  expect(verify("www")).toThrow("container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root");
  expect(verify("5", 0)).toThrow("container's runAsUser breaks non-root policy");
  expect(verify("5")).not.toThrow();
});

test("image names get a tag where they have none, and nonsense is told apart", () => {
  expect(["nginx", "r.io:5000/a/b", "a@sha256:" + "0".repeat(64), "a:1", "A", "a//b", ""].map(withDefaultTag)).toEqual(["nginx:latest", "r.io:5000/a/b:latest", "a@sha256:" + "0".repeat(64), "a:1", undefined, undefined, undefined]);
  expect([0, 12, 1204, 63_500].map(duration)).toEqual(["0s", "12ms", "1.204s", "1m3.5s"]);
});

test("a status patch says only what changed, and what is gone", () => {
  const condition = { type: "Ready", status: "False", reason: "ContainersNotReady", message: "m" };
  const patch = statusPatch(aPod(), { phase: "Pending", podIPs: [{ ip: "1" }], reason: "x", conditions: [condition, { type: "PodResizePending", status: "True" }] }, { phase: "Running", podIPs: [{ ip: "2" }], conditions: [{ type: "Ready", status: "True" }] });
  expect(patch).toEqual({ metadata: { uid: "uid-1" }, status: { phase: "Running", podIPs: [{ ip: "2" }, { ip: "1", $patch: "delete" }], reason: null, conditions: [{ type: "Ready", status: "True", reason: null, message: null }, { type: "PodResizePending", $patch: "delete" }] } });
  expect(statusPatch(aPod(), { phase: "Running" }, { phase: "Running" })).toBeUndefined();
});

const running = (name: string, extra: Partial<ContainerStatus> = {}): ContainerStatus => ({ name, image: "i", imageID: "i", ready: true, started: true, restartCount: 0, state: { running: {} }, ...extra });
const ended = (name: string, exitCode: number): ContainerStatus => ({ ...running(name, { ready: false }), state: { terminated: { exitCode } } });
const waiting = (name: string, lastExit?: number): ContainerStatus => ({ ...running(name, { ready: false }), state: { waiting: {} }, ...(lastExit !== undefined && { lastState: { terminated: { exitCode: lastExit } } }) });

test("the phase follows the containers", () => {
  const two = spec({ containers: [aContainer(), aContainer({ name: "b" })] });
  const phase = (pod: Pod, statuses: ContainerStatus[], isTerminal = false): string => phaseOf(pod, statuses, { isTerminal, hasStartedRegular: statuses.some((s) => s.state?.running) });
  expect(phase(two, [waiting("app"), running("b")])).toBe("Pending");
  expect(phase(two, [running("app"), running("b")])).toBe("Running");
  expect(phase(two, [ended("app", 0), running("b")])).toBe("Running");
  expect(phase(two, [ended("app", 0), waiting("b", 1)])).toBe("Running");
  const never = spec({ restartPolicy: "Never", containers: two.spec?.containers ?? [] });
  expect(phase(never, [ended("app", 0), ended("b", 0)])).toBe("Succeeded");
  expect(phase(never, [ended("app", 0), ended("b", 1)])).toBe("Failed");
  expect(phase(spec({ restartPolicy: "OnFailure" }), [ended("app", 1)])).toBe("Running");
  expect(phase(aPod(), [ended("app", 0)], true)).toBe("Succeeded");
  const withInit = spec({ restartPolicy: "Never", initContainers: [aContainer({ name: "i" })] });
  expect(phase(withInit, [ended("i", 1), waiting("app")])).toBe("Failed");
  expect(phase(withInit, [running("i"), waiting("app")])).toBe("Pending");
});

test("readiness gates and foreign conditions are respected", () => {
  const pod = aPod({ spec: { readinessGates: [{ conditionType: "example.com/gate" }] }, status: { conditions: [{ type: "other", status: "True" }] } });
  const conditions = conditionsOf({ pod, old: {}, statuses: [running("app")], phase: "Running", canStartContainers: true, resize: {}, now: 0 });
  expect(conditions.find((c) => c.type === "Ready")).toMatchObject({ status: "False", reason: "ReadinessGatesNotReady", message: `corresponding condition of pod readiness gate "example.com/gate" does not exist.` });
  expect(conditions.find((c) => c.type === "ContainersReady")?.status).toBe("True");
  expect(conditions.map((c) => c.type)).toContain("other");
});

test("a manifest becomes a pod of this node with the API's defaults", () => {
  const pod = staticPod("kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: nginx, livenessProbe: {tcpSocket: {port: 1}}}, {name: d, image: 'nginx:1'}]}", { path: "/m/web.yaml", nodeName: "N1", now: 0 });
  expect(pod.metadata).toMatchObject({ name: "web-n1", namespace: "default" });
  expect(pod.spec?.containers.map((c) => c.imagePullPolicy)).toEqual(["Always", "IfNotPresent"]);
  expect(pod.spec?.containers[0]?.livenessProbe).toMatchObject({ periodSeconds: 10, failureThreshold: 3 });
  expect(() => staticPod("kind: Service", { path: "/m/x", nodeName: "n", now: 0 })).toThrow("does not hold a Pod");
});

test("where the node's resolver is systemd's stub, pods get the servers behind it", () => {
  const files: Record<string, string> = { "/etc/resolv.conf": "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", "/run/systemd/resolve/resolv.conf": "nameserver 10.0.0.1\nsearch lan\n", "/etc/plain": "nameserver 1.1.1.1\n", "/etc/local": "nameserver 127.0.0.1\n" };
  const servers = (path: string, known = files): readonly string[] => hostDns(path, (name) => known[name] ?? "").servers;
  expect(servers("/etc/resolv.conf")).toEqual(["10.0.0.1"]);
  expect(servers("/etc/plain")).toEqual(["1.1.1.1"]);
  expect(servers("/etc/local")).toEqual(["127.0.0.1"]);
  expect(servers("/etc/resolv.conf", { "/etc/resolv.conf": "nameserver 127.0.0.53\n" })).toEqual(["127.0.0.53"]);
});

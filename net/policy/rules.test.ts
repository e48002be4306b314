import { describe, expect, test } from "bun:test";
import type { Namespace, NetworkPolicy, Pod } from "../../api/types.ts";
import { aPod } from "../testing.ts";
import { policyChains } from "./rules.ts";
import { resolvePolicies, type Direction } from "./select.ts";

type Spec = NonNullable<NetworkPolicy["spec"]>;

const policy = (spec: Partial<Spec>, name = "p", namespace = "ns"): NetworkPolicy => ({ metadata: { namespace, name }, spec: { podSelector: {}, ...spec } });
const namespace = (name: string, labels: Record<string, string> = {}): Namespace => ({ metadata: { name, labels: { "kubernetes.io/metadata.name": name, ...labels } } });
const web: Pod = { ...aPod("ns", "web", { ip: "10.244.1.2", labels: { app: "web" } }), spec: { nodeName: "node-1", containers: [{ name: "c", ports: [{ name: "http", containerPort: 8080 }] }] } };
const client = aPod("ns", "client", { ip: "10.244.1.3", labels: { app: "client" } });
const remote = aPod("other", "client", { ip: "10.244.2.4", nodeName: "node-2", labels: { app: "client" } });
const pods = [web, client, remote];
const namespaces = [namespace("ns"), namespace("other", { team: "red" })];

const resolve = (...policies: NetworkPolicy[]): ReturnType<typeof resolvePolicies> => resolvePolicies({ nodeName: "node-1", family: 4, policies, pods, namespaces });

/** Whether a packet passes, decided by walking the chains as the kernel would. */
function passes(policies: NetworkPolicy[], packet: { from: string; to: string; port?: number; protocol?: string }): boolean {
  const chains = policyChains(resolve(...policies)).mangle as ReadonlyMap<string, readonly string[]>;
  const state = { allowed: false, dropped: false };
  const walk = (chain: string): void => {
    for (const rule of chains.get(chain) ?? []) {
      if (!matches(rule, packet, state.allowed)) continue;
      const target = /-j (\S+)/.exec(rule)?.[1] as string;
      if (target === "RETURN") return;
      if (target === "DROP") state.dropped = true;
      else if (target === "MARK") state.allowed = rule.includes("--set-xmark 0x10000/");
      else walk(target);
      if (state.dropped) return;
    }
  };
  walk("MINIK8S-NP");
  return !state.dropped;
}

function matches(rule: string, { from, to, port = 8080, protocol = "tcp" }: { from: string; to: string; port?: number; protocol?: string }, allowed: boolean): boolean {
  const value = (flag: string): string | undefined => new RegExp(`(?:^|\\s)${flag} (\\S+)`).exec(rule)?.[1];
  const inRange = (range: string | undefined, ip: string): boolean => range === undefined || range === ip || (range.includes("/") && ip.startsWith(range.split("/")[0]?.replace(/(\.0)+$/, ".") as string));
  const [low = 0, high = low] = (value("--dport") ?? "").split(":").filter(Boolean).map(Number);
  if (rule.includes("--ctstate")) return false;
  if (rule.includes("! --mark") && allowed) return false;
  return inRange(value("-s"), from) && inRange(value("-d"), to) && (value("-p") ?? protocol) === protocol && (low === 0 || (port >= low && port <= high));
}

const WEB = "10.244.1.2";
const CLIENT = "10.244.1.3";
const REMOTE = "10.244.2.4";

describe("a pod no policy selects", () => {
  test("is open to all", () => {
    expect(passes([policy({ podSelector: { matchLabels: { app: "other" } }, ingress: [] })], { from: REMOTE, to: WEB })).toBe(true);
    expect(passes([policy({ ingress: [] }, "p", "other")], { from: REMOTE, to: WEB })).toBe(true);
  });

  test("on another node is none of our business", () => {
    expect(resolve(policy({ ingress: [] }, "p", "other")).pods).toEqual([]);
  });
});

describe("a selected pod", () => {
  const selectWeb = { podSelector: { matchLabels: { app: "web" } } };

  test("without rules lets nobody in, and itself alone keeps its way out", () => {
    const deny = policy(selectWeb);
    expect(passes([deny], { from: CLIENT, to: WEB })).toBe(false);
    expect(passes([deny], { from: WEB, to: CLIENT })).toBe(true);
    expect(passes([deny], { from: WEB, to: WEB })).toBe(true);
  });

  test("with an empty rule lets everybody in", () => {
    expect(passes([policy({ ...selectWeb, ingress: [{}] })], { from: "203.0.113.1", to: WEB })).toBe(true);
  });

  test("lets in pods by label, in its own namespace only", () => {
    const allow = policy({ ...selectWeb, ingress: [{ from: [{ podSelector: { matchLabels: { app: "client" } } }] }] });
    expect(passes([allow], { from: CLIENT, to: WEB })).toBe(true);
    expect(passes([allow], { from: REMOTE, to: WEB })).toBe(false);
  });

  test("lets in whole namespaces, or pods of them", () => {
    const red = { namespaceSelector: { matchLabels: { team: "red" } } };
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [red] }] })], { from: REMOTE, to: WEB })).toBe(true);
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [red] }] })], { from: CLIENT, to: WEB })).toBe(false);
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [{ ...red, podSelector: { matchLabels: { app: "none" } } }] }] })], { from: REMOTE, to: WEB })).toBe(false);
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [{ namespaceSelector: {} }] }] })], { from: REMOTE, to: WEB })).toBe(true);
  });

  test("lets in address blocks but not their exceptions, unless another peer does", () => {
    const block = { ipBlock: { cidr: "10.244.0.0/16", except: ["10.244.2.0/24"] } };
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [block] }] })], { from: CLIENT, to: WEB })).toBe(true);
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [block] }] })], { from: REMOTE, to: WEB })).toBe(false);
    expect(passes([policy({ ...selectWeb, ingress: [{ from: [block, { namespaceSelector: {} }] }] })], { from: REMOTE, to: WEB })).toBe(true);
  });

  test("lets in by port number, range, name and protocol", () => {
    const allow = (port: Record<string, unknown>): NetworkPolicy[] => [policy({ ...selectWeb, ingress: [{ ports: [port], from: [{ podSelector: {} }] }] })];
    expect(passes(allow({ port: 8080 }), { from: CLIENT, to: WEB })).toBe(true);
    expect(passes(allow({ port: 8080 }), { from: CLIENT, to: WEB, port: 81 })).toBe(false);
    expect(passes(allow({ port: 8080 }), { from: CLIENT, to: WEB, protocol: "udp" })).toBe(false);
    expect(passes(allow({ port: 80, endPort: 90 }), { from: CLIENT, to: WEB, port: 85 })).toBe(true);
    expect(passes(allow({ port: "http" }), { from: CLIENT, to: WEB })).toBe(true);
    expect(passes(allow({ port: "http" }), { from: CLIENT, to: WEB, port: 81 })).toBe(false);
    expect(passes(allow({ port: "none" }), { from: CLIENT, to: WEB })).toBe(false);
    expect(passes(allow({ protocol: "UDP" }), { from: CLIENT, to: WEB, protocol: "udp", port: 1 })).toBe(true);
    expect(passes(allow({ port: 8080 }), { from: REMOTE, to: WEB })).toBe(false);
  });

  test("is let through by any one of its policies", () => {
    const policies = [policy(selectWeb, "deny"), policy({ ...selectWeb, ingress: [{ from: [{ podSelector: {} }] }] }, "allow")];
    expect(passes(policies, { from: CLIENT, to: WEB })).toBe(true);
    expect(passes(policies, { from: REMOTE, to: WEB })).toBe(false);
  });

  test("needs its receiver's consent as well as its own", () => {
    const egress = policy({ podSelector: { matchLabels: { app: "client" } }, policyTypes: ["Egress"], egress: [{ to: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: "http" }] }] }, "out");
    expect(passes([egress], { from: CLIENT, to: WEB })).toBe(true);
    expect(passes([egress], { from: CLIENT, to: WEB, port: 81 })).toBe(false);
    expect(passes([egress], { from: CLIENT, to: REMOTE })).toBe(false);
    expect(passes([egress, policy(selectWeb, "in")], { from: CLIENT, to: WEB })).toBe(false);
  });

  test("that is over, or on the host's network, is not bound", () => {
    const done: Pod = { ...web, status: { ...web.status, phase: "Succeeded" } };
    const onHost: Pod = { ...web, spec: { ...web.spec, hostNetwork: true, containers: [] } };
    for (const pod of [done, onHost]) expect(resolvePolicies({ nodeName: "node-1", family: 4, policies: [policy(selectWeb)], pods: [pod], namespaces }).pods).toEqual([]);
  });

  test("is isolated in the directions the policy says, or that its rules imply", () => {
    const directions = (spec: Partial<Spec>): Direction[] => resolve(policy({ ...selectWeb, ...spec })).policies.map((entry) => entry.direction);
    expect(directions({})).toEqual(["ingress"]);
    expect(directions({ egress: [] })).toEqual(["ingress", "egress"]);
    expect(directions({ policyTypes: ["Egress"], ingress: [{}] })).toEqual(["egress"]);
  });
});

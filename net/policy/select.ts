// NetworkPolicies resolved against the cluster: which pods here are isolated, and whom each rule lets through.
// Pure; the meaning is networking.k8s.io/v1's.
import { matcherOf } from "../../api/selectors.ts";
import type { Namespace, NetworkPolicy, Pod } from "../../api/types.ts";

export type Direction = "ingress" | "egress";

/** What policies are resolved against. */
export interface PolicyWorld {
  readonly nodeName: string;
  readonly family: 4 | 6;
  readonly policies: readonly NetworkPolicy[];
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
}

/** A range of addresses with holes. */
export interface Block {
  readonly cidr: string;
  readonly except: readonly string[];
}

/** One port condition; `targets` restricts it to the pods whose named port has this number. */
export interface PortMatch {
  readonly protocol: "tcp" | "udp" | "sctp";
  /** `80`, `8000:8080`, or undefined for every port. */
  readonly ports?: string;
  readonly targets?: readonly string[];
}

/** One rule: from (or to) these peers on these ports; undefined means any. */
export interface AllowRule {
  readonly ips?: readonly string[];
  readonly blocks?: readonly Block[];
  readonly ports?: readonly PortMatch[];
}

/** One policy's rules in one direction. */
export interface ResolvedPolicy {
  readonly key: string;
  readonly direction: Direction;
  readonly rules: readonly AllowRule[];
}

/** A pod of this node that some policy isolates. */
export interface IsolatedPod {
  readonly key: string;
  readonly ip: string;
  /** Keys of the policies that apply; undefined: not isolated in that direction. */
  readonly ingress?: readonly string[];
  readonly egress?: readonly string[];
}

export interface Resolved {
  readonly policies: readonly ResolvedPolicy[];
  readonly pods: readonly IsolatedPod[];
}

type Rule = NonNullable<NonNullable<NetworkPolicy["spec"]>["ingress"]>[number];
type EgressRule = NonNullable<NonNullable<NetworkPolicy["spec"]>["egress"]>[number];

/** Resolves every policy that applies to a pod here. */
export function resolvePolicies(world: PolicyWorld): Resolved {
  const addressed = world.pods.filter((pod) => hasOwnAddress(pod, world.family));
  const local = addressed.filter((pod) => pod.spec?.nodeName === world.nodeName);
  const localIn = Map.groupBy(local, namespaceOf);
  const selected = world.policies.map((policy) => ({ policy, key: keyOf(policy), pods: selectedBy(policy, localIn) })).filter(({ pods }) => pods.length > 0);
  const resolver = { world, pods: addressed, podsIn: Map.groupBy(addressed, namespaceOf) };
  const policies = selected.flatMap(({ policy, key, pods }) => directionsOf(policy).map((direction) => ({ key, direction, rules: rulesOf(policy, direction).map((rule) => resolveRule(resolver, { rule, direction, policy, selected: pods })) })));
  return { policies, pods: isolate(selected, world.family) };
}

/** Whether a pod has an address of its own: policies do not bind host-network pods, nor ones that are over. */
export function hasOwnAddress(pod: Pod, family: 4 | 6): boolean {
  return !pod.spec?.hostNetwork && pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed" && addressOf(pod, family) !== undefined;
}

interface Resolver {
  readonly world: PolicyWorld;
  readonly pods: readonly Pod[];
  readonly podsIn: ReadonlyMap<string, readonly Pod[]>;
}

interface RuleContext {
  readonly rule: Rule | EgressRule;
  readonly direction: Direction;
  readonly policy: NetworkPolicy;
  readonly selected: readonly Pod[];
}

function isolate(selected: readonly { policy: NetworkPolicy; key: string; pods: readonly Pod[] }[], family: 4 | 6): IsolatedPod[] {
  const found = new Map<string, { key: string; ip: string; ingress?: string[]; egress?: string[] }>();
  for (const { policy, key, pods } of selected) {
    for (const pod of pods) {
      const entry = found.get(keyOf(pod)) ?? { key: keyOf(pod), ip: addressOf(pod, family) as string };
      for (const direction of directionsOf(policy)) (entry[direction] ??= []).push(key);
      found.set(keyOf(pod), entry);
    }
  }
  return [...found.values()];
}

function resolveRule(resolver: Resolver, context: RuleContext): AllowRule {
  const { rule, direction, selected } = context;
  const peers = ("to" in rule ? rule.to : undefined) ?? ("from" in rule ? rule.from : undefined) ?? [];
  const peerPods = peers.length === 0 ? resolver.pods : peers.flatMap((peer) => podsOf(resolver, context.policy, peer));
  const ports = (rule.ports ?? []).flatMap((port) => portMatches(port, direction === "ingress" ? selected : peerPods, resolver.world.family));
  const blocks = peers.flatMap((peer) => (peer.ipBlock && peer.ipBlock.cidr.includes(":") === (resolver.world.family === 6) ? [{ cidr: peer.ipBlock.cidr, except: peer.ipBlock.except ?? [] }] : []));
  const ips = peerPods.map((pod) => addressOf(pod, resolver.world.family) as string);
  return {
    ...(peers.length > 0 && { ips: [...new Set(ips)].sort(), blocks }),
    ...((rule.ports ?? []).length > 0 && { ports }),
  };
}

function podsOf({ world, podsIn }: Resolver, policy: NetworkPolicy, peer: NonNullable<Rule["from"]>[number]): Pod[] {
  if (peer.ipBlock) return [];
  const namespaces = peer.namespaceSelector ? namespacesMatching(world, peer.namespaceSelector) : [namespaceOf(policy)];
  const matcher = matcherOf(peer.podSelector ?? {});
  return namespaces.flatMap((namespace) => (podsIn.get(namespace) ?? []).filter((pod) => matcher.matches(pod.metadata.labels)));
}

function namespacesMatching({ namespaces }: PolicyWorld, selector: NonNullable<NonNullable<Rule["from"]>[number]["namespaceSelector"]>): string[] {
  const matcher = matcherOf(selector);
  return namespaces.filter((namespace) => matcher.matches(namespace.metadata.labels)).map((namespace) => namespace.metadata.name ?? "");
}

/** Named ports mean another number on every pod, so each number comes with the pods it is true of. */
function portMatches(port: NonNullable<Rule["ports"]>[number], targets: readonly Pod[], family: 4 | 6): PortMatch[] {
  const protocol = (port.protocol ?? "TCP").toLowerCase() as PortMatch["protocol"];
  if (port.port === undefined || port.port === null) return [{ protocol }];
  if (typeof port.port === "number") return [{ protocol, ports: port.endPort ? `${port.port}:${port.endPort}` : String(port.port) }];
  const byNumber = Map.groupBy(targets.flatMap((pod) => containerPorts(pod).filter((own) => own.name === port.port && (own.protocol ?? "TCP").toLowerCase() === protocol).map((own) => ({ number: own.containerPort, ip: addressOf(pod, family) as string }))), (entry) => entry.number);
  return [...byNumber].map(([number, entries]) => ({ protocol, ports: String(number), targets: [...new Set(entries.map((entry) => entry.ip))].sort() }));
}

function containerPorts(pod: Pod): { name?: string | undefined; protocol?: string | undefined; containerPort: number }[] {
  return [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].flatMap((container) => container.ports ?? []);
}

function rulesOf({ spec }: NetworkPolicy, direction: Direction): readonly (Rule | EgressRule)[] {
  return (direction === "ingress" ? spec?.ingress : spec?.egress) ?? [];
}

/** Left out, a policy is about ingress, and about egress when it has such rules. */
function directionsOf({ spec }: NetworkPolicy): Direction[] {
  const types = spec?.policyTypes?.length ? spec.policyTypes : ["Ingress", ...(spec?.egress ? ["Egress"] : [])];
  return types.map((type) => type.toLowerCase() as Direction);
}

function selectedBy(policy: NetworkPolicy, podsIn: ReadonlyMap<string, readonly Pod[]>): Pod[] {
  const matcher = matcherOf(policy.spec?.podSelector ?? {});
  return (podsIn.get(namespaceOf(policy)) ?? []).filter((pod) => matcher.matches(pod.metadata.labels));
}

function namespaceOf({ metadata }: NetworkPolicy | Pod): string {
  return metadata.namespace ?? "";
}

function addressOf({ status }: Pod, family: 4 | 6): string | undefined {
  const ips = status?.podIPs?.map((entry) => entry.ip) ?? [];
  return [...ips, status?.podIP ?? ""].find((ip) => ip !== "" && ip.includes(":") === (family === 6));
}

function keyOf({ metadata }: NetworkPolicy | Pod): string {
  return `${metadata.namespace}/${metadata.name}`;
}

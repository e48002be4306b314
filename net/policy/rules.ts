// Resolved policies as chains of the mangle table, where they come before anything that accepts.
// Pure; a packet must be let through by both its sender's and its receiver's policies.
import { createHash } from "node:crypto";
import type { Chains } from "../host/chains.ts";
import type { Jump } from "../host/jumps.ts";
import type { AllowRule, Block, Direction, IsolatedPod, PortMatch, Resolved } from "./select.ts";

/** Every chain of ours begins so. */
export const POLICY_PREFIX = "MINIK8S-NP";

/** The filter table would do, but there other programs accept packets before us. */
export const POLICY_JUMP: Jump = { table: "mangle", from: "FORWARD", to: POLICY_PREFIX, match: '-m comment --comment "minik8s network policy"' };

/** Set while some policy has let the packet through. */
const ALLOWED = "0x10000/0x10000";
const ALLOW = `-j MARK --set-xmark ${ALLOWED}`;

/** All chains for one node. */
export function policyChains({ policies, pods }: Resolved): Chains {
  const chains = new Map<string, readonly string[]>([[POLICY_PREFIX, dispatch(pods)]]);
  for (const pod of pods) {
    for (const direction of ["egress", "ingress"] as const) {
      const keys = pod[direction];
      if (keys) chains.set(podChain(pod, direction), podRules(pod, direction, keys));
    }
  }
  for (const { key, direction, rules } of policies) {
    const name = policyChain(key, direction);
    const compiled = rules.map((rule, index) => compileRule(rule, direction, `${name}${index}`));
    chains.set(name, compiled.flatMap((entry) => entry.lines));
    for (const entry of compiled) for (const [chain, lines] of entry.chains) chains.set(chain, lines);
  }
  return { mangle: chains };
}

function dispatch(pods: readonly IsolatedPod[]): string[] {
  return [
    "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
    ...pods.filter((pod) => pod.egress).map((pod) => `-s ${pod.ip} -j ${podChain(pod, "egress")}`),
    ...pods.filter((pod) => pod.ingress).map((pod) => `-d ${pod.ip} -j ${podChain(pod, "ingress")}`),
  ];
}

function podRules(pod: IsolatedPod, direction: Direction, keys: readonly string[]): string[] {
  return [
    // Nothing can keep a pod from itself; through its Service it passes here.
    `${peerMatch(direction)} ${pod.ip} -j RETURN`,
    `-j MARK --set-xmark 0x0/${ALLOWED.split("/")[1]}`,
    ...keys.map((key) => `-m comment --comment "${key}" -j ${policyChain(key, direction)}`),
    `-m mark ! --mark ${ALLOWED} -m comment --comment "${pod.key} ${direction} is not allowed" -j DROP`,
  ];
}

interface Compiled {
  readonly lines: readonly string[];
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** Ports in the policy's chain lead to peers in the rule's own: their product is never written out. */
function compileRule(rule: AllowRule, direction: Direction, seed: string): Compiled {
  const chains = new Map<string, readonly string[]>();
  const peers = peerLines(rule, { direction, seed, chains });
  if (!rule.ports) return { lines: peers ?? [ALLOW], chains };
  const name = chainName("S", seed);
  if (peers) chains.set(name, peers);
  const action = peers ? `-j ${name}` : ALLOW;
  return { lines: rule.ports.flatMap((port) => portLines(port, action)), chains };
}

/** undefined: any peer. */
function peerLines({ ips, blocks }: AllowRule, { direction, seed, chains }: { direction: Direction; seed: string; chains: Map<string, readonly string[]> }): string[] | undefined {
  if (!ips || !blocks) return undefined;
  const match = peerMatch(direction);
  return [
    ...ips.map((ip) => `${match} ${ip} ${ALLOW}`),
    ...blocks.map((block, index) => {
      if (block.except.length === 0) return `${match} ${block.cidr} ${ALLOW}`;
      const name = chainName("B", `${seed}.${index}`);
      chains.set(name, blockLines(block, match));
      return `${match} ${block.cidr} -j ${name}`;
    }),
  ];
}

function blockLines({ except }: Block, match: string): string[] {
  return [...except.map((hole) => `${match} ${hole} -j RETURN`), ALLOW];
}

function portLines({ protocol, ports, targets }: PortMatch, action: string): string[] {
  const match = `-p ${protocol}${ports ? ` -m ${protocol} --dport ${ports}` : ""}`;
  return targets ? targets.map((ip) => `${match} -d ${ip} ${action}`) : [`${match} ${action}`];
}

function peerMatch(direction: Direction): "-s" | "-d" {
  return direction === "ingress" ? "-s" : "-d";
}

function podChain(pod: IsolatedPod, direction: Direction): string {
  return chainName(direction === "ingress" ? "I" : "E", pod.key);
}

function policyChain(key: string, direction: Direction): string {
  return chainName("P", `${key} ${direction}`);
}

/** At most 28 characters, the kernel's limit. */
function chainName(kind: string, text: string): string {
  return `${POLICY_PREFIX}${kind}-${createHash("sha256").update(text).digest("hex").slice(0, 14).toUpperCase()}`;
}

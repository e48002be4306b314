// The classes of request a fresh cluster knows: who is served before whom, as upstream suggests it.
import type { AnyObject } from "../../../api/types.ts";

const ALL = ["*"];
const EVERYBODY = ["system:unauthenticated", "system:authenticated"];
/** Says whether an object is kept as it is here. */
export const AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec";
const KEPT = { annotations: { [AUTO_UPDATE]: "true" } };

interface Level {
  readonly name: string;
  readonly shares: number;
  readonly lendable: number;
  readonly queues?: number;
  readonly handSize?: number;
}

const LEVELS: readonly Level[] = [
  { name: "system", shares: 30, lendable: 33, queues: 64, handSize: 6 },
  { name: "node-high", shares: 40, lendable: 25, queues: 64, handSize: 6 },
  { name: "leader-election", shares: 10, lendable: 0, queues: 16, handSize: 4 },
  { name: "workload-high", shares: 40, lendable: 50, queues: 128, handSize: 6 },
  { name: "workload-low", shares: 100, lendable: 90, queues: 128, handSize: 6 },
  { name: "global-default", shares: 20, lendable: 50, queues: 128, handSize: 6 },
  { name: "catch-all", shares: 5, lendable: 0 },
];

/** The default PriorityLevelConfigurations. */
export function priorityLevels(): AnyObject[] {
  const exempt = { metadata: { name: "exempt", ...KEPT }, spec: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } } };
  return [exempt, ...LEVELS.map(({ name, shares, lendable, queues, handSize }) => ({
    metadata: { name, ...KEPT },
    spec: {
      type: "Limited",
      limited: {
        nominalConcurrencyShares: shares, lendablePercent: lendable,
        limitResponse: queues === undefined ? { type: "Reject" } : { type: "Queue", queuing: { queues, handSize, queueLengthLimit: 50 } },
      },
    },
  }))];
}

type Subject = Readonly<Record<string, unknown>>;
const groups = (...names: readonly string[]): Subject[] => names.map((name) => ({ kind: "Group", group: { name } }));
const users = (...names: readonly string[]): Subject[] => names.map((name) => ({ kind: "User", user: { name } }));
const SYSTEM_ACCOUNTS: Subject[] = [{ kind: "ServiceAccount", serviceAccount: { name: "*", namespace: "kube-system" } }];
const resources = (verbs: readonly string[], apiGroups: readonly string[], names: readonly string[], clusterScope: boolean): Subject => ({ verbs, apiGroups, resources: names, namespaces: ALL, ...(clusterScope && { clusterScope }) });
const ANYTHING = { resourceRules: [resources(ALL, ALL, ALL, true)], nonResourceRules: [{ verbs: ALL, nonResourceURLs: ALL }] };

interface Schema {
  readonly name: string;
  readonly level: string;
  readonly precedence: number;
  readonly by?: "ByUser" | "ByNamespace";
  readonly rule: Readonly<Record<string, unknown>>;
}

const SCHEMAS: readonly Schema[] = [
  { name: "exempt", level: "exempt", precedence: 1, rule: { subjects: groups("system:masters"), ...ANYTHING } },
  { name: "probes", level: "exempt", precedence: 2, rule: { subjects: groups(...EVERYBODY), nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }] } },
  {
    name: "system-leader-election", level: "leader-election", precedence: 100, by: "ByUser",
    rule: { subjects: [...users("system:kube-controller-manager", "system:kube-scheduler"), ...SYSTEM_ACCOUNTS], resourceRules: [resources(["get", "create", "update"], ["coordination.k8s.io"], ["leases"], false)] },
  },
  {
    name: "system-node-high", level: "node-high", precedence: 400, by: "ByUser",
    rule: { subjects: groups("system:nodes"), resourceRules: [resources(ALL, [""], ["nodes", "nodes/status"], true), resources(ALL, ["coordination.k8s.io"], ["leases"], false)] },
  },
  { name: "system-nodes", level: "system", precedence: 500, by: "ByUser", rule: { subjects: groups("system:nodes"), ...ANYTHING } },
  { name: "kube-controller-manager", level: "workload-high", precedence: 800, by: "ByNamespace", rule: { subjects: users("system:kube-controller-manager"), ...ANYTHING } },
  { name: "kube-scheduler", level: "workload-high", precedence: 800, by: "ByNamespace", rule: { subjects: users("system:kube-scheduler"), ...ANYTHING } },
  { name: "kube-system-service-accounts", level: "workload-high", precedence: 900, by: "ByNamespace", rule: { subjects: SYSTEM_ACCOUNTS, ...ANYTHING } },
  { name: "service-accounts", level: "workload-low", precedence: 9000, by: "ByUser", rule: { subjects: groups("system:serviceaccounts"), ...ANYTHING } },
  { name: "global-default", level: "global-default", precedence: 9900, by: "ByUser", rule: { subjects: groups(...EVERYBODY), ...ANYTHING } },
  { name: "catch-all", level: "catch-all", precedence: 10000, by: "ByUser", rule: { subjects: groups(...EVERYBODY), ...ANYTHING } },
];

/** The default FlowSchemas. */
export function flowSchemas(): AnyObject[] {
  return SCHEMAS.map(({ name, level, precedence, by, rule }) => ({
    metadata: { name, ...KEPT },
    spec: { priorityLevelConfiguration: { name: level }, matchingPrecedence: precedence, ...(by && { distinguisherMethod: { type: by } }), rules: [rule] },
  }));
}

// PodSecurity: what the labels of a namespace demand of its pods is enforced, warned of, and noted for the audit.
import type { Client } from "../../../../api/client/client.ts";
import { invalid } from "../../../../api/errors.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, Namespace, ObjectMeta, Pod, PodSpec, Stored } from "../../../../api/types.ts";
import { isEqual } from "../../kinds/validation/values.ts";
import { refuse } from "../attributes.ts";
import type { AdmissionPlugin, Attributes } from "../plugin.ts";
import type { Violation } from "./check.ts";
import { describe, evaluate } from "./evaluate.ts";
import { compareLevels, formatLevel, isPrivileged, policyOf, type LevelVersion, type Policy } from "./levels.ts";

const NAMESPACE = builtinKind("", "v1", "Namespace");
const POD = builtinKind("", "v1", "Pod");
const MAX_PODS = 3_000;
const POD_DOORS = new Set(["", "ephemeralcontainers", "resize"]);
const CONTROLLERS = new Set(["podtemplates.", "replicationcontrollers.", "daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps", "cronjobs.batch", "jobs.batch"]);
const ANNOTATION = "pod-security.kubernetes.io/";

/** Holds pods and their templates to the level of their namespace. */
export function podSecurity(): AdmissionPlugin {
  return {
    name: "PodSecurity",
    concerns: ({ kind, operation, subresource }) => {
      if (operation !== "CREATE" && operation !== "UPDATE") return false;
      if (kind.group === "" && kind.plural === "pods") return POD_DOORS.has(subresource);
      return subresource === "" && ((kind.group === "" && kind.plural === "namespaces") || CONTROLLERS.has(`${kind.plural}.${kind.group}`));
    },
    validate: (attributes, client) => {
      if (attributes.kind.plural === "namespaces") return checkNamespace(attributes, client);
      return attributes.kind.plural === "pods" ? checkPod(attributes, client) : checkController(attributes, client);
    },
  };
}

async function policyFor(client: Client, namespace: string): Promise<Policy> {
  return policyOf((await client.get<Namespace>(NAMESPACE, { name: namespace })).metadata.labels).policy;
}

async function checkPod(attributes: Attributes, client: Client): Promise<void> {
  const policy = await policyFor(client, attributes.namespace);
  if (isPrivileged(policy)) return;
  const pod = attributes.object as Pod;
  if (attributes.operation === "UPDATE" && !isSignificant(pod.spec as PodSpec, (attributes.oldObject as Pod).spec as PodSpec)) return;
  const spec = pod.spec as PodSpec;
  note(attributes, "enforce-policy", formatLevel(policy.enforce));
  const violations = evaluate(policy.enforce, spec, pod.metadata);
  audit(attributes, policy, spec, pod.metadata);
  if (violations.length > 0) throw refuse(attributes, `violates PodSecurity ${JSON.stringify(formatLevel(policy.enforce))}: ${describe(violations)}`);
  warn(attributes, policy, spec, pod.metadata);
}

async function checkController(attributes: Attributes, client: Client): Promise<void> {
  const policy = await policyFor(client, attributes.namespace);
  if (policy.warn.level === "privileged" && policy.audit.level === "privileged") return;
  const template = templateOf(attributes.object as AnyObject);
  if (!template?.spec) return;
  audit(attributes, policy, template.spec, template.metadata ?? {});
  warn(attributes, policy, template.spec, template.metadata ?? {});
}

function templateOf({ template, spec }: AnyObject): { metadata?: ObjectMeta; spec?: PodSpec } | undefined {
  return template ?? spec?.template ?? spec?.jobTemplate?.spec?.template;
}

// Attributes, the policy of the namespace, and the two halves of a pod or template.
function warn(attributes: Attributes, { warn: level }: Policy, spec: PodSpec, metadata: ObjectMeta): void {
  const violations = evaluate(level, spec, metadata);
  if (violations.length > 0) attributes.warnings.push(wouldViolate(level, violations));
}

// Attributes, the policy of the namespace, and the two halves of a pod or template.
function audit(attributes: Attributes, { audit: level }: Policy, spec: PodSpec, metadata: ObjectMeta): void {
  const violations = evaluate(level, spec, metadata);
  if (violations.length > 0) note(attributes, "audit-violations", wouldViolate(level, violations));
}

function wouldViolate(level: LevelVersion, violations: readonly Violation[]): string {
  return `would violate PodSecurity ${JSON.stringify(formatLevel(level))}: ${describe(violations)}`;
}

function note({ auditAnnotations }: Attributes, name: string, text: string): void {
  auditAnnotations?.set(`${ANNOTATION}${name}`, text);
}

/** A change of anything but images cannot make a pod more dangerous. */
function isSignificant(spec: PodSpec, old: PodSpec): boolean {
  return !isEqual(imagesOf(spec), imagesOf(old));
}

function imagesOf({ containers, initContainers, ephemeralContainers }: PodSpec): unknown {
  return [containers, initContainers, ephemeralContainers].map((list) => (list ?? []).map(({ name, image }) => [name, image]));
}

async function checkNamespace(attributes: Attributes, client: Client): Promise<void> {
  const { metadata } = attributes.object as Namespace;
  const { policy, errors } = policyOf(metadata.labels);
  const before = attributes.operation === "UPDATE" ? policyOf(attributes.oldObject?.metadata.labels) : undefined;
  if (errors.length > 0 && !isEqual(errors, before?.errors)) throw invalid({ group: "", kind: "Namespace" }, metadata.name ?? "", errors);
  if (!before || policy.enforce.level === "privileged" || isEqual(policy.enforce, before.policy.enforce)) return;
  if (policy.enforce.minor === before.policy.enforce.minor && compareLevels(policy.enforce.level, before.policy.enforce.level) < 1) return;
  const { items } = await client.list<Pod>(POD, { namespace: metadata.name });
  attributes.warnings.push(...existingViolations(items, metadata.name ?? "", policy.enforce));
}

/** What the pods that are already there violate, one line per reason. */
function existingViolations(pods: readonly Stored<Pod>[], namespace: string, level: LevelVersion): string[] {
  const byReason = new Map<string, string[]>();
  for (const pod of pods.slice(0, MAX_PODS)) {
    const reasons = evaluate(level, pod.spec as PodSpec, pod.metadata).map(({ reason }) => reason).join(", ");
    if (reasons !== "") byReason.set(reasons, [...(byReason.get(reasons) ?? []), pod.metadata.name].sort());
  }
  const lines = [...byReason].map(([reasons, [first = "", ...others]]) => `${first}${others.length === 0 ? "" : ` (and ${others.length} other ${others.length === 1 ? "pod" : "pods"})`}: ${reasons}`).sort();
  return [
    ...(pods.length > MAX_PODS ? [`new PodSecurity enforce level only checked against the first ${MAX_PODS} of ${pods.length} existing pods`] : []),
    ...(lines.length > 0 ? [`existing pods in namespace ${JSON.stringify(namespace)} violate the new PodSecurity enforce level ${JSON.stringify(formatLevel(level))}`] : []),
    ...lines,
  ];
}

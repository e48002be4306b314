// What is accepted in pods and templates, and yet hardly what somebody meant: said in `Warning` headers, in upstream's words.
import { parseQuantity } from "../../../../api/quantity.ts";
import type { Container, ObjectMeta, PodSpec, PodTemplateSpec } from "../../../../api/types.ts";
import type { StrategyContext } from "../strategy.ts";
import { isEqual, repeatsOf } from "../validation/values.ts";

const NANO = 1_000_000_000n;
/** Ports of one number beyond these are not compared: a list of thousands must not take quadratic time. */
const MAX_COMPARED = 20;
const NO_MATCH = "a null labelSelector results in matching no pod";
const NODE_LABELS: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
  "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  "app.kubernetes.io/created-by": "deprecated since v1.9",
  "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
  "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
};
const ANNOTATIONS: Readonly<Record<string, string>> = {
  "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
  "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
  "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
};
const VOLUMES: Readonly<Record<string, string>> = {
  photonPersistentDisk: "deprecated in v1.11, non-functional in v1.16+", gitRepo: "deprecated in v1.11, and disabled by default in v1.33+",
  scaleIO: "deprecated in v1.16, non-functional in v1.22+", flocker: "deprecated in v1.22, non-functional in v1.25+", storageos: "deprecated in v1.22, non-functional in v1.25+",
  quobyte: "deprecated in v1.22, non-functional in v1.25+", glusterfs: "deprecated in v1.25, non-functional in v1.26+", cephfs: "deprecated in v1.28, non-functional in v1.31+", rbd: "deprecated in v1.28, non-functional in v1.31+",
};
const SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead';

type Warn = (path: string, sentence: string) => void;

/** Warns of what is odd in a pod. */
export function warnOfPod(spec: PodSpec | undefined, metadata: ObjectMeta, context: StrategyContext): void {
  if (spec) warnOf(spec, metadata, { prefix: "", warn: (path, sentence) => context.warn(`${path}: ${sentence}`) });
}

/** Warns of what is odd in a template, unless it is the one that was there before. */
export function warnOfTemplate(template: PodTemplateSpec | undefined, context: StrategyContext, { path = "spec.template", old }: { readonly path?: string; readonly old?: PodTemplateSpec | undefined } = {}): void {
  if (!template?.spec || (old && isEqual(template, old))) return;
  warnOf(template.spec, template.metadata ?? {}, { prefix: `${path}.`, warn: (at, sentence) => context.warn(`${at}: ${sentence}`) });
}

function warnOf(spec: PodSpec, metadata: ObjectMeta, { prefix, warn }: { readonly prefix: string; readonly warn: Warn }): void {
  const path = `${prefix}spec`;
  const annotations = metadata.annotations ?? {};
  for (const key in annotations) if (ANNOTATIONS[key] !== undefined) warn(`${prefix}metadata.annotations[${key}]`, ANNOTATIONS[key]);
  warnOfPlacement(spec, path, warn);
  for (const [index, volume] of (spec.volumes ?? []).entries()) for (const source in volume) if (VOLUMES[source] !== undefined) warn(`${path}.volumes[${index}].${source}`, VOLUMES[source]);
  warnOfRepeats(spec, path, warn);
  const podSeccomp = "seccomp.security.alpha.kubernetes.io/pod";
  if (annotations[podSeccomp] !== undefined && !spec.securityContext?.seccompProfile) warn(`${prefix}metadata.annotations[${podSeccomp}]`, SECCOMP);
  const all = containersOf(spec, path);
  for (const [at, container] of all) {
    const key = `container.seccomp.security.alpha.kubernetes.io/${container.name}`;
    if (annotations[key] !== undefined && !container.securityContext?.seccompProfile) warn(`${prefix}metadata.annotations[${key}]`, SECCOMP);
    warnOfFractions(container, at, warn);
    warnOfHiddenVariables(container, at, warn);
  }
  warnOfPorts(all, warn);
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) warn(`${path}.terminationGracePeriodSeconds`, "must be >= 0; negative values are invalid and will be treated as 1");
}

function containersOf(spec: PodSpec, path: string): (readonly [string, Container])[] {
  return (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((name) => ((spec[name] ?? []) as Container[]).map((container, index) => [`${path}.${name}[${index}]`, container] as const));
}

function warnOfPlacement({ nodeSelector, affinity, topologySpreadConstraints }: PodSpec, path: string, warn: Warn): void {
  for (const key in nodeSelector) if (NODE_LABELS[key] !== undefined) warn(`${path}.nodeSelector[${key}]`, NODE_LABELS[key]);
  for (const [index, { topologyKey, labelSelector }] of (topologySpreadConstraints ?? []).entries()) {
    const at = `${path}.topologySpreadConstraints[${index}]`;
    if (NODE_LABELS[topologyKey] !== undefined) warn(`${at}.topologyKey`, `${topologyKey} is ${NODE_LABELS[topologyKey]}`);
    if (!labelSelector) warn(`${at}.labelSelector`, NO_MATCH);
  }
  if (!affinity) return;
  const node = `${path}.affinity.nodeAffinity`;
  const { requiredDuringSchedulingIgnoredDuringExecution: required, preferredDuringSchedulingIgnoredDuringExecution: preferred } = affinity.nodeAffinity ?? {};
  const terms = [
    ...(required?.nodeSelectorTerms ?? []).map((term, index) => [`${node}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[${index}]`, term] as const),
    ...(preferred ?? []).map(({ preference }, index) => [`${node}.preferredDuringSchedulingIgnoredDuringExecution[${index}].preference`, preference] as const),
  ];
  for (const [at, term] of terms) for (const [index, { key }] of (term?.matchExpressions ?? []).entries()) if (NODE_LABELS[key] !== undefined) warn(`${at}.matchExpressions[${index}].key`, `${key} is ${NODE_LABELS[key]}`);
  for (const name of ["podAffinity", "podAntiAffinity"] as const) {
    const at = `${path}.affinity.${name}`;
    for (const [index, { labelSelector }] of (affinity[name]?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) if (!labelSelector) warn(`${at}.requiredDuringSchedulingIgnoredDuringExecution[${index}].labelSelector`, NO_MATCH);
    for (const [index, { podAffinityTerm }] of (affinity[name]?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) if (!podAffinityTerm?.labelSelector) warn(`${at}.preferredDuringSchedulingIgnoredDuringExecution[${index}].podAffinityTerm.labelSelector`, NO_MATCH);
  }
}

function warnOfRepeats({ hostAliases = [], imagePullSecrets = [] }: PodSpec, path: string, warn: Warn): void {
  for (const index of repeatsOf(hostAliases, ({ ip }) => ip)) warn(`${path}.hostAliases[${index}].ip`, `duplicate ip ${JSON.stringify(hostAliases[index]?.ip)}`);
  const repeated = repeatsOf(imagePullSecrets, ({ name }) => name ?? "");
  for (const [index, { name = "" }] of imagePullSecrets.entries()) {
    if (repeated.has(index)) warn(`${path}.imagePullSecrets[${index}].name`, `duplicate name ${JSON.stringify(name)}`);
    if (name === "") warn(`${path}.imagePullSecrets[${index}].name`, 'invalid empty name ""');
  }
}

function warnOfFractions({ resources }: Container, path: string, warn: Warn): void {
  for (const name of ["memory", "ephemeral-storage"]) {
    for (const side of ["limits", "requests"] as const) {
      const text = resources?.[side]?.[name];
      // Only what ends in milli or less, or has a point, can be part of a byte.
      if (text !== undefined && /[.num]/.test(text) && parseQuantity(text).nano % NANO !== 0n) warn(`${path}.resources.${side}[${name}]`, `fractional byte value ${JSON.stringify(text)} is invalid, must be an integer`);
    }
  }
}

function warnOfHiddenVariables({ env = [] }: Container, path: string, warn: Warn): void {
  const seen = new Set<string>();
  for (const [index, { name, value = "", valueFrom }] of env.entries()) {
    const reference = `$(${name})`;
    if (seen.has(name) && (valueFrom || value === reference || !value.includes(reference))) warn(`${path}.env[${index}]`, `hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`);
    seen.add(name);
  }
}

function warnOfPorts(all: readonly (readonly [string, Container])[], warn: Warn): void {
  const seen = new Map<string, { readonly at: string; readonly hostIP: string; readonly hostPort: number }[]>();
  const names = new Map<string, string>();
  const repeated: (readonly [string, string])[] = [];
  for (const [path, { ports = [] }] of all) {
    for (const [index, { name, containerPort, protocol, hostIP = "", hostPort = 0 }] of ports.entries()) {
      const at = `${path}.ports[${index}]`;
      const key = `${containerPort}/${protocol}`;
      const others = seen.get(key) ?? [];
      for (const other of others.slice(0, MAX_COMPARED)) {
        if (other.hostIP === hostIP && other.hostPort === hostPort) warn(at, `duplicate port definition with ${other.at}`);
        else if (other.hostPort === 0 || hostPort === 0) warn(at, `overlapping port definition with ${other.at}`);
        else if (other.hostPort === hostPort && (other.hostIP === "") !== (hostIP === "")) warn(at, `dangerously ambiguous port definition with ${other.at}`);
      }
      seen.set(key, others);
      others.push({ at, hostIP, hostPort });
      const first = name ? names.get(name) : undefined;
      if (first !== undefined) repeated.push([at, `duplicate port name ${JSON.stringify(name)} with ${first}, services and probes that select ports by name will use ${first}`]);
      else if (name) names.set(name, at);
    }
  }
  for (const [at, sentence] of repeated) warn(at, sentence);
}

// A pod as the scheduler reads it: parsed once, with everything equal pods have in common shared between them.
// Shapes (what a pod asks of one node) and identities (who it is to selectors) are interned, so both compare by reference.
import { EVERYTHING, LabelMatcher, NOTHING, matcherOf, type Labels } from "../../api/selectors.ts";
import type { Container, LabelSelector, Pod, PodAffinityTerm, PodSpec, Stored, Toleration } from "../../api/types.ts";
import { keyOf, type Key } from "../../api/client/informer.ts";
import { compileNodeAffinity, type CompiledNodeAffinity } from "./nodeaffinity.ts";
import { neededFeatures } from "./plugins/declaredfeatures.ts";
import { demandOf, resizeKey, type Demand } from "./requests.ts";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** What a pod asks of a single node. Pods made from one template share it. */
export interface Shape extends Demand {
  readonly id: number;
  readonly ports: readonly HostPort[];
  readonly tolerations: readonly Toleration[];
  readonly affinity: CompiledNodeAffinity;
  readonly images: readonly string[];
  readonly containerCount: number;
  /** What nodes must declare to be able to do. */
  readonly features: readonly string[];
}

/** Who a pod is to the selectors of others. */
export interface Identity {
  readonly id: number;
  readonly namespace: string;
  readonly labels: Labels;
}

/** One compiled term of pod (anti-)affinity. `key` is equal for equal terms. */
export interface AffinityTerm {
  readonly key: string;
  readonly namespaces: readonly string[];
  /** undefined: only the namespaces listed. */
  readonly namespaceSelector: LabelMatcher | undefined;
  readonly selector: LabelMatcher;
  readonly topologyKey: string;
  /** Positive for preferred affinity, negative for preferred anti-affinity, 0 for required terms. */
  readonly weight: number;
}

export interface PodTerms {
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferred: readonly AffinityTerm[];
}

/** One pod. Replaced as a whole when what matters to scheduling changes; `pod` alone follows every other update. */
export interface PodInfo {
  pod: Stored<Pod>;
  readonly key: Key;
  readonly uid: string;
  readonly priority: number;
  readonly isTerminating: boolean;
  readonly shape: Shape;
  readonly identity: Identity;
  readonly terms: PodTerms | undefined;
  readonly claims: readonly ClaimUse[];
}

/** A PersistentVolumeClaim a pod uses. */
export interface ClaimUse {
  readonly key: Key;
  readonly name: string;
  /** Made for the pod, and only good when the pod owns it. */
  readonly isEphemeral: boolean;
}

/** Makes PodInfos, sharing what equal pods share. Keeps a bounded number of shapes and identities. */
export class PodParser {
  readonly #shapes = new Map<string, Shape>();
  readonly #identities = new Map<string, Identity>();
  readonly #terms = new Map<string, PodTerms>();
  #nextId = 1;

  parse(pod: Stored<Pod>): PodInfo {
    return {
      pod, key: keyOf(pod), uid: pod.metadata.uid, priority: pod.spec?.priority ?? 0,
      isTerminating: pod.metadata.deletionTimestamp !== undefined,
      shape: this.#shape(pod), identity: this.#identity(pod), terms: this.#termsOf(pod), claims: claimsOf(pod),
    };
  }

  #shape(pod: Stored<Pod>): Shape {
    const key = shapeKey(pod);
    return intern(this.#shapes, key, () => makeShape(pod, this.#nextId++));
  }

  #identity(pod: Stored<Pod>): Identity {
    const namespace = pod.metadata.namespace ?? "";
    const labels = pod.metadata.labels ?? {};
    return intern(this.#identities, `${namespace}\n${JSON.stringify(labels)}`, () => ({ id: this.#nextId++, namespace, labels }));
  }

  #termsOf(pod: Stored<Pod>): PodTerms | undefined {
    const affinity = pod.spec?.affinity;
    if (!affinity?.podAffinity && !affinity?.podAntiAffinity) return undefined;
    const key = JSON.stringify([pod.metadata.namespace, affinity.podAffinity, affinity.podAntiAffinity, matchKeyLabels(pod)]);
    return intern(this.#terms, key, () => compileTerms(pod));
  }
}

/** The profile a pod asks for. */
export function profileNameOf({ pod }: PodInfo): string {
  return pod.spec?.schedulerName ?? "default-scheduler";
}

/** True when two states of one pod schedule and count alike. */
export function isAlike(a: PodInfo, b: PodInfo): boolean {
  return a.shape === b.shape && a.identity === b.identity && a.terms === b.terms && a.isTerminating === b.isTerminating && a.priority === b.priority;
}

/** True when the term selects a pod of this identity, given the labels of the pod's namespace. */
export function termMatches(term: AffinityTerm, identity: Identity, namespaceLabels: Labels | undefined): boolean {
  if (!term.namespaces.includes(identity.namespace) && !term.namespaceSelector?.matches(namespaceLabels ?? {})) return false;
  return term.selector.matches(identity.labels);
}

/** A label selector compiled; one that cannot be read selects nothing. */
export function compileSelector(selector: LabelSelector | undefined): LabelMatcher {
  try {
    return matcherOf(selector);
  } catch {
    return NOTHING;
  }
}

/** A selector narrowed to the pod's own values of some labels, as `matchLabelKeys` asks. */
export function withLabels(selector: LabelMatcher, labels: Labels | undefined, keys: readonly string[]): LabelMatcher {
  const own = keys.filter((key) => labels?.[key] !== undefined).map((key) => ({ key, operator: "=" as const, values: [labels?.[key] as string] }));
  if (own.length === 0 || selector === NOTHING) return selector;
  return new LabelMatcher([...selector.requirements, ...own]);
}

function withoutLabels(selector: LabelMatcher, labels: Labels | undefined, keys: readonly string[]): LabelMatcher {
  const others = keys.filter((key) => labels?.[key] !== undefined).map((key) => ({ key, operator: "notin" as const, values: [labels?.[key] as string] }));
  if (others.length === 0 || selector === NOTHING) return selector;
  return new LabelMatcher([...selector.requirements, ...others]);
}

const NO_CLAIMS: readonly ClaimUse[] = [];

function claimsOf(pod: Stored<Pod>): readonly ClaimUse[] {
  let claims: ClaimUse[] | undefined;
  for (const { name: volumeName, persistentVolumeClaim, ephemeral } of pod.spec?.volumes ?? []) {
    const name = persistentVolumeClaim?.claimName ?? (ephemeral && `${pod.metadata.name}-${volumeName}`);
    if (name) (claims ??= []).push({ key: `${pod.metadata.namespace}/${name}`, name, isEphemeral: persistentVolumeClaim === undefined });
  }
  return claims ?? NO_CLAIMS;
}

const MAX_INTERNED = 20_000;

/** Beyond the bound everything is forgotten: later equal pods then share a new object, which costs time but not truth. */
function intern<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key);
  if (known) return known;
  if (map.size >= MAX_INTERNED) map.clear();
  const made = make();
  map.set(key, made);
  return made;
}

function shapeKey(pod: Pod): string {
  const resize = resizeKey(pod);
  return resize === "" ? shapeText(pod.spec) : `${shapeText(pod.spec)}${pod.metadata.name}${resize}`;
}

function shapeText(spec: PodSpec | undefined): string {
  if (!spec) return "";
  return JSON.stringify([
    spec.containers.map(containerShape), spec.initContainers?.map(containerShape), spec.nodeSelector, spec.affinity?.nodeAffinity, spec.tolerations,
    spec.overhead, spec.resources?.requests, spec.volumes?.map((v) => v.image?.reference), neededFeatures(spec),
  ]);
}

function containerShape(c: Container): unknown {
  return [c.image, c.resources?.requests, c.restartPolicy, c.ports?.map((p) => [p.hostPort, p.hostIP, p.protocol])];
}

function makeShape(pod: Pod, id: number): Shape {
  const spec = pod.spec ?? { containers: [] };
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const images = [...containers.map((c) => c.image), ...(spec.volumes ?? []).map((v) => v.image?.reference)];
  return {
    id, ...demandOf(pod), ports: hostPorts(spec), tolerations: spec.tolerations ?? [], affinity: compileNodeAffinity(spec),
    images: images.filter((i) => i !== undefined).map(taggedImage), containerCount: containers.length, features: neededFeatures(spec),
  };
}

/** Ports of containers and of init containers that keep running. */
function hostPorts(spec: PodSpec): HostPort[] {
  const running = [...(spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always"), ...spec.containers];
  return running.flatMap((c) => c.ports ?? []).filter((p) => (p.hostPort ?? 0) > 0)
    .map((p) => ({ ip: p.hostIP || "0.0.0.0", protocol: p.protocol ?? "TCP", port: p.hostPort as number }));
}

function taggedImage(name: string): string {
  return name.lastIndexOf(":") <= name.lastIndexOf("/") ? `${name}:latest` : name;
}

function matchKeyLabels(pod: Pod): unknown {
  const terms = [pod.spec?.affinity?.podAffinity, pod.spec?.affinity?.podAntiAffinity]
    .flatMap((a) => [...(a?.requiredDuringSchedulingIgnoredDuringExecution ?? []), ...(a?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((p) => p.podAffinityTerm)]);
  return terms.flatMap((t) => [...(t.matchLabelKeys ?? []), ...(t.mismatchLabelKeys ?? [])]).map((key) => pod.metadata.labels?.[key]);
}

function compileTerms(pod: Pod): PodTerms {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  const compile = (term: PodAffinityTerm, weight: number): AffinityTerm => compileTerm(pod, term, weight);
  return {
    requiredAffinity: (podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => compile(t, 0)),
    requiredAntiAffinity: (podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => compile(t, 0)),
    preferred: [
      ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => compile(t.podAffinityTerm, t.weight)),
      ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => compile(t.podAffinityTerm, -t.weight)),
    ],
  };
}

function compileTerm(pod: Pod, term: PodAffinityTerm, weight: number): AffinityTerm {
  const namespaces = [...(term.namespaces ?? [])].sort();
  if (namespaces.length === 0 && !term.namespaceSelector) namespaces.push(pod.metadata.namespace ?? "");
  // The API server merges these keys in when a pod is created; merging again changes nothing.
  const { labels } = pod.metadata;
  const selector = withoutLabels(withLabels(compileSelector(term.labelSelector), labels, term.matchLabelKeys ?? []), labels, term.mismatchLabelKeys ?? []);
  const namespaceSelector = term.namespaceSelector ? compileSelector(term.namespaceSelector) : undefined;
  const key = JSON.stringify([namespaces, term.namespaceSelector, selectorKey(selector), term.topologyKey, weight]);
  return { key, namespaces, namespaceSelector, selector, topologyKey: term.topologyKey, weight };
}

/** A text equal for equal selectors. */
export function selectorKey(selector: LabelMatcher): string {
  if (selector === NOTHING) return "\0nothing";
  return selector === EVERYTHING ? "" : selector.toString();
}

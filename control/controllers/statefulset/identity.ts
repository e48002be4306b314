// What makes a StatefulSet's pod this pod: its ordinal, its name, its claims, its revision. Pure.
// Rules: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_utils.go.
import type { KubeObject, OwnerReference, PersistentVolumeClaim, Pod, PodTemplateSpec, StatefulSet, Stored, Volume } from "../../../api/types.ts";
import { POD_REVISION } from "../history.ts";
import { POD, STATEFUL_SET } from "../kinds.ts";
import { newControllerRef } from "../owners.ts";
import { podFromTemplate } from "../podcontrol.ts";
import { isSame } from "../template.ts";

const POD_NAME = "statefulset.kubernetes.io/pod-name";
const POD_INDEX = "apps.kubernetes.io/pod-index";

export const startOf = (set: StatefulSet): number => set.spec?.ordinals?.start ?? 0;
export const sizeOf = (set: StatefulSet): number => set.spec?.replicas ?? 1;

/** The number at the end of the pod's name; -1 when the name is not this set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number {
  const match = /^(.*)-([0-9]+)$/.exec(pod.metadata.name ?? "");
  return match && match[1] === set.metadata.name ? Number(match[2]) : -1;
}

export function isInRange(set: StatefulSet, pod: Pod): boolean {
  const ordinal = ordinalOf(set, pod);
  return ordinal >= startOf(set) && ordinal < startOf(set) + sizeOf(set);
}

export function revisionOf(pod: Pod): string {
  return pod.metadata.labels?.[POD_REVISION] ?? "";
}

/** The pod of one ordinal, from the template of one revision. */
export function newPod(set: Stored<StatefulSet>, ordinal: number, { template, revision }: { template: PodTemplateSpec; revision: string }): Pod {
  const name = `${set.metadata.name}-${ordinal}`;
  const pod = podFromTemplate(STATEFUL_SET, set, template, name);
  const { serviceName } = set.spec ?? {};
  return {
    ...pod,
    metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, ...identityLabels(name, ordinal), [POD_REVISION]: revision } },
    spec: { ...pod.spec, hostname: name, ...(serviceName && { subdomain: serviceName }), volumes: withClaims(set, ordinal, pod.spec?.volumes) } as Pod["spec"],
  };
}

/** The pod with the labels and volumes its identity demands; the same object when they are there. */
export function withIdentity<P extends Pod>(set: StatefulSet, pod: P): P {
  const ordinal = ordinalOf(set, pod);
  const hasName = pod.metadata.labels?.[POD_NAME] === pod.metadata.name;
  const volumes = pod.spec?.volumes ?? [];
  const hasClaims = (set.spec?.volumeClaimTemplates ?? []).every((template) => volumes.some((volume) => volume.name === template.metadata?.name && volume.persistentVolumeClaim?.claimName === claimName(set, template, ordinal)));
  if (hasName && hasClaims) return pod;
  const labels = { ...pod.metadata.labels, ...identityLabels(pod.metadata.name ?? "", ordinal) };
  return { ...pod, metadata: { ...pod.metadata, labels }, spec: { ...pod.spec, volumes: withClaims(set, ordinal, volumes) } };
}

/** The claims the pod of one ordinal mounts, as they are created. */
export function claimsOf(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => ({
    apiVersion: "v1", kind: "PersistentVolumeClaim",
    metadata: {
      ...(template.metadata as object), name: claimName(set, template as PersistentVolumeClaim, ordinal), namespace: set.metadata.namespace,
      labels: { ...template.metadata?.labels, ...set.spec?.selector.matchLabels },
    },
    spec: template.spec,
  }) as PersistentVolumeClaim);
}

/**
 * Who should own a claim: nobody, the set (deleted with it), or the pod (deleted when scaled away).
 * Undefined when the references are right as they are.
 */
export function claimOwners(set: Stored<StatefulSet>, pod: Stored<Pod>, claim: Stored<PersistentVolumeClaim>): OwnerReference[] | undefined {
  const { whenDeleted = "Retain", whenScaled = "Retain" } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  const current = claim.metadata.ownerReferences ?? [];
  if (hasNamesakeOwner(current, set, pod)) return undefined;
  const others = current.filter(({ uid }) => uid !== set.metadata.uid && uid !== pod.metadata.uid);
  const isForeign = (whenDeleted !== "Retain" || whenScaled !== "Retain") && others.some((reference) => reference.controller);
  const wanted = isForeign ? [] : [
    ...(whenDeleted === "Delete" && !(whenScaled === "Delete" && !isInRange(set, pod)) ? [newControllerRef(STATEFUL_SET, set)] : []),
    ...(whenScaled === "Delete" && !isInRange(set, pod) ? [newControllerRef(POD, pod)] : []),
  ];
  const references = [...others, ...wanted];
  return isSame(references, current) ? undefined : references;
}

/** A claim still owned by a deleted pod of this name is about to be collected: a new pod must not mount it. */
export function isStaleClaim(claim: KubeObject, podName: string): boolean {
  return claim.metadata.ownerReferences?.some(({ kind, name }) => kind === "Pod" && name === podName) ?? false;
}

function hasNamesakeOwner(references: readonly OwnerReference[], set: Stored<StatefulSet>, pod: Stored<Pod>): boolean {
  return references.some(({ kind, name, uid }) =>
    (kind === "StatefulSet" && name === set.metadata.name && uid !== set.metadata.uid) || (kind === "Pod" && name === pod.metadata.name && uid !== pod.metadata.uid));
}

function claimName(set: StatefulSet, template: { metadata?: { name?: string | undefined } | undefined }, ordinal: number): string {
  return `${template.metadata?.name}-${set.metadata.name}-${ordinal}`;
}

function identityLabels(name: string, ordinal: number): Record<string, string> {
  return { [POD_NAME]: name, [POD_INDEX]: String(ordinal) };
}

function withClaims(set: StatefulSet, ordinal: number, volumes: readonly Volume[] = []): Volume[] {
  const templates = set.spec?.volumeClaimTemplates ?? [];
  const names = new Set(templates.map((template) => template.metadata?.name));
  const claimed = templates.map((template): Volume => ({ name: template.metadata?.name ?? "", persistentVolumeClaim: { claimName: claimName(set, template as PersistentVolumeClaim, ordinal) } }));
  return [...claimed, ...volumes.filter(({ name }) => !names.has(name))];
}

// VolumeBinding: a pod goes where its volumes are, or where they can be made; chosen volumes are bound before the pod is.
// Rules: k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding.
import type { Client } from "../../../api/client/client.ts";
import { compareQuantities, parseQuantity } from "../../../api/quantity.ts";
import type { PersistentVolume, PersistentVolumeClaim, StorageClass, Stored } from "../../../api/types.ts";
import type { Clock } from "../../../lib/clock.ts";
import { unresolvable, type Plugin, type Preparation, type PreparedFilter, type Reservation } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import { compileSelector, type PodInfo } from "../podinfo.ts";
import { classOf, isReachable, matchingVolume, requestedStorage } from "../pvmatch.ts";
import { CLAIM, VOLUME, type Volumes } from "../volumes.ts";
import { isOwnUpdate } from "./node.ts";

const NAME = "VolumeBinding";
const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE = "volume.kubernetes.io/selected-node";
const NO_PROVISIONER = "kubernetes.io/no-provisioner";
const REASON = {
  conflict: "node(s) didn't find available persistent volumes to bind",
  unreachable: "node(s) didn't match PersistentVolume's node affinity",
  space: "node(s) did not have enough free storage",
  missing: "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
} as const;

type Claim = Stored<PersistentVolumeClaim>;
type PV = Stored<PersistentVolume>;

export interface VolumeBindingArgs {
  readonly volumes: Volumes;
  readonly client: Client;
  readonly clock: Clock;
  /** How long a pod's volumes may take to be bound. */
  readonly bindTimeoutMs: number;
}

/** What has to happen on a node before the pod can run there. */
interface Plan {
  readonly bindings: readonly { readonly claim: Claim; readonly volume: PV }[];
  readonly provisions: readonly Claim[];
  readonly reasons: readonly string[];
}

interface Sorted {
  readonly bound: readonly Claim[];
  /** To be bound by us, smallest first. */
  readonly delayed: readonly Claim[];
}

export function volumeBinding(args: VolumeBindingArgs): Plugin {
  return {
    name: NAME,
    prepareFilter: (pod) => (pod.claims.length === 0 ? undefined : prepare(pod, args)),
    hint: {
      on: ["NodeAdd", "NodeUpdate", "ObjectChange", "PodUpdate"],
      helps: (event, pod) => event.type === "NodeAdd" || event.type === "ObjectChange" || (event.type === "NodeUpdate" ? event.node.labels !== event.old.labels : isOwnUpdate(event, pod)),
    },
  };
}

/** True when the controller has finished with the claim. */
export function isFullyBound(claim: Claim): boolean {
  return Boolean(claim.spec?.volumeName) && claim.metadata.annotations?.[BIND_COMPLETED] !== undefined;
}

function prepare(pod: PodInfo, args: VolumeBindingArgs): Preparation {
  const sorted = sortClaims(pod, args.volumes);
  if (typeof sorted === "string") return { reject: unresolvable(NAME, sorted) };
  const plans = new Map<NodeState, Plan>();
  const planFor = (node: NodeState): Plan => {
    let plan = plans.get(node);
    if (!plan) plans.set(node, (plan = planOn(node, sorted, args.volumes)));
    return plan;
  };
  const prepared: PreparedFilter = {
    filter: (node) => {
      const { reasons } = planFor(node);
      return reasons.length > 0 ? unresolvable(NAME, ...reasons) : undefined;
    },
    reserve: (node) => reserve(pod, node.name, planFor(node), args),
  };
  return prepared;
}

/** The pod's claims, or why none of them can be used yet. */
function sortClaims(pod: PodInfo, volumes: Volumes): Sorted | string {
  const bound: Claim[] = [];
  const delayed: Claim[] = [];
  let hasUnboundImmediate = false;
  for (const { key, name, isEphemeral } of pod.claims) {
    const claim = volumes.claims.get(key);
    if (!claim) return isEphemeral ? `waiting for ephemeral volume controller to create the persistentvolumeclaim ${JSON.stringify(name)}` : `persistentvolumeclaim ${JSON.stringify(name)} not found`;
    if (claim.status?.phase === "Lost") return `persistentvolumeclaim ${JSON.stringify(name)} bound to non-existent persistentvolume ${JSON.stringify(claim.spec?.volumeName ?? "")}`;
    if (claim.metadata.deletionTimestamp !== undefined) return `persistentvolumeclaim ${JSON.stringify(name)} is being deleted`;
    if (isEphemeral && !claim.metadata.ownerReferences?.some((o) => o.controller && o.uid === pod.uid)) return `PVC ${key} was not created for pod ${pod.key} (pod is not owner)`;
    if (isFullyBound(claim)) bound.push(claim);
    else if (!claim.spec?.volumeName && volumes.storageClass(classOf(claim))?.volumeBindingMode === "WaitForFirstConsumer") delayed.push(claim);
    else hasUnboundImmediate = true;
  }
  if (hasUnboundImmediate) return "pod has unbound immediate PersistentVolumeClaims";
  delayed.sort((a, b) => compareQuantities(requestedStorage(a), requestedStorage(b)));
  return { bound, delayed };
}

function planOn(node: NodeState, { bound, delayed }: Sorted, volumes: Volumes): Plan {
  const reasons: string[] = [];
  for (const claim of bound) {
    const volume = volumes.volumes.get(claim.spec?.volumeName ?? "");
    const reason = !volume ? REASON.missing : isReachable(volume, node) ? undefined : REASON.unreachable;
    if (!reason) continue;
    reasons.push(reason);
    break;
  }
  const selected = delayed.filter((claim) => claim.metadata.annotations?.[SELECTED_NODE] !== undefined);
  if (selected.some((claim) => claim.metadata.annotations?.[SELECTED_NODE] !== node.name)) return { bindings: [], provisions: [], reasons: [...reasons, REASON.conflict] };
  const bindings: Plan["bindings"][number][] = [];
  const provisions = [...selected];
  const taken = new Set<string>();
  for (const claim of delayed) {
    if (selected.includes(claim)) continue;
    const volume = matchingVolume(claim, volumes.volumes.list(), node, taken);
    if (!volume) {
      provisions.push(claim);
      continue;
    }
    taken.add(volume.metadata.name);
    bindings.push({ claim, volume });
  }
  for (const claim of provisions) {
    const reason = whyNotProvisioned(claim, node, volumes);
    if (!reason) continue;
    reasons.push(reason);
    break;
  }
  return { bindings, provisions, reasons };
}

/** Why no volume can be made for the claim near the node; undefined when one can. */
function whyNotProvisioned(claim: Claim, node: NodeState, volumes: Volumes): string | undefined {
  const storageClass = volumes.storageClass(classOf(claim));
  if (!storageClass?.provisioner || storageClass.provisioner === NO_PROVISIONER) return REASON.conflict;
  const topologies = storageClass.allowedTopologies ?? [];
  const isAllowed = topologies.length === 0 || topologies.some((t) => (t.matchLabelExpressions ?? []).every((e) => e.values.includes(node.labels[e.key] ?? "")));
  if (!isAllowed) return REASON.conflict;
  return hasSpace(claim, storageClass, node, volumes) ? undefined : REASON.space;
}

/** Only drivers that publish their capacity are asked about it. */
function hasSpace(claim: Claim, storageClass: Stored<StorageClass>, node: NodeState, volumes: Volumes): boolean {
  if (!volumes.driver(storageClass.provisioner)?.spec?.storageCapacity || claim.spec?.resources?.requests?.["storage"] === undefined) return true;
  const wanted = requestedStorage(claim);
  return volumes.capacities().some((c) => {
    const limit = c.maximumVolumeSize ?? c.capacity;
    return c.storageClassName === storageClass.metadata.name && limit !== undefined && compareQuantities(parseQuantity(limit), wanted) >= 0
      && c.nodeTopology !== undefined && compileSelector(c.nodeTopology).matches(node.labels);
  });
}

/** Assumes what the plan will do, so that the next pod does not plan with the same volume. */
function reserve(pod: PodInfo, nodeName: string, { bindings, provisions }: Plan, args: VolumeBindingArgs): Reservation | undefined {
  if (bindings.length === 0 && provisions.length === 0) return undefined;
  const { volumes, claims } = args.volumes;
  const boundVolumes = bindings.map(({ claim, volume }) => boundTo(volume, claim));
  const selectedClaims = provisions.map((claim) => withAnnotation(claim, SELECTED_NODE, nodeName));
  for (const volume of boundVolumes) volumes.assume(volume);
  for (const claim of selectedClaims) claims.assume(claim);
  return {
    plugin: NAME,
    undo: () => {
      for (const volume of boundVolumes) volumes.forget(volume.metadata.name);
      for (const claim of selectedClaims) claims.forget(`${claim.metadata.namespace}/${claim.metadata.name}`);
    },
    beforeBinding: async () => {
      await Promise.all([
        ...boundVolumes.map((volume) => args.client.update(VOLUME, volume)),
        ...selectedClaims.map((claim) => args.client.update(CLAIM, claim)),
      ]);
      await untilBound(pod, nodeName, args);
    },
  };
}

function boundTo(volume: PV, { metadata }: Claim): PV {
  const { namespace, name, uid, resourceVersion } = metadata;
  const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid, resourceVersion };
  const bound = { ...volume, spec: { ...volume.spec, claimRef } } as PV;
  // A user who bound the volume in advance keeps it when the claim goes; ours is given back.
  return volume.spec?.claimRef ? bound : withAnnotation(bound, BOUND_BY_CONTROLLER, "yes");
}

function withAnnotation<T extends Claim | PV>(object: T, name: string, value: string): T {
  return { ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [name]: value } } };
}

/** Resolves when every claim of the pod is bound; throws when that fails or takes too long. */
async function untilBound(pod: PodInfo, nodeName: string, { volumes, clock, bindTimeoutMs }: VolumeBindingArgs): Promise<void> {
  const timeout = new AbortController();
  let stop: (() => void) | undefined;
  const bound = new Promise<void>((resolve, reject) => {
    const look = (): void => {
      const state = bindingState(pod, nodeName, volumes);
      if (state === "bound") resolve();
      else if (state !== "waiting") reject(new Error(`binding volumes: ${state}`));
    };
    stop = volumes.claims.onChange(look);
    look();
  });
  const inTime = bound.then(() => true);
  const late = clock.sleep(bindTimeoutMs, timeout.signal).then(() => false);
  try {
    if (!(await Promise.race([inTime, late]))) throw new Error("binding volumes: context deadline exceeded");
  } finally {
    stop?.();
    timeout.abort();
  }
}

/** `bound`, `waiting`, or why it will not come to pass. */
function bindingState(pod: PodInfo, nodeName: string, volumes: Volumes): string {
  for (const { key, name } of pod.claims) {
    const claim = volumes.claims.actual(key);
    if (!claim) return `failed to check provisioning pvc: could not find v1.PersistentVolumeClaim ${JSON.stringify(key)}`;
    if (isFullyBound(claim)) continue;
    const assumed = volumes.claims.get(key);
    const selected = claim.metadata.annotations?.[SELECTED_NODE];
    // The provisioner takes the annotation away to say that it failed; before our write is seen it is not there either.
    const wasSelected = assumed === claim && selected === undefined && !volumes.volumes.list().some((v) => v.spec?.claimRef?.uid === claim.metadata.uid);
    if (wasSelected || (selected !== undefined && selected !== nodeName)) return `provisioning failed for PVC ${JSON.stringify(name)}`;
    return "waiting";
  }
  return "bound";
}

// ResourceClaims: made from templates for the pods that name them, reserved for pods that have a node, and given back when nobody uses them.
// Upstream's resourceclaim controller; which devices a claim gets is the scheduler's decision.
import { keyOf, type Informer } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { isNamespaceTerminating, isNotFound, orAbsent } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, ResourceClaim, ResourceClaimTemplate, Stored } from "../../api/types.ts";
import { controllerOf, type Controller, type ControllerDeps } from "./controller.ts";
import { POD } from "./kinds.ts";
import { controllerRefOf, isControlledBy } from "./owners.ts";
import { isFinished } from "./pods.ts";
import { PendingWrites } from "./writes.ts";

type Claim = Stored<ResourceClaim>;
type PodClaim = NonNullable<NonNullable<Pod["spec"]>["resourceClaims"]>[number];
type Consumer = NonNullable<NonNullable<Claim["status"]>["reservedFor"]>[number];

export const RESOURCE_CLAIM = builtinKind("resource.k8s.io", "v1", "ResourceClaim");
export const RESOURCE_CLAIM_TEMPLATE = builtinKind("resource.k8s.io", "v1", "ResourceClaimTemplate");
const NAME = "resourceclaim-controller";
const FINALIZER = "resource.kubernetes.io/delete-protection";
const POD_CLAIM = "resource.kubernetes.io/pod-claim-name";
const MAX_CONSUMERS = 256;
const MAX_BASE = 57;
const POD_KEY = "pod|";
const CLAIM_KEY = "claim|";
const BY_CLAIM = "resourceclaim";

export function resourceClaimController(deps: ControllerDeps): Controller {
  return new ResourceClaims(deps).controller;
}

class ResourceClaims {
  readonly controller: Controller;
  readonly #figures: ControllerDeps["figures"];
  readonly #client: ReturnType<ControllerDeps["clientFor"]>;
  readonly #recorder: ReturnType<ControllerDeps["recorderFor"]>;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<ResourceClaim>;
  readonly #templates: Informer<ResourceClaimTemplate>;
  /** Claims made for a pod, by its key. */
  readonly #pending: PendingWrites;

  constructor({ clientFor, recorderFor, informers, clock, figures }: ControllerDeps) {
    this.#figures = figures;
    this.#client = clientFor("resource-claim-controller");
    this.#recorder = recorderFor("resource_claim");
    this.#pods = informers.for<Pod>(POD);
    this.#claims = informers.for<ResourceClaim>(RESOURCE_CLAIM);
    this.#templates = informers.for<ResourceClaimTemplate>(RESOURCE_CLAIM_TEMPLATE);
    this.#pending = new PendingWrites(clock, this.#claims.lister);
    this.#pods.addIndex(BY_CLAIM, claimKeysOf);
    const queue = new WorkQueue({ clock });
    const podChanged = (pod: Stored<Pod>): void => {
      if (!pod.spec?.resourceClaims?.length) return;
      if (isDone(pod)) claimKeysOf(pod).forEach((key) => queue.add(CLAIM_KEY + key));
      else queue.add(POD_KEY + keyOf(pod));
    };
    const claimChanged = (claim: Claim): void => {
      const owner = controllerRefOf(claim);
      if (owner?.kind === "Pod") queue.add(`${POD_KEY}${claim.metadata.namespace}/${owner.name}`);
      queue.add(CLAIM_KEY + keyOf(claim));
      this.#pods.lister.byIndex(BY_CLAIM, keyOf(claim)).forEach(podChanged);
    };
    const enqueueNamespace = ({ metadata: { namespace = "" } }: Stored<ResourceClaimTemplate>): void => this.#pods.lister.inNamespace(namespace).forEach(podChanged);
    this.#pods.addHandler({ add: podChanged, update: podChanged, delete: (pod) => claimKeysOf(pod).forEach((key) => queue.add(CLAIM_KEY + key)) });
    this.#claims.addHandler({ add: claimChanged, update: claimChanged, delete: claimChanged });
    this.#templates.addHandler({ add: enqueueNamespace });
    const reconcile = (key: string): Promise<void> => (key.startsWith(POD_KEY) ? this.#reconcilePod(key.slice(POD_KEY.length)) : this.#reconcileClaim(key.slice(CLAIM_KEY.length)));
    this.controller = controllerOf({ name: NAME, queue, informers, workers: 10, reconcile });
  }

  async #reconcilePod(key: string): Promise<void> {
    const pod = this.#pods.lister.get(key);
    // What was just made must be seen first, or it would be made twice.
    if (!pod || pod.metadata.deletionTimestamp || isDone(pod) || this.#pending.isBehind(key)) return;
    const made = new Map<string, string>();
    for (const podClaim of pod.spec?.resourceClaims ?? []) {
      try {
        const name = await this.#ensure(pod, podClaim);
        if (name !== undefined) made.set(podClaim.name, name);
      } catch (error) {
        if (isNamespaceTerminating(error)) return;
        this.#recorder.event(pod, "Warning", "FailedResourceClaimCreation", `PodResourceClaim ${podClaim.name}: ${(error as Error).message}`);
        throw error;
      }
    }
    if (made.size > 0) await this.#tell(pod, made);
    else if (pod.spec?.nodeName) await this.#reserve(pod);
  }

  /** The name of a claim the pod does not know yet; undefined when there is none to tell of. */
  async #ensure(pod: Stored<Pod>, podClaim: PodClaim): Promise<string | undefined> {
    const { resourceClaimTemplateName } = podClaim;
    if (resourceClaimTemplateName === undefined) return undefined;
    const told = pod.status?.resourceClaimStatuses?.find(({ name }) => name === podClaim.name);
    if (told && told.resourceClaimName === undefined) return undefined;
    const known = told && this.#claims.lister.get(`${pod.metadata.namespace}/${told.resourceClaimName}`);
    if (known && isControlledBy(known, pod)) return undefined;
    // A claim may have been made just before a crash kept the pod from being told.
    const orphan = this.#claims.lister.inNamespace(pod.metadata.namespace ?? "").find((claim) => isControlledBy(claim, pod) && claim.metadata.annotations?.[POD_CLAIM] === podClaim.name);
    if (orphan) return orphan.metadata.name;
    const template = this.#templates.lister.get(`${pod.metadata.namespace}/${resourceClaimTemplateName}`);
    if (!template) throw new Error(`resource claim template ${JSON.stringify(resourceClaimTemplateName)}: resourceclaimtemplate.resource.k8s.io ${JSON.stringify(resourceClaimTemplateName)} not found`);
    const claim = await this.#create(claimFor(pod, podClaim, template));
    this.#pending.wrote(keyOf(pod), claim);
    return claim.metadata.name;
  }

  async #create(claim: ResourceClaim): Promise<Stored<ResourceClaim>> {
    const isAdmin = String(claim.spec?.devices?.requests?.some(({ exactly }) => exactly?.adminAccess) ?? false);
    try {
      const created = await this.#client.create<ResourceClaim>(RESOURCE_CLAIM, claim);
      this.#figures.count("resourceclaim_controller_creates_total", isAdmin, "success");
      return created;
    } catch (error) {
      this.#figures.count("resourceclaim_controller_creates_total", isAdmin, "failure");
      throw error;
    }
  }

  async #tell(pod: Stored<Pod>, made: ReadonlyMap<string, string>): Promise<void> {
    const kept = (pod.status?.resourceClaimStatuses ?? []).filter(({ name }) => !made.has(name));
    const resourceClaimStatuses = [...kept, ...[...made].map(([name, resourceClaimName]) => ({ name, resourceClaimName }))];
    await orAbsent(this.#client.update<Pod>(POD, { ...pod, status: { ...pod.status, resourceClaimStatuses } }, { subresource: "status" }));
  }

  /** A pod that got its node without the scheduler uses its claims all the same. */
  async #reserve(pod: Stored<Pod>): Promise<void> {
    for (const key of claimKeysOf(pod)) {
      const claim = this.#claims.lister.get(key);
      const reservedFor = claim?.status?.reservedFor ?? [];
      if (!claim?.status?.allocation || reservedFor.length >= MAX_CONSUMERS || reservedFor.some(({ uid }) => uid === pod.metadata.uid)) continue;
      const consumer: Consumer = { resource: "pods", name: pod.metadata.name, uid: pod.metadata.uid };
      await this.#client.update<ResourceClaim>(RESOURCE_CLAIM, { ...claim, status: { ...claim.status, reservedFor: [...reservedFor, consumer] } }, { subresource: "status" });
    }
  }

  async #reconcileClaim(key: string): Promise<void> {
    const claim = this.#claims.lister.get(key);
    if (!claim) return;
    const reservedFor = claim.status?.reservedFor ?? [];
    const remaining: Consumer[] = [];
    for (const consumer of reservedFor) if (await this.#isStillThere(claim, consumer)) remaining.push(consumer);
    const isProtected = claim.metadata.finalizers?.includes(FINALIZER) ?? false;
    const isChanged = remaining.length < reservedFor.length;
    if (isChanged || (isProtected && claim.metadata.deletionTimestamp && remaining.length === 0)) await this.#release(claim, remaining);
    if (remaining.length === 0) await this.#deleteUnused(claim);
  }

  /** The last user gone, what was allocated is free again. */
  async #release(claim: Claim, remaining: Consumer[]): Promise<void> {
    const finalizers = claim.metadata.finalizers ?? [];
    const isFreed = remaining.length === 0 && finalizers.includes(FINALIZER);
    const { allocation, reservedFor: _, ...rest } = claim.status ?? {};
    const status = { ...rest, ...(!isFreed && allocation && { allocation }), ...(remaining.length > 0 && { reservedFor: remaining }) };
    const updated = await orAbsent(this.#client.update<ResourceClaim>(RESOURCE_CLAIM, { ...claim, status }, { subresource: "status" }));
    if (!updated || !isFreed) return;
    await orAbsent(this.#client.update<ResourceClaim>(RESOURCE_CLAIM, { ...updated, metadata: { ...updated.metadata, finalizers: finalizers.filter((finalizer) => finalizer !== FINALIZER) } }));
  }

  /** A pod the cache does not know may be new: only the server's word takes its reservation away. */
  async #isStillThere({ metadata: { namespace } }: Claim, { apiGroup, resource, name, uid }: Consumer): Promise<boolean> {
    if ((apiGroup ?? "") !== "" || resource !== "pods") return true;
    const cached = this.#pods.lister.get(`${namespace}/${name}`);
    if (cached) return cached.metadata.uid === uid && !isDone(cached);
    try {
      return (await this.#client.get<Pod>(POD, { namespace, name })).metadata.uid === uid;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** A claim made for a pod goes when the pod is done, though the pod may stay for long. */
  async #deleteUnused(claim: Claim): Promise<void> {
    const owner = controllerRefOf(claim);
    if (owner?.kind !== "Pod" || claim.metadata.deletionTimestamp) return;
    const { namespace, name, uid } = claim.metadata;
    const pod = this.#pods.lister.get(`${namespace}/${owner.name}`);
    if (!pod || (pod.metadata.uid === owner.uid && !isDone(pod))) return;
    await orAbsent(this.#client.delete(RESOURCE_CLAIM, { namespace, name }, { preconditions: { uid } }));
  }
}

/** The claims a pod uses, as far as they are known. */
export function claimKeysOf(pod: Stored<Pod>): string[] {
  return (pod.spec?.resourceClaims ?? []).flatMap(({ name, resourceClaimName }) => {
    const claim = resourceClaimName ?? pod.status?.resourceClaimStatuses?.find((status) => status.name === name)?.resourceClaimName;
    return claim === undefined ? [] : [`${pod.metadata.namespace}/${claim}`];
  });
}

function isDone(pod: Pod): boolean {
  return isFinished(pod) || (pod.metadata.deletionTimestamp !== undefined && !pod.spec?.nodeName);
}

function claimFor(pod: Stored<Pod>, { name }: PodClaim, { spec }: ResourceClaimTemplate): ResourceClaim {
  const { labels, annotations } = spec.metadata ?? {};
  const { name: podName, namespace, uid } = pod.metadata;
  const full = `${podName}-${name}-`;
  // Both names are shortened alike, so that neither is lost.
  const share = (text: string): string => text.slice(0, Math.floor((text.length * MAX_BASE) / full.length));
  return {
    apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim",
    metadata: {
      generateName: full.length > MAX_BASE ? `${share(podName)}-${share(name)}` : full, namespace,
      ...(labels && { labels }), annotations: { ...annotations, [POD_CLAIM]: name },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: podName, uid, controller: true }],
    },
    spec: spec.spec,
  };
}

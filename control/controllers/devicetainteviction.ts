// Deletes pods whose devices got a NoExecute taint, each when its claims' tolerations run out.
// Upstream's device-taint-eviction controller; taints come from ResourceSlices.
import { toleratesDeviceTaint, type AllocatedDevice, type DeviceTaint } from "../../api/devicetaints.ts";
import { keyOf, type Informer } from "../../api/client/informer.ts";
import { isNotFound } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, PodCondition, ResourceClaim, ResourceSlice, Stored } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import { withoutCondition } from "./conditions.ts";
import { KindController, type Controller, type ControllerDeps } from "./controller.ts";
import { POD } from "./kinds.ts";
import { isControlledBy } from "./owners.ts";
import { claimKeysOf, RESOURCE_CLAIM } from "./resourceclaim.ts";

const NAME = "device-taint-eviction-controller";
const SLICE = builtinKind("resource.k8s.io", "v1", "ResourceSlice");
const BY_CLAIM = "resourceclaim";
const BY_POOL = "devicepool";

export function deviceTaintEvictionController(deps: ControllerDeps): Controller {
  return new DeviceTaintEviction(deps);
}

class DeviceTaintEviction extends KindController<Pod> {
  readonly #claims: Informer<ResourceClaim>;
  readonly #slices: Informer<ResourceSlice>;
  /** Pods that have to go some time, to say so when it is called off. */
  readonly #scheduled = new Set<string>();

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: POD, workers: 8 });
    this.#claims = deps.informers.for<ResourceClaim>(RESOURCE_CLAIM);
    this.#slices = deps.informers.for<ResourceSlice>(SLICE);
    this.objects.addIndex(BY_CLAIM, claimKeysOf);
    this.#claims.addIndex(BY_POOL, poolsOf);
    this.#slices.addIndex(BY_POOL, ({ spec }) => (spec ? [`${spec.driver}/${spec.pool.name}`] : []));
    const claimChanged = (claim: Stored<ResourceClaim>): void => this.objects.lister.byIndex(BY_CLAIM, keyOf(claim)).forEach((pod) => (this.isOurs(pod) ? this.queue.add(keyOf(pod)) : undefined));
    const poolChanged = ({ spec }: Stored<ResourceSlice>): void => this.#claims.lister.byIndex(BY_POOL, `${spec?.driver}/${spec?.pool.name}`).forEach(claimChanged);
    this.#claims.addHandler({ add: claimChanged, update: claimChanged });
    this.#slices.addHandler({
      add: (slice) => (hasEvictingTaint(slice) ? poolChanged(slice) : undefined),
      update: (slice, old) => (hasEvictingTaint(slice) || hasEvictingTaint(old) ? poolChanged(slice) : undefined),
      delete: (slice) => (hasEvictingTaint(slice) ? poolChanged(slice) : undefined),
    });
  }

  protected override isOurs(pod: Stored<Pod>): boolean {
    return Boolean(pod.spec?.resourceClaims?.length && pod.spec.nodeName);
  }

  protected async reconcile(key: string): Promise<void> {
    const pod = this.objects.lister.get(key);
    if (!pod || pod.metadata.deletionTimestamp) return void this.#scheduled.delete(key);
    const due = this.#dueTime(pod);
    if (due === undefined) {
      if (this.#scheduled.delete(key)) this.recorder.event(pod, "Normal", "DeviceTaintManagerEviction", "Cancelling deletion");
      return;
    }
    this.#scheduled.add(key);
    const now = this.clock.now();
    if (due > now) return this.queue.addAfter(key, due - now);
    this.recorder.event(pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion");
    await this.#evict(pod, now);
    this.figures.count("device_taint_eviction_controller_pod_deletions_total");
    this.figures.observe("device_taint_eviction_controller_pod_deletion_duration_seconds", Math.max(0, this.clock.now() - due) / 1000);
    this.#scheduled.delete(key);
  }

  /** The earliest any device of the pod's claims asks for; undefined when it may stay. */
  #dueTime(pod: Stored<Pod>): number | undefined {
    const times = claimKeysOf(pod).flatMap((key) => {
      const claim = this.#claims.lister.get(key);
      return claim && uses(pod, claim) ? this.#timesOf(claim) : [];
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #timesOf({ status }: Stored<ResourceClaim>): number[] {
    return (status?.allocation?.devices?.results ?? []).flatMap((device) => this.#taintsOf(device).map((taint) => evictionTime(device, taint)).filter((time) => time !== undefined));
  }

  /** What the newest slices of its pool say of a device. */
  #taintsOf({ driver, pool, device }: AllocatedDevice): readonly DeviceTaint[] {
    const slices = this.#slices.lister.byIndex(BY_POOL, `${driver}/${pool}`);
    const newest = Math.max(...slices.map(({ spec }) => spec?.pool.generation ?? 0));
    for (const { spec } of slices) {
      if (spec?.pool.generation !== newest) continue;
      const found = spec.devices?.find(({ name }) => name === device);
      if (found) return (found.taints ?? []).filter(isEvicting);
    }
    return [];
  }

  async #evict(pod: Stored<Pod>, now: number): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const condition: PodCondition = { type: "DisruptionTarget", status: "True", reason: "DeletionByDeviceTaintManager", message: "Device Taint manager: deleting due to NoExecute taint", lastTransitionTime: timestamp(now) };
    try {
      await this.client.update<Pod>(POD, { ...pod, status: { ...pod.status, conditions: [...withoutCondition(pod.status?.conditions, condition.type), condition] } }, { subresource: "status" });
      await this.client.delete(POD, { name, namespace }, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** When the taint drives the device's user out, in milliseconds; undefined for never. */
export function evictionTime({ tolerations = [] }: Pick<AllocatedDevice, "tolerations">, taint: DeviceTaint): number | undefined {
  const tolerated = tolerations.filter((toleration) => toleration.effect === "NoExecute" && toleratesDeviceTaint(toleration, taint));
  if (taint.timeAdded === undefined || tolerated.some(({ tolerationSeconds }) => tolerationSeconds === undefined)) return undefined;
  const seconds = tolerated.map(({ tolerationSeconds = 0 }) => Math.max(0, tolerationSeconds));
  return Date.parse(taint.timeAdded) + (seconds.length === 0 ? 0 : Math.min(...seconds) * 1000);
}

const isEvicting = ({ effect }: DeviceTaint): boolean => effect === "NoExecute";
const hasEvictingTaint = ({ spec }: ResourceSlice): boolean => (spec?.devices ?? []).some(({ taints }) => taints?.some(isEvicting));

function poolsOf({ status }: Stored<ResourceClaim>): string[] {
  return [...new Set((status?.allocation?.devices?.results ?? []).map(({ driver, pool }) => `${driver}/${pool}`))];
}

/** A claim of the same name may be another pod's. */
function uses(pod: Stored<Pod>, claim: Stored<ResourceClaim>): boolean {
  const isReserved = claim.status?.reservedFor?.some(({ uid }) => uid === pod.metadata.uid) ?? false;
  const isNamed = pod.spec?.resourceClaims?.some(({ resourceClaimName }) => resourceClaimName === claim.metadata.name) ?? false;
  return isReserved && (isNamed || isControlledBy(claim, pod));
}

// Keeps devices for a pod that has its node, writes that into the claims, and waits until the devices are ready.
// Undone when the pod is not bound after all.
import type { EventRecorder } from "../../../api/client/recorder.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Pod, ResourceClaim } from "../../../api/types.ts";
import type { Reservation } from "../framework.ts";
import { profileNameOf } from "../podinfo.ts";
import { bindClaim, deleteClaim, unreserve, type BindDeps } from "./bind.ts";
import { CLAIM } from "./objects.ts";
import { isReservedFor } from "./podclaims.ts";
import { NAME, type NodePlan, type PodState } from "./podstate.ts";
import { isLate, needsReadying, readinessOf } from "./readiness.ts";
import type { Claim } from "./types.ts";
import { keyOf } from "./wishes.ts";

const POD = builtinKind("", "v1", "Pod");

/** Is told what is counted about devices. */
export interface DeviceCounts {
  /** A claim for extended resources was made, or could not be. */
  claimMade(status: "success" | "failure"): void;
  /** Devices of these drivers were waited for. */
  readied(drivers: Iterable<string>, wait: { readonly profile: string; readonly status: "success" | "failure" | "timeout"; readonly seconds: number }): void;
}

export interface ReserveDeps extends BindDeps {
  readonly recorder: EventRecorder;
  readonly bindingTimeoutMs: number;
  readonly counts?: DeviceCounts | undefined;
}

/** Takes the devices at once; the API hears of it before the pod is bound. */
export function reserveDevices(state: PodState, nodeName: string, deps: ReserveDeps): Reservation | undefined {
  const plan = state.planFor(nodeName);
  if (!plan) return undefined;
  for (const [claim, allocation] of plan.allocations) deps.objects.begin(claim.metadata.uid, allocation);
  const extendedUid = plan.extended && `extended-resources-of-${state.pod.uid}`;
  if (plan.extended && extendedUid !== undefined) deps.objects.begin(extendedUid, plan.extended.allocation);
  return new DeviceReservation({ state, nodeName, plan, extendedUid }, deps);
}

interface Reserved {
  readonly state: PodState;
  readonly nodeName: string;
  readonly plan: NodePlan;
  /** Stands for the claim that is made on the way, until it has a uid of its own. */
  readonly extendedUid: string | undefined;
}

class DeviceReservation implements Reservation {
  readonly plugin = NAME;
  /** Claims this pod was written into. */
  readonly #bound: Claim[] = [];
  #made: Claim | undefined;

  constructor(private readonly reserved: Reserved, private readonly deps: ReserveDeps) {}

  undo(): void {
    const { state, plan, extendedUid } = this.reserved;
    const { objects } = this.deps;
    for (const claim of plan.allocations.keys()) objects.end(claim.metadata.uid, claim);
    if (extendedUid !== undefined) objects.end(extendedUid, undefined);
    for (const claim of this.#bound) if (claim !== this.#made) void unreserve(claim, state.pod.uid, this.deps);
    if (this.#made) void deleteClaim(this.#made, this.deps);
  }

  async beforeBinding(): Promise<void> {
    const { state, plan } = this.reserved;
    for (const claim of state.claims) if (!isReservedFor(claim, state.pod.uid)) await this.#bind(claim, plan);
    if (plan.extended) await this.#bindExtended(plan.extended);
    if (this.#claimsNow().some(needsReadying)) await this.#countedWait();
  }

  async #bind(claim: Claim, plan: NodePlan): Promise<void> {
    const { uid } = claim.metadata;
    let written: Claim | undefined;
    try {
      written = await bindClaim(claim, { pod: this.reserved.state.pod.pod, allocation: plan.allocations.get(claim) }, this.deps);
      this.#bound.push(written);
    } finally {
      this.deps.objects.end(uid, written ?? claim);
    }
  }

  /** The claim comes into being only now that the node is known. */
  async #bindExtended({ claim, allocation, mappings }: NonNullable<NodePlan["extended"]>): Promise<void> {
    const { client, objects } = this.deps;
    const { pod } = this.reserved.state.pod;
    try {
      this.#made = await this.#make(claim);
      objects.begin(this.#made.metadata.uid, allocation);
      this.#made = await bindClaim(this.#made, { pod, allocation }, this.deps);
      this.#bound.push(this.#made);
    } finally {
      objects.end(this.reserved.extendedUid as string, undefined);
      if (this.#made) objects.end(this.#made.metadata.uid, this.#made);
    }
    const extendedResourceClaimStatus = { resourceClaimName: this.#made.metadata.name, requestMappings: [...mappings] };
    const { namespace, name } = pod.metadata;
    await client.patch<Pod>(POD, { namespace, name }, { metadata: { uid: pod.metadata.uid }, status: { extendedResourceClaimStatus } }, { type: "strategic", subresource: "status" });
  }

  async #make(claim: ResourceClaim): Promise<Claim> {
    const { client, counts } = this.deps;
    try {
      const made = await client.create<ResourceClaim>(CLAIM, claim);
      counts?.claimMade("success");
      return made;
    } catch (error) {
      counts?.claimMade("failure");
      throw error;
    }
  }

  async #countedWait(): Promise<void> {
    const { clock, counts } = this.deps;
    const begin = clock.monotonic();
    const drivers = new Set(this.#claimsNow().filter(needsReadying).flatMap(({ status }) => (status?.allocation?.devices?.results ?? []).map(({ driver }) => driver)));
    const tell = (status: "success" | "failure" | "timeout"): void => counts?.readied(drivers, { profile: profileNameOf(this.reserved.state.pod), status, seconds: (clock.monotonic() - begin) / 1000 });
    try {
      await this.#untilReady();
      tell("success");
    } catch (error) {
      tell((error as Error).message.startsWith("device binding timeout") ? "timeout" : "failure");
      throw error;
    }
  }

  #claimsNow(): readonly Claim[] {
    const { claims } = this.deps.objects;
    const all = this.#made ? [...this.reserved.state.claims, this.#made] : this.reserved.state.claims;
    return all.map((claim) => claims.get(keyOf(claim)) ?? claim);
  }

  /** Resolves when every driver says so; throws when one says it cannot be, or none says anything for too long. */
  async #untilReady(): Promise<void> {
    const { clock, objects, recorder, bindingTimeoutMs } = this.deps;
    recorder.event(this.reserved.state.pod.pod, "Normal", "BindingConditionsPending", `waiting for binding conditions for device on node ${this.reserved.nodeName}`);
    const timer = new AbortController();
    let stop: (() => void) | undefined;
    const ready = new Promise<true>((resolve, reject) => {
      const look = (): void => {
        const states = this.#claimsNow().map(readinessOf);
        const failed = states.find((state) => typeof state === "object");
        if (failed) reject(new Error(failed.failed));
        else if (states.every((state) => state === "ready")) resolve(true);
      };
      stop = objects.claims.onChange(look);
      look();
    });
    try {
      const isInTime = await Promise.race([ready, clock.sleep(bindingTimeoutMs, timer.signal).then(() => false)]);
      const late = this.#claimsNow().find((claim) => isLate(claim, clock.now(), bindingTimeoutMs)) ?? this.#claimsNow().find(needsReadying);
      if (!isInTime) throw new Error(`device binding timeout: claim=${late?.metadata.name}`);
    } finally {
      stop?.();
      timer.abort();
    }
  }
}

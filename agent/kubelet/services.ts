// What the steps of a pod's life share: the node's parts and facts, made once by `kubelet.ts`.
import type { Pod, Service } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ContainerRecord, Runtime } from "../runtime/runtime.ts";
import type { Volumes } from "../volumes/volume.ts";
import type { Allocations } from "./allocation.ts";
import type { Cgroups } from "./cgroups.ts";
import type { Health } from "./containerstatus.ts";
import type { Credential } from "./credentials.ts";
import type { DnsConfig } from "./dns.ts";
import type { ObjectSource } from "./env.ts";
import type { Figures } from "./figures.ts";
import type { Images } from "./images.ts";
import type { ObservedPod } from "./observed.ts";
import type { Paths } from "./paths.ts";
import type { PauseProfile } from "./pauseprofile.ts";
import type { ProbeVerdict } from "./actions.ts";
import type { EventSink } from "./recorder.ts";
import type { Machine } from "./resources.ts";
import type { RuntimeCache } from "./runtimecache.ts";
import type { Settings } from "./settings.ts";
import type { StatusWriter } from "./statuswriter.ts";
import type { UserNamespaces } from "./userns.ts";
import type { BoundVolumes } from "./volumestats.ts";

/** Keeps the probes of running containers going. */
export interface Probes {
  /** Probes exactly the running containers of this pod from now on. */
  track(pod: Pod, observed: ObservedPod): void;
  /** Stops what would restart containers (liveness, startup) while the pod goes down; readiness goes on. */
  terminating(uid: string): void;
  untrack(uid: string): void;
  health(containerId: string): Health;
  verdicts(uid: string): ReadonlyMap<string, ProbeVerdict>;
}

export interface NodeServices {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly cache: RuntimeCache;
  readonly images: Images;
  readonly writer: StatusWriter;
  readonly probes: Probes;
  readonly volumes: Volumes;
  readonly cgroups: Cgroups;
  readonly allocations: Allocations;
  readonly recorder: EventSink;
  readonly paths: Paths;
  readonly pauseProfile: PauseProfile;
  readonly objects: ObjectSource;
  readonly machine: Machine;
  readonly settings: Settings;
  readonly figures: Figures;
  readonly boundVolumes: BoundVolumes;
  /** Services whose variables containers get; rejects until they have been read once. */
  services(): readonly Service[];
  /** The node's allocatable resources, for downward API defaults. */
  allocatable(): Readonly<Record<string, string>>;
  hostDns(): DnsConfig;
  credentials(pod: Pod, image: string): Promise<readonly Credential[]>;
  runtimeHandler(pod: Pod): string;
  supportsRecursiveReadOnly(pod: Pod): boolean;
  supportsUserNamespaces(pod: Pod): boolean;
  readonly userNamespaces: UserNamespaces;
  /** Adds an exited container's last words. */
  withLastWords(record: ContainerRecord): Promise<ContainerRecord>;
  /** The API object a pod's status belongs to: the mirror of a static pod; undefined while there is none. */
  statusTarget(pod: Pod): Pod | undefined;
}

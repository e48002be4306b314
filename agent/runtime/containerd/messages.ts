// CRI messages as they come off the wire: camelCase, scalars always present, absent messages null, times in nanoseconds.
// Turning them into the kubelet's records is `convert.ts`.

export interface WirePodMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

export interface WireSandbox {
  readonly id: string;
  readonly metadata: WirePodMetadata | null;
  readonly state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  readonly createdAt: number;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
}

export interface WireSandboxStatus extends WireSandbox {
  readonly network: { readonly ip: string; readonly additionalIps: readonly { readonly ip: string }[] } | null;
}

export type WireContainerState = "CONTAINER_CREATED" | "CONTAINER_RUNNING" | "CONTAINER_EXITED" | "CONTAINER_UNKNOWN";

interface WireContainerBase {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly attempt: number } | null;
  readonly image: { readonly image: string; readonly userSpecifiedImage: string } | null;
  readonly imageRef: string;
  readonly state: WireContainerState;
  readonly createdAt: number;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
}

export interface WireContainer extends WireContainerBase {
  readonly podSandboxId: string;
}

export interface WireContainerStatus extends WireContainerBase {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly logPath: string;
  readonly user: { readonly linux: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] } | null } | null;
}

export interface WireImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly size: number;
  readonly uid: { readonly value: number } | null;
  readonly username: string;
  readonly pinned: boolean;
}

interface WireNumber {
  readonly value: number;
}

export interface WireContainerStats {
  readonly attributes: { readonly id: string } | null;
  readonly cpu: { readonly timestamp: number; readonly usageCoreNanoSeconds: WireNumber | null } | null;
  readonly memory: { readonly timestamp: number; readonly workingSetBytes: WireNumber | null; readonly usageBytes: WireNumber | null; readonly rssBytes: WireNumber | null } | null;
  readonly writableLayer: WireFilesystemUsage | null;
}

export interface WireFilesystemUsage {
  readonly fsId: { readonly mountpoint: string } | null;
  readonly usedBytes: WireNumber | null;
  readonly inodesUsed: WireNumber | null;
}

export interface WireStatus {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: boolean; readonly reason: string; readonly message: string }[] } | null;
  readonly info: Record<string, string>;
  readonly runtimeHandlers: readonly { readonly name: string; readonly features: { readonly recursiveReadOnlyMounts: boolean; readonly userNamespaces: boolean } | null }[];
  readonly features: { readonly supplementalGroupsPolicy: boolean } | null;
}

export interface WireVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

export interface WireContainerEvent {
  readonly containerId: string;
  readonly containerEventType: "CONTAINER_CREATED_EVENT" | "CONTAINER_STARTED_EVENT" | "CONTAINER_STOPPED_EVENT" | "CONTAINER_DELETED_EVENT";
  readonly podSandboxStatus: WireSandboxStatus | null;
}

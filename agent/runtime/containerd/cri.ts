// CRI calls by name over one gRPC connection, with failures as RuntimeError.
// What is asked, and what an answer means to a pod, is left to `pods.ts`, `images.ts` and `streaming.ts`.
import { RuntimeError } from "../runtime.ts";
import { GrpcConnection, grpcCode, grpcDetails, GrpcStatus, MessageTypes, type Method } from "./grpc.ts";
import { CRI_PROTO } from "./proto.ts";

const RUNTIME = "/runtime.v1.RuntimeService";
const IMAGES = "/runtime.v1.ImageService";

const METHODS = {
  version: { path: `${RUNTIME}/Version`, request: "Empty", response: "VersionResponse" },
  status: { path: `${RUNTIME}/Status`, request: "StatusRequest", response: "StatusResponse" },
  runtimeConfig: { path: `${RUNTIME}/RuntimeConfig`, request: "Empty", response: "RuntimeConfigResponse" },
  runPodSandbox: { path: `${RUNTIME}/RunPodSandbox`, request: "RunPodSandboxRequest", response: "PodSandboxId" },
  stopPodSandbox: { path: `${RUNTIME}/StopPodSandbox`, request: "PodSandboxId", response: "Empty" },
  removePodSandbox: { path: `${RUNTIME}/RemovePodSandbox`, request: "PodSandboxId", response: "Empty" },
  podSandboxStatus: { path: `${RUNTIME}/PodSandboxStatus`, request: "PodSandboxStatusRequest", response: "PodSandboxStatusResponse" },
  listPodSandbox: { path: `${RUNTIME}/ListPodSandbox`, request: "Empty", response: "ListPodSandboxResponse" },
  createContainer: { path: `${RUNTIME}/CreateContainer`, request: "CreateContainerRequest", response: "ContainerId" },
  startContainer: { path: `${RUNTIME}/StartContainer`, request: "ContainerId", response: "Empty" },
  stopContainer: { path: `${RUNTIME}/StopContainer`, request: "StopContainerRequest", response: "Empty" },
  removeContainer: { path: `${RUNTIME}/RemoveContainer`, request: "ContainerId", response: "Empty" },
  listContainers: { path: `${RUNTIME}/ListContainers`, request: "Empty", response: "ListContainersResponse" },
  containerStatus: { path: `${RUNTIME}/ContainerStatus`, request: "ContainerStatusRequest", response: "ContainerStatusResponse" },
  updateContainerResources: { path: `${RUNTIME}/UpdateContainerResources`, request: "UpdateContainerResourcesRequest", response: "Empty" },
  reopenContainerLog: { path: `${RUNTIME}/ReopenContainerLog`, request: "ContainerId", response: "Empty" },
  execSync: { path: `${RUNTIME}/ExecSync`, request: "ExecSyncRequest", response: "ExecSyncResponse" },
  exec: { path: `${RUNTIME}/Exec`, request: "ExecRequest", response: "StreamUrl" },
  attach: { path: `${RUNTIME}/Attach`, request: "AttachRequest", response: "StreamUrl" },
  portForward: { path: `${RUNTIME}/PortForward`, request: "PortForwardRequest", response: "StreamUrl" },
  listContainerStats: { path: `${RUNTIME}/ListContainerStats`, request: "Empty", response: "ListContainerStatsResponse" },
  listImages: { path: `${IMAGES}/ListImages`, request: "Empty", response: "ListImagesResponse" },
  imageStatus: { path: `${IMAGES}/ImageStatus`, request: "ImageRequest", response: "ImageStatusResponse" },
  pullImage: { path: `${IMAGES}/PullImage`, request: "PullImageRequest", response: "PullImageResponse" },
  removeImage: { path: `${IMAGES}/RemoveImage`, request: "ImageRequest", response: "Empty" },
  imageFsInfo: { path: `${IMAGES}/ImageFsInfo`, request: "Empty", response: "ImageFsInfoResponse" },
} as const satisfies Record<string, Method>;

export type CriMethod = keyof typeof METHODS;
type Reason = RuntimeError["reason"];

/** Upstream's runtime-request-timeout. */
const DEFAULT_TIMEOUT_MS = 120_000;

/** What a failure of a method is called when the code says nothing better. */
const REASONS: Partial<Record<CriMethod, Reason>> = { runPodSandbox: "CreatePodSandboxError", createContainer: "CreateContainerError", startContainer: "RunContainerError", pullImage: "ErrImagePull" };

/** CRI on one socket. */
export class CriClient {
  readonly connection: GrpcConnection;
  readonly types = new MessageTypes(CRI_PROTO);

  constructor(readonly socketPath: string) {
    this.connection = new GrpcConnection(socketPath);
  }

  /** Rejects with RuntimeError whose cause is the gRPC error. */
  async call<T>(method: CriMethod, request: object = {}, options: { readonly timeoutMs?: number; readonly signal?: AbortSignal | undefined } = {}): Promise<T> {
    try {
      return await this.connection.call<T>(this.types, METHODS[method], request, { timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, ...(options.signal && { signal: options.signal }) });
    } catch (error) {
      throw new RuntimeError(reasonOf(error, method), grpcDetails(error), { cause: error });
    }
  }

  /** As `call`, with undefined where what was asked about does not exist. */
  async callIfPresent<T>(method: CriMethod, request: object, options: { readonly timeoutMs?: number } = {}): Promise<T | undefined> {
    try {
      return await this.call<T>(method, request, options);
    } catch (error) {
      if (error instanceof RuntimeError && error.reason === "NotFound") return undefined;
      throw error;
    }
  }

  close(): void {
    this.connection.close();
  }
}

function reasonOf(error: unknown, method: CriMethod): Reason {
  switch (grpcCode(error)) {
    case GrpcStatus.UNAVAILABLE: return method === "pullImage" ? "RegistryUnavailable" : "Unavailable";
    case GrpcStatus.DEADLINE_EXCEEDED: return "Timeout";
    case GrpcStatus.NOT_FOUND: return REASONS[method] ?? "NotFound";
    case GrpcStatus.INVALID_ARGUMENT: return method === "pullImage" ? "InvalidImageName" : (REASONS[method] ?? "Unavailable");
    default: return REASONS[method] ?? "Unavailable";
  }
}

// The files of images on this machine, from containerd's own snapshots: CRI before 2.1 cannot mount an image.
// A view is kept by its own label, not by a lease, so it lives until it is removed.
import { type ImageFiles, RuntimeError } from "../runtime.ts";
import type { CriClient } from "./cri.ts";
import { grpcCode, grpcDetails, GrpcStatus, MessageTypes, type Method } from "./grpc.ts";
import { CONTAINERD_SNAPSHOTS_PROTO } from "./proto.ts";

const SERVICE = "/containerd.services.snapshots.v1.Snapshots";
const VIEW: Method = { path: `${SERVICE}/View`, request: "ViewRequest", response: "MountsResponse" };
const MOUNTS: Method = { path: `${SERVICE}/Mounts`, request: "KeyRequest", response: "MountsResponse" };
const REMOVE: Method = { path: `${SERVICE}/Remove`, request: "KeyRequest", response: "Empty" };
const TIMEOUT_MS = 120_000;
const HEADERS = { "containerd-namespace": "k8s.io" };
const GC_ROOT = "containerd.io/gc.root";

interface MountsResponse {
  readonly mounts: readonly { readonly type: string; readonly source: string; readonly options: readonly string[] }[];
}

export class Snapshots {
  readonly #types = new MessageTypes(CONTAINERD_SNAPSHOTS_PROTO);

  constructor(readonly options: { readonly cri: CriClient; readonly snapshotter: string }) {}

  /** A read-only view of the layers up to `chainId` under a name of our own; the one there is when there is one. */
  async view(key: string, chainId: string): Promise<ImageFiles> {
    const { snapshotter } = this.options;
    const labels = { [GC_ROOT]: new Date().toISOString() };
    const { mounts } = await this.#call<MountsResponse>(VIEW, { snapshotter, key, parent: chainId, labels }).catch((error: unknown) => {
      if (grpcCode(error) === GrpcStatus.ALREADY_EXISTS) return this.#call<MountsResponse>(MOUNTS, { snapshotter, key });
      throw new RuntimeError("CreateContainerError", `cannot make the files of an image mountable: ${grpcDetails(error)}`, { cause: error });
    });
    const [first] = mounts;
    if (!first) throw new RuntimeError("CreateContainerError", `snapshotter ${snapshotter} gives no mount for ${chainId}`);
    return { type: first.type === "bind" || first.type === "overlay" ? first.type : "native", source: first.source, options: first.options };
  }

  async remove(key: string): Promise<void> {
    try {
      await this.#call(REMOVE, { snapshotter: this.options.snapshotter, key });
    } catch (error) {
      if (grpcCode(error) !== GrpcStatus.NOT_FOUND) throw new RuntimeError("Unavailable", `cannot remove snapshot ${key}: ${grpcDetails(error)}`, { cause: error });
    }
  }

  #call<T>(method: Method, request: object): Promise<T> {
    return this.options.cri.connection.call<T>(this.#types, method, request, { timeoutMs: TIMEOUT_MS, headers: HEADERS });
  }
}

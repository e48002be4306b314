// Images over CRI; archives are imported with containerd's `ctr`, because CRI has no call for that.
// Pull policies and back-off are the kubelet's.
import { type Exec, run } from "../../../lib/exec.ts";
import { type ImageFiles, type ImageRecord, type ImageService, type RegistryAuth, RuntimeError } from "../runtime.ts";
import { toImage } from "./convert.ts";
import type { CriClient } from "./cri.ts";
import type { WireFilesystemUsage, WireImage } from "./messages.ts";
import { Snapshots } from "./snapshots.ts";

const PULL_TIMEOUT_MS = 60 * 60_000;
const IMPORT_TIMEOUT_MS = 10 * 60_000;
const CTR_NAMESPACE = "k8s.io";
/** CRI's label on images that garbage collection leaves alone. */
const PINNED_LABEL = "io.cri-containerd.pinned=pinned";

export interface CriImagesOptions {
  readonly cri: CriClient;
  readonly exec: Exec;
  /** The snapshotter images are unpacked for. */
  readonly snapshotter: string;
  /** Whether the server is containerd, whose snapshots can be had on the same socket. */
  readonly isContainerd: boolean;
}

/** ImageService on CRI. */
export class CriImages implements ImageService {
  readonly #options: CriImagesOptions;
  readonly #snapshots: Snapshots;

  constructor(options: CriImagesOptions) {
    this.#options = options;
    this.#snapshots = new Snapshots(options);
  }

  async pull(reference: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<string> {
    const request = { image: { image: reference, userSpecifiedImage: reference }, ...(auth && { auth }) };
    const { imageRef } = await this.#options.cri.call<{ imageRef: string }>("pullImage", request, { timeoutMs: PULL_TIMEOUT_MS, signal });
    return imageRef;
  }

  async status(reference: string): Promise<ImageRecord | undefined> {
    const response = await this.#options.cri.callIfPresent<{ image: WireImage | null }>("imageStatus", { image: { image: reference } });
    return response?.image ? toImage(response.image) : undefined;
  }

  async list(): Promise<ImageRecord[]> {
    return (await this.#options.cri.call<{ images: WireImage[] }>("listImages")).images.map(toImage);
  }

  async remove(id: string): Promise<void> {
    await this.#options.cri.callIfPresent("removeImage", { image: { image: id } });
  }

  async load(tarPath: string): Promise<void> {
    const { snapshotter } = this.#options;
    // overlayfs is the default; newer versions of ctr do not take the flag together with others.
    await this.#ctr(["images", "import", ...(snapshotter === "overlayfs" ? [] : ["--snapshotter", snapshotter]), tarPath]);
  }

  /** Keeps a present image from garbage collection. */
  async pin(reference: string): Promise<void> {
    await this.#ctr(["images", "label", reference, PINNED_LABEL]);
  }

  async usage(): Promise<{ usedBytes: number; inodesUsed: number; path: string }> {
    const { imageFilesystems } = await this.#options.cri.call<{ imageFilesystems: WireFilesystemUsage[] }>("imageFsInfo");
    const sum = (pick: (usage: WireFilesystemUsage) => number | undefined): number => imageFilesystems.reduce((total, usage) => total + (pick(usage) ?? 0), 0);
    return { usedBytes: sum((usage) => usage.usedBytes?.value), inodesUsed: sum((usage) => usage.inodesUsed?.value), path: imageFilesystems[0]?.fsId?.mountpoint ?? "/" };
  }

  async files(id: string, key: string): Promise<ImageFiles | undefined> {
    if (!this.#options.isContainerd) return undefined;
    const { info } = await this.#options.cri.call<{ info: Record<string, string> }>("imageStatus", { image: { image: id }, verbose: true });
    const { chainID } = JSON.parse(info["info"] ?? "{}") as { chainID?: string };
    if (!chainID) throw new RuntimeError("ImageNotFound", `image ${id} is not present`);
    return this.#snapshots.view(key, chainID);
  }

  async releaseFiles(key: string): Promise<void> {
    if (this.#options.isContainerd) await this.#snapshots.remove(key);
  }

  async #ctr(args: readonly string[]): Promise<void> {
    try {
      await run(this.#options.exec, ["ctr", "--connect-timeout", "60s", "--address", this.#options.cri.socketPath, "--namespace", CTR_NAMESPACE, ...args], { timeoutMs: IMPORT_TIMEOUT_MS });
    } catch (error) {
      throw new RuntimeError("Unavailable", `cannot import an image: ${(error as Error).message}`, { cause: error });
    }
  }
}

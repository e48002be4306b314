// Frees disk by removing images nobody uses, the longest unused first, once the disk is fuller than it should be.
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { ImageRecord, ImageService } from "../runtime/runtime.ts";
import type { DiskFacts } from "./machine.ts";

const log = logger("image-gc");
const CHECK_MS = 300_000;
const MIN_AGE_MS = 120_000;

export interface ImageGcOptions {
  readonly images: ImageService;
  readonly clock: Clock;
  /** Ids and references of images that containers (dead ones included) and pods use. */
  readonly inUse: () => ReadonlySet<string>;
  readonly disk: (path: string) => Promise<DiskFacts>;
  /** Called when more had to be freed than could be. */
  readonly onFailure: (message: string) => void;
  /** Forget images that are gone. */
  readonly records?: { prune(imageIds: ReadonlySet<string>): Promise<void> };
  /** Called for every image removed, with why: space or age. */
  readonly onRemoved?: (reason: "space" | "age") => void;
  readonly highPercent?: number;
  readonly lowPercent?: number;
  /** An image is kept at least so long after it was first seen. */
  readonly minAgeMs?: number;
  /** Unused images go after this, however empty the disk; 0 for never. */
  readonly maxAgeMs?: number;
}

export class ImageGc {
  readonly #seenAt = new Map<string, { first: number; used: number }>();

  constructor(readonly options: ImageGcOptions) {}

  /** Checks every five minutes until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.collect().catch((error: unknown) => log.warn({ err: error }, "image garbage collection failed"));
      await this.options.clock.sleep(CHECK_MS, signal);
    }
  }

  /** Frees what the thresholds ask for; returns the bytes freed. */
  async collect(): Promise<number> {
    const { images, disk, highPercent = 85, lowPercent = 80 } = this.options;
    const all = await images.list();
    this.#note(all);
    await this.options.records?.prune(new Set(all.map(({ id }) => id)));
    await this.#removeOld(all);
    const { path } = await images.usage();
    const { capacityBytes, availableBytes } = await disk(path);
    if (capacityBytes === 0) return 0;
    const usedPercent = 100 - (availableBytes * 100) / capacityBytes;
    if (usedPercent < highPercent) return 0;
    const wanted = Math.ceil((capacityBytes * (100 - lowPercent)) / 100) - availableBytes;
    log.info({ usedPercent: Math.round(usedPercent), bytes: wanted }, "the disk is full; removing unused images");
    const freed = await this.free(wanted, all);
    if (freed < wanted) this.options.onFailure(`Failed to garbage collect required amount of images. Attempted to free ${wanted} bytes, but only found ${freed} bytes eligible to free.`);
    return freed;
  }

  /** Removes unused images until that many bytes are free; returns how many were. */
  async free(bytes: number, all?: readonly ImageRecord[]): Promise<number> {
    const { images, clock } = this.options;
    const list = all ?? (await images.list());
    this.#note(list);
    const now = clock.now();
    const seen = (image: ImageRecord): { first: number; used: number } => this.#seenAt.get(image.id) ?? { first: now, used: now };
    const unused = list.filter((image) => !image.pinned && !this.#isUsed(image) && now - seen(image).first >= (this.options.minAgeMs ?? MIN_AGE_MS));
    let freed = 0;
    for (const image of unused.sort((a, b) => seen(a).used - seen(b).used || seen(a).first - seen(b).first)) {
      if (freed >= bytes) break;
      await images.remove(image.id);
      log.info({ image: image.repoTags[0] ?? image.id, bytes: image.sizeBytes }, "removed an unused image");
      this.options.onRemoved?.("space");
      this.#seenAt.delete(image.id);
      freed += image.sizeBytes;
    }
    return freed;
  }

  async #removeOld(all: readonly ImageRecord[]): Promise<void> {
    const { images, clock, maxAgeMs = 0 } = this.options;
    if (maxAgeMs === 0) return;
    for (const image of all) {
      const seen = this.#seenAt.get(image.id);
      if (image.pinned || this.#isUsed(image) || !seen || clock.now() - Math.max(seen.used, seen.first) < maxAgeMs) continue;
      await images.remove(image.id);
      log.info({ image: image.repoTags[0] ?? image.id }, "removed an image nobody has used for long");
      this.options.onRemoved?.("age");
    }
  }

  #note(all: readonly ImageRecord[]): void {
    const now = this.options.clock.now();
    const present = new Set(all.map(({ id }) => id));
    for (const id of this.#seenAt.keys()) if (!present.has(id)) this.#seenAt.delete(id);
    for (const image of all) {
      const known = this.#seenAt.get(image.id) ?? { first: now, used: 0 };
      this.#seenAt.set(image.id, this.#isUsed(image) ? { ...known, used: now } : known);
    }
  }

  #isUsed(image: ImageRecord): boolean {
    const used = this.options.inUse();
    return [image.id, ...image.repoTags, ...image.repoDigests].some((name) => used.has(name));
  }
}

// The images of the runtime in memory: records that can be pulled, added and removed.
// No bytes are behind them.
import { type ImageRecord, type ImageService, RuntimeError } from "./runtime.ts";

export interface FakeImagesOptions {
  /** References whose pull fails, with the reason. Every other reference can be pulled. */
  readonly unpullable?: Readonly<Record<string, ConstructorParameters<typeof RuntimeError>[0]>> | undefined;
  /** Comes before each pull: takes its time, or throws. */
  readonly beforePull: () => Promise<void>;
}

export class FakeImages {
  readonly #options: FakeImagesOptions;
  readonly #images = new Map<string, ImageRecord>();

  constructor(options: FakeImagesOptions) {
    this.#options = options;
  }

  add(reference: string, overrides: Partial<ImageRecord> = {}): ImageRecord {
    const id = overrides.id ?? `sha256:${new Bun.CryptoHasher("sha256").update(reference).digest("hex")}`;
    const image = { id, repoTags: [reference], repoDigests: [`${reference.split(":")[0]}@${id}`], sizeBytes: 1 << 20, user: "", pinned: false, ...overrides };
    this.#images.set(id, image);
    return image;
  }

  find(reference: string): ImageRecord | undefined {
    return this.#images.get(reference) ?? [...this.#images.values()].find((image) => image.repoTags.includes(reference) || image.repoDigests.includes(reference));
  }

  /** A plain object, so that a test can spread it and put its own calls in place. */
  service(): ImageService {
    return {
      pull: (reference) => this.#pull(reference),
      status: (reference) => Promise.resolve(this.find(reference)),
      list: () => Promise.resolve([...this.#images.values()]),
      remove: async (id) => {
        const image = this.find(id);
        if (image) this.#images.delete(image.id);
      },
      load: async (tarPath) => void this.add(tarPath.split("/").at(-1)?.replace(/\.tar$/, "") ?? tarPath),
      files: () => Promise.resolve(undefined),
      releaseFiles: () => Promise.resolve(),
      usage: () => Promise.resolve({ usedBytes: [...this.#images.values()].reduce((sum, image) => sum + image.sizeBytes, 0), inodesUsed: this.#images.size, path: "/" }),
    };
  }

  async #pull(reference: string): Promise<string> {
    await this.#options.beforePull();
    const reason = this.#options.unpullable?.[reference];
    if (reason) throw new RuntimeError(reason, `failed to pull image "${reference}"`);
    return (this.find(reference) ?? this.add(reference)).id;
  }
}

// Makes sure an image is there before a container needs it: pull policy, back-off, a limit on parallel pulls, events.
// Which credentials to use is `credentials.ts`; pulling itself is the runtime's.
import type { ObjectReference, Pod } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { RuntimeError, type ImageRecord, type ImageService } from "../runtime/runtime.ts";
import { INITIAL_MS, MAX_MS } from "./backoff.ts";
import type { Credential } from "./credentials.ts";
import type { PullRecords } from "./pullrecords.ts";
import type { EventSink } from "./recorder.ts";

/** The image cannot be had now; `reason` is the waiting reason, and the next try makes sense at `retryAt`. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  constructor(readonly reason: string, message: string, readonly retryAt: number, options?: ErrorOptions) {
    super(message, options);
  }
}

export interface ImageRequest {
  readonly pod: Pod;
  /** What events are about: the container. */
  readonly about: ObjectReference;
  readonly reference: string;
  readonly policy: string;
  readonly credentials: () => Promise<readonly Credential[]>;
  readonly signal: AbortSignal;
}

interface PullFailure {
  readonly until: number;
  readonly delayMs: number;
  readonly updatedAt: number;
  readonly message: string;
}

const NEVER_PRESENT_RETRY_MS = 60_000;

export interface ImagesDeps {
  readonly images: ImageService;
  readonly clock: Clock;
  readonly recorder: EventSink;
  readonly records: PullRecords;
  readonly maxParallelPulls: number;
  readonly pace?: { readonly perSecond: number; readonly burst: number } | undefined;
  /** Told of every pull that worked: the image's bytes, and the milliseconds from asking to having. */
  readonly onPulled?: (bytes: number, ms: number) => void;
}

export class Images {
  readonly #failures = new Map<string, PullFailure>();
  readonly #queue: (() => void)[] = [];
  /** By pod: how long it has waited for pulls, those side by side counted once, and when the last of them ended. */
  readonly #waits = new Map<string, { ms: number; until: number }>();
  #pulling = 0;
  /** When the last pull that was let through would have begun, had all kept the pace. */
  #pacedAt = -Infinity;

  constructor(readonly deps: ImagesDeps) {}

  /** The image, pulled where its policy asks for it; rejects with ImageError. */
  async ensure(request: ImageRequest): Promise<ImageRecord> {
    const { reference, policy, about } = request;
    const { recorder, clock } = this.deps;
    const tagged = withDefaultTag(reference);
    if (tagged === undefined) {
      const message = `Failed to apply default image tag "${reference}": couldn't parse image name "${reference}": invalid reference format`;
      recorder.event(about, "Warning", "InspectFailed", message);
      throw new ImageError("InvalidImageName", message, clock.now() + NEVER_PRESENT_RETRY_MS);
    }
    // Asked for at most once, and only where somebody wants to know.
    let asked: Promise<readonly Credential[]> | undefined;
    const once = { ...request, credentials: () => (asked ??= request.credentials()) };
    if (policy !== "Always") {
      const present = await this.#present(once, tagged);
      if (present) return present;
      if (policy === "Never") {
        const message = `Container image "${reference}" is not present with pull policy of Never`;
        recorder.event(about, "Warning", "ErrImageNeverPull", message);
        throw new ImageError("ErrImageNeverPull", message, clock.now() + INITIAL_MS);
      }
    }
    return this.#pull(once, tagged);
  }

  /** The image where it is there and the pod may use it as it is. One it may not use is, to the pod, not there. */
  async #present({ reference, about, credentials }: ImageRequest, tagged: string): Promise<ImageRecord | undefined> {
    const { images, recorder, records } = this.deps;
    const present = await images.status(tagged);
    if (!present || (await records.mustPull(tagged, present.id, credentials))) return undefined;
    recorder.event(about, "Normal", "Pulled", `Container image "${reference}" already present on machine and can be accessed by the pod`);
    return present;
  }

  /** Drops what nobody will ask for any more. */
  forgetPod(uid: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}_`)) this.#failures.delete(key);
    this.#waits.delete(uid);
  }

  /** The milliseconds a pod has waited for pulls that ended. */
  pulledMs(uid: string): number {
    return this.#waits.get(uid)?.ms ?? 0;
  }

  #waited(uid: string, from: number): void {
    const now = this.deps.clock.now();
    const { ms, until } = this.#waits.get(uid) ?? { ms: 0, until: -Infinity };
    this.#waits.set(uid, { ms: ms + Math.max(0, now - Math.max(from, until)), until: now });
  }

  async #pull(request: ImageRequest, tagged: string): Promise<ImageRecord> {
    const { reference, about, pod } = request;
    const { clock, recorder } = this.deps;
    const key = `${pod.metadata.uid}_${reference}`;
    const failure = this.#failures.get(key);
    if (failure && failure.until > clock.now() && failure.until - clock.now() <= MAX_MS) {
      const message = `Back-off pulling image "${reference}"`;
      recorder.event(about, "Normal", "BackOff", message);
      throw new ImageError("ImagePullBackOff", `${message}: ${failure.message}`, failure.until);
    }
    recorder.event(about, "Normal", "Pulling", `Pulling image "${reference}"`);
    const askedAt = clock.now();
    let startedAt = askedAt;
    await this.deps.records.begin(tagged);
    try {
      await this.#keepPace(request.signal);
      const used = await this.#limited(() => {
        startedAt = clock.now();
        return this.#tryCredentials(request, tagged);
      });
      this.#failures.delete(key);
      const image = await this.deps.images.status(tagged);
      if (!image) throw new RuntimeError("ErrImagePull", `image "${reference}" was pulled and is not there`);
      await this.deps.records.succeeded(tagged, image.id, used);
      const now = clock.now();
      this.deps.onPulled?.(image.sizeBytes, now - askedAt);
      recorder.event(about, "Normal", "Pulled", `Successfully pulled image "${reference}" in ${duration(now - startedAt)} (${duration(now - askedAt)} including waiting). Image size: ${image.sizeBytes} bytes.`);
      return image;
    } catch (error) {
      await this.deps.records.failed(tagged);
      throw this.#failed(request, key, error);
    } finally {
      this.#waited(pod.metadata.uid ?? "", askedAt);
    }
  }

  #failed(request: ImageRequest, key: string, error: unknown): ImageError {
    const { clock, recorder } = this.deps;
    const now = clock.now();
    const text = (error as Error).message;
    const isUnavailable = error instanceof RuntimeError && error.reason === "RegistryUnavailable";
    const reason = isUnavailable ? "RegistryUnavailable" : error instanceof RuntimeError && error.reason === "InvalidImageName" ? "InvalidImageName" : "ErrImagePull";
    const message = isUnavailable ? `image pull failed for ${request.reference} because the registry is unavailable: ${text}` : text;
    const previous = this.#failures.get(key);
    const delayMs = previous && now - previous.updatedAt <= 2 * MAX_MS ? Math.min(previous.delayMs * 2, MAX_MS) : INITIAL_MS;
    if (!request.signal.aborted) {
      recorder.event(request.about, "Warning", "Failed", `Failed to pull image "${request.reference}": ${text}`);
      this.#failures.set(key, { until: now + delayMs, delayMs, updatedAt: now, message: `${reason}: ${message}` });
    }
    // Asked again half-way, so that the status moves on to ImagePullBackOff as users expect.
    return new ImageError(reason, message, now + delayMs / 2, { cause: error });
  }

  /** The first credential that works, and undefined where there is none to try. All that did not are told. */
  async #tryCredentials({ credentials, signal }: ImageRequest, tagged: string): Promise<Credential | undefined> {
    const all: (Credential | undefined)[] = [...(await credentials())];
    if (all.length === 0) all.push(undefined);
    const errors: Error[] = [];
    for (const credential of all) {
      try {
        await this.deps.images.pull(tagged, credential?.auth, signal);
        return credential;
      } catch (error) {
        errors.push(error as Error);
      }
    }
    const messages = [...new Set(errors.map(({ message }) => message))];
    if (messages.length === 1) throw errors[0];
    throw new RuntimeError("ErrImagePull", `[${messages.join(", ")}]`, { cause: errors[0] });
  }

  /** Waits where upstream refuses: the pod is there sooner, and the registry sees no more of it. */
  async #keepPace(signal: AbortSignal): Promise<void> {
    const { pace, clock } = this.deps;
    if (!pace) return;
    const [now, everyMs] = [clock.monotonic(), 1000 / pace.perSecond];
    this.#pacedAt = Math.max(this.#pacedAt, now - pace.burst * everyMs) + everyMs;
    if (this.#pacedAt > now) await clock.sleep(this.#pacedAt - now, signal);
  }

  async #limited<T>(work: () => Promise<T>): Promise<T> {
    if (this.#pulling >= this.deps.maxParallelPulls) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#pulling++;
    try {
      return await work();
    } finally {
      // The place is handed over, not freed and taken: nobody may slip in between.
      const next = this.#queue.shift();
      if (next) next();
      else this.#pulling--;
    }
  }
}

const REFERENCE = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?\/|\[[0-9a-fA-F:]+\](?::\d+)?\/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/;

/** The reference with `:latest` where it has neither tag nor digest; undefined for no valid reference. */
export function withDefaultTag(reference: string): string | undefined {
  const match = REFERENCE.exec(reference);
  if (!match) return undefined;
  return match[1] === undefined && match[2] === undefined ? `${reference}:latest` : reference;
}

/** As Go prints a duration cut to milliseconds: `12ms`, `1.204s`, `1m3.5s`. */
export function duration(ms: number): string {
  if (ms < 1000) return ms === 0 ? "0s" : `${Math.round(ms)}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = `${Number(((ms % 60_000) / 1000).toFixed(3))}s`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

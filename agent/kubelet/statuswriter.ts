// Brings the API's view of each pod's status up to date: one patch in flight per pod, the latest wins.
// What to say is decided in `status.ts`; final deletion of a pod's object is asked for here too.
import { isApiError, isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, PodStatus, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { statusPatch } from "./status.ts";

const log = logger("pod-status");
const POD = builtinKind("", "v1", "Pod");
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 10_000;
/** Upstream looks for foreign changes every ten seconds. */
const REPAIR_MS = 5_000;

interface Entry {
  /** Names the API object; its uid is the mirror's for a static pod. */
  pod: Pod;
  /** What the API is believed to hold. */
  sent: PodStatus;
  wanted: PodStatus;
  sending: Promise<void> | undefined;
  isRepairing: boolean;
  /** When the first change that has not arrived yet was decided. */
  decidedAt: number | undefined;
}

export class StatusWriter {
  readonly #entries = new Map<string, Entry>();

  constructor(readonly client: Client, readonly clock: Clock, readonly signal: AbortSignal, readonly onSent: (seconds: number) => void = () => {}) {}

  /** The status last decided for a pod, whether it has arrived or not. */
  get(uid: string): PodStatus | undefined {
    return this.#entries.get(uid)?.wanted;
  }

  /** What the API holds of the pod (or its mirror) now; differences to what we want are sent again. */
  observed(uid: string, pod: Stored<Pod>): void {
    const entry = this.#entries.get(uid);
    // A watch event older than our own patch's answer says nothing new.
    if (!entry || !isNewer(pod, entry.pod)) return;
    const isAnother = pod.metadata.uid !== entry.pod.metadata.uid;
    entry.pod = pod;
    entry.sent = pod.status ?? {};
    if (isAnother) this.#push(entry);
    else void this.#repair(entry);
  }

  /** Says what the pod's status is from now on; returns at once. `target` is the API object to write to. */
  set(uid: string, target: Pod, status: PodStatus): void {
    const known = this.#entries.get(uid);
    const isNews = !known || !Bun.deepEquals(known.wanted, status);
    const entry: Entry = known ?? { pod: target, sent: target.status ?? {}, wanted: status, sending: undefined, isRepairing: false, decidedAt: undefined };
    entry.wanted = status;
    if (isNews) entry.decidedAt ??= this.clock.monotonic();
    const isAnother = target.metadata.uid !== entry.pod.metadata.uid;
    if (isAnother || (isNewer(target, entry.pod) && entry.sending === undefined)) {
      entry.pod = target;
      entry.sent = target.status ?? {};
    }
    this.#entries.set(uid, entry);
    if (isNews || isAnother) this.#push(entry);
    else void this.#repair(entry);
  }

  /** Resolves when everything decided so far has arrived, or the pod is gone. */
  async flush(uid: string): Promise<void> {
    for (;;) {
      const sending = this.#entries.get(uid)?.sending;
      if (!sending || this.signal.aborted) return;
      await sending;
    }
  }

  /** Deletes the API object for good, provided it still is this pod. */
  async delete(pod: Pod): Promise<void> {
    const name = { name: pod.metadata.name ?? "", namespace: pod.metadata.namespace };
    for (let delay = FIRST_RETRY_MS; !this.signal.aborted; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
      try {
        await this.client.delete(POD, name, { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } });
        return;
      } catch (error) {
        // A conflict says that another pod has this name by now.
        if (isNotFound(error) || isApiError(error, 409)) return;
        log.warn({ err: error, pod: pod.metadata.name }, "deleting the pod's object failed");
        await this.clock.sleep(delay, this.signal);
      }
    }
  }

  forget(uid: string): void {
    this.#entries.delete(uid);
  }

  /** Puts back what somebody else changed, in a while: whoever wrote it gets to read it, and nobody fights over it at full speed. */
  async #repair(entry: Entry): Promise<void> {
    if (entry.isRepairing || !statusPatch(entry.pod, entry.sent, entry.wanted)) return;
    entry.isRepairing = true;
    await this.clock.sleep(REPAIR_MS, this.signal);
    entry.isRepairing = false;
    if (!this.signal.aborted) this.#push(entry);
  }

  #push(entry: Entry): void {
    entry.sending ??= this.#send(entry).finally(() => {
      entry.sending = undefined;
    });
  }

  async #send(entry: Entry): Promise<void> {
    let delay = FIRST_RETRY_MS;
    while (!this.signal.aborted) {
      const wanted = entry.wanted;
      const patch = statusPatch(entry.pod, entry.sent, wanted);
      if (!patch) return;
      const { name = "", namespace } = entry.pod.metadata;
      try {
        const stored = await this.client.patch<Pod>(POD, { name, namespace }, patch, { type: "strategic", subresource: "status" });
        entry.pod = stored;
        // Not what came back: an answer that differs would make us say the same thing for ever.
        entry.sent = wanted;
        if (entry.decidedAt !== undefined) this.onSent((this.clock.monotonic() - entry.decidedAt) / 1000);
        entry.decidedAt = undefined;
        delay = FIRST_RETRY_MS;
      } catch (error) {
        if (isNotFound(error) || isApiError(error, 409) || isApiError(error, 422)) {
          if (!isNotFound(error)) log.warn({ err: error, pod: name }, "the API refused a pod status");
          entry.sent = wanted;
          return;
        }
        log.warn({ err: error, pod: name }, "writing a pod status failed");
        await this.clock.sleep(delay, this.signal);
        delay = Math.min(delay * 2, LAST_RETRY_MS);
      }
    }
  }
}

function isNewer(pod: Pod, than: Pod): boolean {
  return BigInt(pod.metadata.resourceVersion ?? "0") > BigInt(than.metadata.resourceVersion ?? "0");
}

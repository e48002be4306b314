// Prompt news of sandboxes and containers: containerd's own event service, CRI's event stream elsewhere.
// An event is a hint; after a gap everything is hinted at, so that nothing waits for the slow relist.
import { type BackoffOptions, delayOf } from "../../../lib/backoff.ts";
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { Broadcast } from "../broadcast.ts";
import { untilDone } from "../retry.ts";
import type { RuntimeEvent } from "../runtime.ts";
import type { CriClient } from "./cri.ts";
import { grpcCode, GrpcStatus, MessageTypes, type Method } from "./grpc.ts";
import type { WireContainerEvent, WireContainerStatus, WireSandboxStatus } from "./messages.ts";
import type { Ownership } from "./ownership.ts";
import { CONTAINERD_EVENTS_PROTO } from "./proto.ts";

const SUBSCRIBE: Method = { path: "/containerd.services.events.v1.Events/Subscribe", request: "SubscribeRequest", response: "Envelope" };
const CRI_EVENTS: Method = { path: "/runtime.v1.RuntimeService/GetContainerEvents", request: "Empty", response: "ContainerEventResponse" };
const FILTER = `namespace==k8s.io,topic~="^/(tasks/(start|exit)|containers/(create|delete))$"`;
const CRI_TYPES = { CONTAINER_CREATED_EVENT: "created", CONTAINER_STARTED_EVENT: "started", CONTAINER_STOPPED_EVENT: "stopped", CONTAINER_DELETED_EVENT: "deleted" } as const;

const RECONNECT_MS = 500;
const POLL_MS = 5_000;
/** CRI learns of an exit from the same event and then has the shim clean up, which takes seconds on a busy machine. */
const SETTLE: BackoffOptions = { baseMs: 2, maxMs: 1000 };
/** Some two minutes; who is slower than that is left to the relist. */
const SETTLE_ATTEMPTS = 130;
const UNANSWERED = "";
const OWN_CALL_MS = 10_000;

interface Envelope {
  readonly topic: string;
  readonly event: { readonly value: Uint8Array } | null;
}

export interface EventsDeps {
  readonly cri: CriClient;
  readonly ownership: Ownership;
  readonly clock: Clock;
  /** Whether the server is containerd and has its event service on the same socket. */
  readonly isContainerd: boolean;
}

/** Events of one runtime, for any number of readers; runs until `signal` aborts. */
export class CriEvents {
  readonly #deps: EventsDeps;
  readonly #broadcast = new Broadcast<RuntimeEvent>();
  readonly #types = new MessageTypes(CONTAINERD_EVENTS_PROTO);
  readonly #log = logger("runtime");

  constructor(deps: EventsDeps) {
    this.#deps = deps;
  }

  subscribe(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#broadcast.subscribe(signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let first = true; !signal.aborted; first = false) {
      const ended = new AbortController();
      if (!first) void this.#catchUp(AbortSignal.any([signal, ended.signal]));
      try {
        await (this.#deps.isContainerd ? this.#followContainerd(signal) : this.#followCri(signal));
      } catch (error) {
        if (grpcCode(error) === GrpcStatus.UNIMPLEMENTED) await this.#deps.clock.sleep(POLL_MS, signal);
        else this.#log.debug({ err: error }, "the runtime's event stream ended; subscribing again");
      } finally {
        ended.abort();
      }
      await this.#deps.clock.sleep(RECONNECT_MS, signal);
    }
  }

  /** Only after subscribing: between a list and a later subscription an exit would be lost. The stream does not say when it is open. */
  async #catchUp(signal: AbortSignal): Promise<void> {
    await this.#deps.clock.sleep(RECONNECT_MS, signal);
    await untilDone(() => this.#hintAtEverything(), { clock: this.#deps.clock, everyMs: RECONNECT_MS, signal });
  }

  #followContainerd(signal: AbortSignal): Promise<void> {
    const onMessage = (message: Envelope): void => void this.#onContainerd(message, signal).catch((error: unknown) => this.#log.warn({ err: error }, "could not read a container event"));
    return this.#deps.cri.connection.stream<Envelope>(this.#types, SUBSCRIBE, { filters: [FILTER] }, { onMessage, signal });
  }

  #followCri(signal: AbortSignal): Promise<void> {
    const onMessage = ({ containerId, containerEventType, podSandboxStatus }: WireContainerEvent): void =>
      this.#broadcast.publish({ type: CRI_TYPES[containerEventType], id: containerId, sandboxId: podSandboxStatus?.id ?? "", podUid: podSandboxStatus?.metadata?.uid ?? "" });
    return this.#deps.cri.connection.stream<WireContainerEvent>(this.#deps.cri.types, CRI_EVENTS, {}, { onMessage, signal });
  }

  async #onContainerd({ topic, event }: Envelope, signal: AbortSignal): Promise<void> {
    if (!event) return;
    switch (topic) {
      case "/containers/create": return this.#publish("created", this.#types.decode<{ id: string }>("ContainerEvent", event.value).id, signal);
      case "/containers/delete": return this.#publishKnown("deleted", this.#types.decode<{ id: string }>("ContainerEvent", event.value).id);
      case "/tasks/start": return this.#publish("started", this.#types.decode<{ containerId: string }>("TaskEvent", event.value).containerId, signal);
      case "/tasks/exit": {
        const { containerId, id } = this.#types.decode<{ containerId: string; id: string }>("TaskExit", event.value);
        // Exits of exec'd processes carry another id than the container's.
        if (id === containerId || id === "") await this.#publish("stopped", containerId, signal);
      }
    }
  }

  /** What this process did itself costs no questions: the event waits for the call's answer, and a creation is not told at all. */
  async #publish(type: "created" | "started" | "stopped", id: string, signal: AbortSignal): Promise<void> {
    if (type !== "stopped") await this.#answered(id, signal);
    const isOwn = type !== "stopped" && this.#deps.ownership.isOwn(id, type);
    if (isOwn && type === "created") return;
    const owner = await untilDone(() => this.#deps.ownership.find(id), { clock: this.#deps.clock, everyMs: RECONNECT_MS, signal });
    if (!owner) return;
    if (type === "stopped") await this.#settled(() => this.#state(id, owner.kind), (state) => state !== "CONTAINER_RUNNING" && state !== "SANDBOX_READY", signal);
    if (type === "started" && !isOwn) await this.#settled(() => this.#state(id, owner.kind), (state) => state !== "CONTAINER_CREATED", signal);
    this.#broadcast.publish({ type, id, sandboxId: owner.sandboxId, podUid: owner.podUid });
  }

  /** Whoever called has then begun to look for himself. A runtime that hangs holds back no others' news. */
  async #answered(id: string, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    await Promise.race([this.#deps.ownership.answered(id), this.#deps.clock.sleep(OWN_CALL_MS, AbortSignal.any([signal, timer.signal]))]);
    timer.abort();
    await new Promise(setImmediate);
  }

  async #publishKnown(type: RuntimeEvent["type"], id: string): Promise<void> {
    const owner = this.#deps.ownership.known(id);
    if (owner) this.#broadcast.publish({ type, id, sandboxId: owner.sandboxId, podUid: owner.podUid });
  }

  async #settled(read: () => Promise<string | undefined>, isSettled: (state: string) => boolean, signal: AbortSignal): Promise<void> {
    for (let attempt = 0; attempt < SETTLE_ATTEMPTS && !signal.aborted; attempt++) {
      const state = await read().catch(() => UNANSWERED);
      if (state === undefined || (state !== UNANSWERED && isSettled(state))) return;
      await this.#deps.clock.sleep(delayOf(SETTLE, attempt), signal);
    }
  }

  async #state(id: string, kind: "sandbox" | "container"): Promise<string | undefined> {
    if (kind === "sandbox") return (await this.#deps.cri.callIfPresent<{ status: WireSandboxStatus }>("podSandboxStatus", { podSandboxId: id }))?.status.state;
    return (await this.#deps.cri.callIfPresent<{ status: WireContainerStatus }>("containerStatus", { containerId: id }))?.status.state;
  }

  async #hintAtEverything(): Promise<void> {
    const [sandboxes, containers] = await Promise.all([this.#deps.ownership.listSandboxes(), this.#deps.ownership.listContainers()]);
    const uids = new Map(sandboxes.map(({ id, metadata }) => [id, metadata?.uid ?? ""]));
    for (const { id, state } of sandboxes) this.#broadcast.publish({ type: state === "SANDBOX_READY" ? "started" : "stopped", id, sandboxId: id, podUid: uids.get(id) ?? "" });
    for (const { id, state, podSandboxId } of containers) this.#broadcast.publish({ type: state === "CONTAINER_RUNNING" ? "started" : "stopped", id, sandboxId: podSandboxId, podUid: uids.get(podSandboxId) ?? "" });
  }
}

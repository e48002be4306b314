// Prompt news of sandboxes and containers from the Docker Engine's event stream.
// An event is a hint; after a gap everything is hinted at.
import type Docker from "dockerode";
import type { ContainerInfo } from "dockerode";
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { Broadcast } from "../broadcast.ts";
import { untilDone } from "../retry.ts";
import type { RuntimeEvent } from "../runtime.ts";
import { decodeLabels, RECORD_LABEL, TYPE_LABEL } from "./record.ts";

const TYPES: Readonly<Record<string, RuntimeEvent["type"]>> = { create: "created", start: "started", die: "stopped", destroy: "deleted" };
const RECONNECT_MS = 500;
/** Longer than any event. */
const MAX_PENDING_BYTES = 4 << 20;

interface WireEvent {
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
}

/** Events of one engine, for any number of readers; runs until `signal` aborts. */
export class DockerEvents {
  readonly #docker: Docker;
  readonly #clock: Clock;
  readonly #onReturn: (containers: readonly ContainerInfo[]) => void;
  readonly #broadcast = new Broadcast<RuntimeEvent>();
  readonly #log = logger("runtime");

  /** `onReturn` is told of this node's containers when the engine answers after it did not. */
  constructor(docker: Docker, clock: Clock, onReturn: (containers: readonly ContainerInfo[]) => void = () => {}) {
    this.#docker = docker;
    this.#clock = clock;
    this.#onReturn = onReturn;
  }

  subscribe(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#broadcast.subscribe(signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const ended = new AbortController();
      await this.#follow(AbortSignal.any([signal, ended.signal])).catch((error: unknown) => this.#log.debug({ err: error }, "Docker's event stream ended; subscribing again"));
      ended.abort();
      await this.#clock.sleep(RECONNECT_MS, signal);
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const stream = await this.#docker.getEvents({ filters: { type: ["container"], label: [TYPE_LABEL], event: Object.keys(TYPES) } });
    const stop = (): void => void (stream as unknown as { destroy: () => void }).destroy();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    // Only now that the stream is open: between a list and a later stream an exit would be lost.
    void untilDone(() => this.#hintAtEverything(), { clock: this.#clock, everyMs: RECONNECT_MS, signal });
    let pending = "";
    try {
      for await (const chunk of stream) {
        pending += String(chunk);
        const lines = pending.split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) if (line.trim() !== "") this.#publish(JSON.parse(line) as WireEvent);
        if (pending.length > MAX_PENDING_BYTES) pending = "";
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #publish({ Action, Actor: { ID, Attributes } }: WireEvent): void {
    const type = TYPES[Action];
    if (type) this.#tell(type, ID, Attributes);
  }

  #tell(type: RuntimeEvent["type"], id: string, labels: Readonly<Record<string, string>>): void {
    const label = decodeLabels({ [RECORD_LABEL]: labels[RECORD_LABEL] ?? "null" });
    if (label) this.#broadcast.publish(label.type === "sandbox" ? { type, id, sandboxId: id, podUid: label.uid } : { type, id, sandboxId: label.sandboxId, podUid: label.podUid });
  }

  async #hintAtEverything(): Promise<void> {
    const containers = await this.#docker.listContainers({ all: true, filters: { label: [TYPE_LABEL] } });
    this.#onReturn(containers);
    for (const { Id, State, Labels } of containers) this.#tell(State === "running" ? "started" : "stopped", Id, Labels);
  }
}

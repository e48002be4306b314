// Calls to an etcd cluster: over one connection to one member, and to the next member when that one is out of reach.
// Repeating a call that may have been carried out is offered here; whether that is right is the caller's to say.
import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { Backoff } from "../../../lib/backoff.ts";
import { systemClock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { WATCH, type KeyRange, type Method, type WatchResponse } from "./messages.ts";

/** PEM texts; without any of them the connection is not encrypted. */
export interface EtcdTls {
  readonly caPem?: string | undefined;
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
}

/** No member of the etcd cluster answered, or it refused the call; the message says which and why. */
export class EtcdUnavailable extends Error {
  override readonly name = "EtcdUnavailable";
}

export interface WatchRequest {
  readonly range: KeyRange;
  readonly startRevision: number;
  readonly signal: AbortSignal;
  readonly onResponse: (response: WatchResponse) => void;
}

const log = logger("etcd");
/** Long, because a write whose answer was merely late is sent again. */
const CALL_TIMEOUT_MS = 10_000;
const QUIET_MS = 5000;
const OPTIONS = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2000,
  // A member that vanished without a word is noticed within these two.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.service_config_disable_resolution": 1,
};
/** Codes after which another try may succeed, though the first may have been carried out. */
const TRANSIENT: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.INTERNAL, status.CANCELLED, status.ABORTED]);

/** A connection to whichever member answers. */
export class EtcdConnection {
  readonly #clients: readonly Client[];
  /** A member that is cut off from the majority says so instead of answering from the past. */
  readonly #metadata = new Metadata();
  #current = 0;
  #closed = false;
  #quietUntilMs = 0;

  constructor(readonly endpoints: readonly string[], tls: EtcdTls | undefined) {
    this.#metadata.set("hasleader", "true");
    this.#clients = endpoints.map((endpoint) => (tls ? secureClient(endpoint, tls) : new Client(endpoint, credentials.createInsecure(), OPTIONS)));
  }

  /** One try; rejects with grpc-js's ServiceError. */
  call<Response>(method: Method<Response>, request: object): Promise<Response> {
    const member = this.#current;
    return new Promise((resolve, reject) => {
      (this.#clients[member] as Client).makeUnaryRequest(method.path, method.encode, method.decode, request, this.#metadata, { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, response) => {
        if (!error) return resolve(response as Response);
        this.#leave(member, error);
        reject(error);
      });
    });
  }

  /** Repeats `work` on transient failures for `patienceMs`; it is told which try this is, from 0. Throws EtcdUnavailable in the end. */
  async retry<T>(work: (attempt: number) => Promise<T>, patienceMs: number): Promise<T> {
    const backoff = new Backoff({ baseMs: 50, maxMs: 1000, jitter: 0.2 });
    const deadline = performance.now() + patienceMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return await work(attempt);
      } catch (cause) {
        if (!isServiceError(cause)) throw cause;
        if (!isTransient(cause) || this.#closed || performance.now() > deadline) throw this.#unavailable(cause);
        if (attempt === 0) this.#tell({ endpoints: this.endpoints, reason: reasonOf(cause), patienceMs });
        await systemClock.sleep(backoff.next());
      }
    }
  }

  /** Hands on what etcd says of a range until the signal aborts (resolves) or the stream breaks (rejects). */
  watch({ range, startRevision, signal, onResponse }: WatchRequest): Promise<void> {
    const member = this.#current;
    return new Promise((resolve, reject) => {
      const call = (this.#clients[member] as Client).makeBidiStreamRequest<object, WatchResponse>(WATCH.path, WATCH.encode, WATCH.decode, this.#metadata);
      const cancel = (): void => call.cancel();
      call.on("data", (response: WatchResponse) => {
        if (!signal.aborted) onResponse(response);
      });
      call.on("error", (error: ServiceError) => {
        if (signal.aborted) return resolve();
        this.#leave(member, error);
        reject(error);
      });
      call.on("end", () => (signal.aborted ? resolve() : reject(new EtcdUnavailable("etcd ended the watch"))));
      call.on("close", () => signal.removeEventListener("abort", cancel));
      signal.addEventListener("abort", cancel, { once: true });
      call.write({ createRequest: { ...range, startRevision, prevKv: true } });
      if (signal.aborted) cancel();
    });
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.close();
  }

  /** Once for many calls that failed together. */
  #tell(failure: object): void {
    if (performance.now() < this.#quietUntilMs) return;
    this.#quietUntilMs = performance.now() + QUIET_MS;
    log.warn(failure, "etcd did not answer; trying on");
  }

  #leave(member: number, error: ServiceError): void {
    if (isTransient(error) && this.#current === member) this.#current = (member + 1) % this.#clients.length;
  }

  #unavailable(cause: ServiceError): EtcdUnavailable {
    return new EtcdUnavailable(`etcd at ${this.endpoints.join(",")}: ${reasonOf(cause)}`, { cause });
  }
}

/** An address cannot be named in the handshake, so there another name is, and the certificate is still held against the address. */
function secureClient(endpoint: string, { caPem, keyPem, certPem }: EtcdTls): Client {
  const host = endpoint.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const checked = { checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate) };
  const named = isIP(host) ? { "grpc.ssl_target_name_override": "etcd" } : {};
  return new Client(endpoint, credentials.createSsl(pem(caPem), pem(keyPem), pem(certPem), checked), { ...OPTIONS, ...named });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as Partial<ServiceError>).code === "number";
}

/** What went wrong, without the notes grpc-js puts around it. */
function reasonOf({ details, message }: ServiceError): string {
  return (details || message).replace(/^.*Last error: (Error: )?/, "").replace(/\s*Resolution note:\s*$/, "").replace(/\.$/, "");
}

function isTransient({ code, details }: ServiceError): boolean {
  return TRANSIENT.has(code) || (code === status.RESOURCE_EXHAUSTED && details.includes("too many requests"));
}

function pem(text: string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
}

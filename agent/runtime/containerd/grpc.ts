// gRPC calls to a unix socket with messages described by embedded protobuf source, nothing read from disk.
// Which methods exist and what errors mean is the caller's.
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import protobuf from "protobufjs";

/** A unary method: path, and the names of its messages. */
export interface Method {
  readonly path: string;
  readonly request: string;
  readonly response: string;
}

const MAX_MESSAGE_BYTES = 64 << 20;
const DECODE = { longs: Number, enums: String, arrays: true, objects: true, defaults: true } as const;

/** Message types of one protobuf package. */
export class MessageTypes {
  readonly #root: protobuf.Root;
  readonly #package: string;
  /** Finding a message walks the whole tree of names. */
  readonly #found = new Map<string, protobuf.Type>();

  constructor(source: string) {
    const parsed = protobuf.parse(source);
    this.#root = parsed.root;
    this.#package = parsed.package ?? "";
  }

  /** Throws when a plain object does not fit the message. */
  encode(type: string, value: object): Buffer {
    const message = this.#type(type);
    return Buffer.from(message.encode(message.fromObject(value)).finish());
  }

  /** Every scalar, list and map is present; absent messages are null. */
  decode<T>(type: string, bytes: Uint8Array): T {
    const message = this.#type(type);
    return message.toObject(message.decode(bytes), DECODE) as T;
  }

  #type(name: string): protobuf.Type {
    const found = this.#found.get(name) ?? this.#root.lookupType(`${this.#package}.${name}`);
    this.#found.set(name, found);
    return found;
  }
}

/** One connection to a gRPC server; reconnects by itself. */
export class GrpcConnection {
  readonly #client: Client;

  constructor(socketPath: string) {
    this.#client = new Client(`unix://${socketPath}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2000,
      // A socket path has no service config; asking for one only costs time.
      "grpc.service_config_disable_resolution": 1,
    });
  }

  /** Resolves with the response; rejects with grpc-js's ServiceError, also when `timeoutMs` is over or the signal aborts. */
  call<T>(types: MessageTypes, method: Method, request: object, options: { readonly timeoutMs: number; readonly signal?: AbortSignal; readonly headers?: Readonly<Record<string, string>> }): Promise<T> {
    return new Promise((resolve, reject) => {
      const encode = (value: object): Buffer => types.encode(method.request, value);
      const decode = (bytes: Buffer): T => types.decode<T>(method.response, bytes);
      const cancel = (): void => call.cancel();
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(options.headers ?? {})) metadata.set(name, value);
      const call = this.#client.makeUnaryRequest(method.path, encode, decode, request, metadata, { deadline: Date.now() + options.timeoutMs }, (error, response) => {
        options.signal?.removeEventListener("abort", cancel);
        if (error) reject(error);
        else resolve(response as T);
      });
      if (options.signal?.aborted) cancel();
      options.signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Calls `onMessage` for each message until the stream ends, rejects or the signal aborts. */
  stream<T>(types: MessageTypes, method: Method, request: object, options: { readonly onMessage: (message: T) => void; readonly signal: AbortSignal }): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeServerStreamRequest(method.path, (value: object) => types.encode(method.request, value), (bytes: Buffer) => types.decode<T>(method.response, bytes), request);
      const cancel = (): void => call.cancel();
      call.on("data", options.onMessage);
      call.on("error", (error) => (options.signal.aborted ? resolve() : reject(error)));
      call.on("end", resolve);
      if (options.signal.aborted) cancel();
      options.signal.addEventListener("abort", cancel, { once: true });
      call.on("close", () => options.signal.removeEventListener("abort", cancel));
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** The gRPC status code of a failed call; undefined for other errors. */
export function grpcCode(error: unknown): status | undefined {
  const code = (error as Partial<ServiceError>).code;
  return error instanceof Error && typeof code === "number" ? code : undefined;
}

/** What the server said, without grpc-js's prefix. */
export function grpcDetails(error: unknown): string {
  return (error as Partial<ServiceError>).details || (error as Error).message;
}

export { status as GrpcStatus } from "@grpc/grpc-js";

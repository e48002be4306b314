// Writes a long reply piece by piece, as fast as the client takes it and never longer at once than others can wait.
// What the pieces are is `views.ts`'s business.
import { createGzip } from "node:zlib";
import { Turn } from "../../../lib/turns.ts";
import { replyHeaders, wantsGzip, type Exchange, type Response } from "./exchange.ts";

export type Piece = Buffer | string;

/** Pieces are written together once they are this long. */
const CHUNK_BYTES = 128 * 1024;

/** Answers 200 with the pieces put together. Breaks the reply off when making a piece throws, and throws the same. */
export async function replyInPieces(exchange: Exchange, pieces: Iterable<Piece>, headers: Readonly<Record<string, string>>): Promise<void> {
  const { request, response, audit } = exchange;
  if (response.headersSent || response.destroyed) return;
  const all = audit?.wantsResponse ? [...pieces] : pieces;
  audit?.responded(200, Array.isArray(all) ? wholeOf(all) : undefined);
  const isCompressed = wantsGzip(request);
  response.writeHead(200, { ...replyHeaders(exchange, headers), ...(isCompressed && { "content-encoding": "gzip", vary: "Accept-Encoding" }) });
  if (request.method === "HEAD") return void response.end();
  const plain = new PlainOutlet(response);
  const outlet = isCompressed ? new GzipOutlet(plain) : plain;
  try {
    await writeAll(all, outlet, response);
    await outlet.end();
  } catch (error) {
    // The client must not take what it has for the whole.
    response.destroy();
    throw error;
  }
}

function wholeOf(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece)));
}

interface Outlet {
  /** Resolves once more is welcome. */
  write(chunk: Buffer): Promise<void> | void;
  end(): Promise<void> | void;
}

async function writeAll(pieces: Iterable<Piece>, outlet: Outlet, response: Response): Promise<void> {
  const turn = new Turn();
  let gathered: Buffer[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    const part = typeof piece === "string" ? Buffer.from(piece) : piece;
    gathered.push(part);
    bytes += part.length;
    if (bytes >= CHUNK_BYTES) {
      await outlet.write(Buffer.concat(gathered, bytes));
      gathered = [];
      bytes = 0;
    }
    if (turn.isOver) await turn.next();
    if (response.destroyed) return;
  }
  if (bytes > 0) await outlet.write(Buffer.concat(gathered, bytes));
}

class PlainOutlet implements Outlet {
  #wake: (() => void) | undefined;

  constructor(private readonly response: Response) {
    const wake = (): void => this.#wake?.();
    response.on("drain", wake);
    response.on("close", wake);
  }

  write(chunk: Buffer): Promise<void> | void {
    const { response } = this;
    if (response.destroyed || response.write(chunk)) return;
    return new Promise((resolve) => (this.#wake = resolve));
  }

  end(): void {
    if (!this.response.destroyed) this.response.end();
  }
}

class GzipOutlet implements Outlet {
  readonly #gzip = createGzip({ level: 1 });
  #written: Promise<void> | void = undefined;

  constructor(private readonly next: PlainOutlet) {
    this.#gzip.on("data", (chunk: Buffer) => {
      this.#written = next.write(chunk);
    });
  }

  async write(chunk: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => this.#gzip.write(chunk, (error) => (error ? reject(error) : resolve())));
    await this.#written;
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#gzip.once("end", resolve));
    this.#gzip.end();
    await ended;
    this.next.end();
  }
}

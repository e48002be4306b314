// Two connections made one, for protocols nobody here looks into.
import { type Duplex, Writable } from "node:stream";
import { MessageSplitter } from "./messages.ts";

/** How long a peer is given to close its end after ours. */
const LINGER_MS = 5_000;

export interface JoinOptions {
  /** The upstream's messages are sent on one by one. */
  readonly isWebSocket?: boolean;
}

/** Joins two connections until either ends. An end is passed on behind what came before it; an error ends both. */
export function join(client: Duplex, upstream: Duplex, { isWebSocket = false }: JoinOptions = {}): void {
  client.pipe(upstream);
  upstream.pipe(isWebSocket ? messagesTo(client) : client);
  endTogether(client, upstream);
  endTogether(upstream, client);
}

function endTogether(from: Duplex, to: Duplex): void {
  // Either may have gone while the other was being reached.
  if (from.destroyed) return void to.destroy();
  from.on("error", () => to.destroy());
  from.on("close", () => (from.readableEnded ? leave(to) : to.destroy()));
}

/** Closes once all that came for it is out, which is when its end is: destroying takes it along, and so does a reset by what was not read. */
function leave(connection: Duplex): void {
  connection.resume();
  const linger = (): void => {
    const timer = setTimeout(() => connection.destroy(), LINGER_MS);
    connection.once("close", () => clearTimeout(timer));
  };
  if (connection.writableFinished) linger();
  else connection.once("finish", linger);
}

/**
 * Writes each message by itself. A socket puts what waits into one TLS record, and clients that wait on the bare socket,
 * as the Python library's, see only the first message of a record until something else arrives.
 */
function messagesTo(client: Duplex): Writable {
  const splitter = new MessageSplitter();
  const send = (pieces: Generator<Buffer>, done: (error?: Error | null) => void): void => {
    const next = pieces.next();
    if (next.done) return done();
    client.write(next.value, (error) => (error ? done(error) : send(pieces, done)));
  };
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => send(splitter.feed(chunk), done),
    final: (done) => {
      client.end(splitter.rest());
      done();
    },
  });
  // The client has gone; its own end is heard of by whoever joined it.
  sink.on("error", () => {});
  return sink;
}

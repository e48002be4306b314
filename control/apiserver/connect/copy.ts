// A reply of another server handed on as it comes.
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Response } from "../http/exchange.ts";

/** Copies as fast as the client takes it; whoever goes first takes the other along. */
export function copy(answer: IncomingMessage, response: Response): void {
  // The client may have gone before the answer came.
  if (response.destroyed) return void answer.destroy();
  answer.on("data", (chunk: Buffer) => {
    if (response.writableEnded || response.destroyed) return;
    if (!response.write(chunk)) {
      answer.pause();
      response.once("drain", () => answer.resume());
    }
  });
  answer.on("end", () => response.end());
  answer.on("error", () => response.destroy());
  answer.on("aborted", () => response.destroy());
  response.on("close", () => answer.destroy());
}

/** Takes a request back when the client goes before there is an answer. */
export function cancelWith(response: Response, outgoing: ClientRequest): void {
  if (response.destroyed) return void outgoing.destroy();
  response.on("close", () => outgoing.destroy());
}

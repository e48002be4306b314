// One question to one resolver outside: UDP, then TCP when the answer did not fit.
// Messages pass through as bytes; only the id is ours.
import { connect } from "node:net";

export interface Resolver {
  readonly address: string;
  readonly port: number;
}

export const HEADER_BYTES = 12;
const MAX_MESSAGE_BYTES = 65_535;

/** Sends a query and resolves with the reply, both whole DNS messages; rejects after `timeoutMs`. */
export async function exchange(query: Uint8Array, resolver: Resolver, timeoutMs: number): Promise<Buffer> {
  const request = Buffer.from(query);
  // A fresh id and a fresh port each time: together they are what keeps forged replies out.
  request.writeUInt16BE(crypto.getRandomValues(new Uint16Array(1))[0] as number, 0);
  const reply = await overUdp(request, resolver, timeoutMs);
  return isTruncated(reply) ? overTcp(request, resolver, timeoutMs) : reply;
}

async function overUdp(request: Buffer, { address, port }: Resolver, timeoutMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = await Bun.udpSocket({
    connect: { hostname: address, port },
    socket: {
      data: (_socket, data) => { if (answers(data, request)) resolve(Buffer.from(data)); },
      error: (_socket, error) => reject(error),
    },
  });
  const timer = setTimeout(() => reject(new Error(`${address} did not answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    socket.send(request);
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

function overTcp(request: Buffer, { address, port }: Resolver, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const fail = (error: Error): void => { socket.destroy(); reject(error); };
    const timer = setTimeout(() => fail(new Error(`${address} did not answer over TCP within ${timeoutMs} ms`)), timeoutMs);
    socket.on("connect", () => socket.write(framed(request)));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk as Buffer]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      if (!answers(message, request)) return fail(new Error(`${address} answered another question over TCP`));
      socket.end();
      resolve(message);
    });
    socket.on("error", fail);
    socket.on("close", () => { clearTimeout(timer); reject(new Error(`${address} closed the connection`)); });
  });
}

/** A message with the length before it, as TCP carries it. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(2 + Math.min(message.length, MAX_MESSAGE_BYTES));
  frame.writeUInt16BE(message.length, 0);
  frame.set(message, 2);
  return frame;
}

/** Whether a message is the reply to this very question. */
function answers(reply: Uint8Array, request: Buffer): boolean {
  if (reply.length < HEADER_BYTES || reply[0] !== request[0] || reply[1] !== request[1] || ((reply[2] as number) & 0x80) === 0) return false;
  const question = questionBytes(request);
  return reply.length >= HEADER_BYTES + question.length && Buffer.from(reply).subarray(HEADER_BYTES, HEADER_BYTES + question.length).toString("latin1").toLowerCase() === question.toString("latin1").toLowerCase();
}

/** Name, type and class of the single question. */
export function questionBytes(message: Buffer): Buffer {
  let end = HEADER_BYTES;
  while (end < message.length && message[end] !== 0) end += (message[end] as number) + 1;
  return message.subarray(HEADER_BYTES, end + 5);
}

function isTruncated(reply: Buffer): boolean {
  return ((reply[2] as number) & 0x02) !== 0;
}

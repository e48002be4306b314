// DNS over UDP and TCP on one address; what to say is `answer`'s business.
// Bounded: idle or too many TCP connections are closed.
import { createServer, type Server, type Socket } from "node:net";
import { decode } from "dns-packet";
import { fit } from "./compress.ts";
import { framed } from "./upstream.ts";

export interface DnsServerOptions {
  readonly hostname: string;
  /** 0 picks one; UDP and TCP then share it. */
  readonly port: number;
  /** The reply to one message, or undefined for none. */
  readonly answer: (message: Buffer) => Promise<Buffer | undefined>;
}

/** A serving DNS server. */
export interface DnsServer {
  readonly port: number;
  stop(): Promise<void>;
}

const PLAIN_UDP_BYTES = 512;
/** What crosses any path unfragmented: DNS flag day 2020. */
const MAX_UDP_BYTES = 1232;
const MAX_SEND_ATTEMPTS = 3;
const MAX_TCP_CONNECTIONS = 1000;
const TCP_IDLE_MS = 10_000;
/** Messages of one connection under way at once; more wait in the socket. */
const MAX_PIPELINED = 64;

/** Starts serving; rejects when the address is not held here or the port is taken. */
export async function serveDns({ hostname, port, answer }: DnsServerOptions): Promise<DnsServer> {
  const udp = await Bun.udpSocket({
    hostname, port,
    socket: {
      data: (socket, data, fromPort, from) => {
        const message = Buffer.from(data);
        void answer(message).then((reply) => {
          if (reply && !socket.closed) send(() => socket.send(fit(reply, udpLimit(message)), fromPort, from));
          return undefined;
        });
      },
      // Same reports, delivered between sends.
      error: () => undefined,
    },
  });
  try {
    const tcp = await serveTcp({ hostname, port: udp.port, answer });
    return { port: udp.port, stop: async () => { udp.close(); await tcp(); } };
  } catch (error) {
    udp.close();
    throw error;
  }
}

async function serveTcp({ hostname, port, answer }: DnsServerOptions): Promise<() => Promise<void>> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    serveConnection(socket, answer);
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, hostname, resolve));
  return () => new Promise((resolve) => {
    for (const socket of open) socket.destroy();
    server.close(() => resolve());
  });
}

function serveConnection(socket: Socket, answer: DnsServerOptions["answer"]): void {
  let buffered = Buffer.alloc(0);
  let underWay = 0;
  const take = (): void => {
    while (underWay < MAX_PIPELINED && buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
      const end = 2 + buffered.readUInt16BE(0);
      const message = Buffer.from(buffered.subarray(2, end));
      buffered = buffered.subarray(end);
      underWay++;
      void answer(message).then((reply) => {
        underWay--;
        if (reply && !socket.destroyed) socket.write(framed(reply));
        socket.resume();
        take();
        return undefined;
      });
    }
    if (underWay >= MAX_PIPELINED) socket.pause();
  };
  socket.on("data", (chunk) => {
    buffered = Buffer.concat([buffered, chunk as Buffer]);
    take();
  });
}

/** The kernel reports that an earlier client closed its port on whichever send comes next, instead of sending: that one is repeated. */
function send(attempt: () => unknown): void {
  for (let left = MAX_SEND_ATTEMPTS; left > 0; left--) {
    try {
      attempt();
      return;
    } catch {
      continue;
    }
  }
}

/** What a client said it can take. */
function udpLimit(query: Buffer): number {
  try {
    const opt = decode(query).additionals?.find((record) => record.type === "OPT") as { udpPayloadSize?: number } | undefined;
    return Math.min(MAX_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, opt?.udpPayloadSize ?? PLAIN_UDP_BYTES));
  } catch {
    return PLAIN_UDP_BYTES;
  }
}

// A request that asks to leave HTTP: refusing it in plain HTTP, or switching its socket to SPDY/3.1.
// WebSockets switch in `agent/websocket/`.
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** A request with the socket it came on and what the client sent behind it. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

const PROTOCOL_HEADER = "X-Stream-Protocol-Version";

/** Answers with an ordinary response and closes. */
export function refuse({ socket }: Upgrade, code: number, message: string, headers: Readonly<Record<string, string>> = {}): void {
  const extra = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.on("error", () => socket.destroy());
  socket.end([`HTTP/1.1 ${code} ${STATUS_CODES[code] ?? ""}`, "Content-Type: text/plain; charset=utf-8", `Content-Length: ${Buffer.byteLength(message)}`, "Connection: close", ...extra, "", message].join("\r\n"));
}

/** The first protocol of the client's that the server speaks; `undefined` when there is none, empty when the client asked for none. */
export function negotiate(request: IncomingMessage, supported: readonly string[]): string | undefined {
  const offered = (request.headers[PROTOCOL_HEADER.toLowerCase()] ?? "").toString().split(",").map((name) => name.trim()).filter(Boolean);
  return offered.length === 0 ? "" : offered.find((name) => supported.includes(name));
}

/** Accepts with SPDY in `protocol`, or refuses and returns false. */
export function switchToSpdy(upgrade: Upgrade, protocol: string | undefined, supported: readonly string[]): boolean {
  const { request, socket, head } = upgrade;
  if (request.headers.upgrade?.toLowerCase() !== "spdy/3.1") {
    refuse(upgrade, 400, "unable to upgrade: missing upgrade headers in request");
    return false;
  }
  if (protocol === undefined) {
    refuse(upgrade, 403, `unable to upgrade: unable to negotiate protocol: client supports ${String(request.headers[PROTOCOL_HEADER.toLowerCase()])}, server accepts [${supported.join(" ")}]`, { "X-Accepted-Stream-Protocol-Versions": supported.join(", ") });
    return false;
  }
  socket.write(["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1", ...(protocol ? [`${PROTOCOL_HEADER}: ${protocol}`] : []), "", ""].join("\r\n"));
  if (head.length > 0) socket.unshift(head);
  return true;
}

// Speaks to API servers that stand behind a Service: as the front proxy, which vouches for who the caller is.
// Headers: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import type { Duplex, Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import { serviceUnavailable } from "../../../../api/errors.ts";
import { locate } from "../../connect/location.ts";
import type { Engine } from "../../engine.ts";
import type { UserInfo } from "../../request.ts";
import type { ApiServiceSpec } from "./apiservice.ts";

/** How this API server shows itself to others, PEM. */
export interface FrontProxy {
  readonly cert: string;
  readonly key: string;
}

export interface RemoteCall {
  readonly spec: ApiServiceSpec;
  readonly user: UserInfo;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers?: IncomingHttpHeaders;
  readonly body?: Readable;
  readonly timeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 30_000;
/** Headers that belong to one hop, or that only a front proxy may set. */
const DROPPED = /^(:|connection$|keep-alive$|proxy-connection$|transfer-encoding$|upgrade$|te$|trailer$|host$|authorization$|http2-settings$|expect$|impersonate-|x-remote-)/;

/** Sends a request on; rejects with 503 when nobody answers. */
export function askRemote(engine: Engine, proxy: FrontProxy, call: RemoteCall): Promise<IncomingMessage> {
  const options = optionsFor(engine, proxy, call);
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(options, resolve);
    if (call.timeoutMs !== undefined) outgoing.setTimeout(call.timeoutMs, () => outgoing.destroy(new Error("context deadline exceeded")));
    outgoing.on("error", (error) => reject(serviceUnavailable(`error trying to reach service: ${error.message}`)));
    if (call.body) call.body.pipe(outgoing);
    else outgoing.end();
  });
}

/** Asks for another protocol; resolves with the connection the request went out on, to be joined to the caller's. */
export function openRemote(engine: Engine, proxy: FrontProxy, call: RemoteCall & { readonly upgrade: string }): Promise<Duplex> {
  const { host, port, servername, headers, cert, key, ca, rejectUnauthorized } = optionsFor(engine, proxy, call) as RequestOptions & { host: string; port: number; servername: string; headers: Record<string, string | string[]> };
  const lines = [`${call.method} ${call.path} HTTP/1.1`, "Connection: Upgrade", `Upgrade: ${call.upgrade}`];
  for (const [name, value] of Object.entries(headers)) for (const one of Array.isArray(value) ? value : [value]) lines.push(`${name}: ${one}`);
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port, servername, cert, key, ca, rejectUnauthorized, ALPNProtocols: ["http/1.1"] });
    const timer = setTimeout(() => socket.destroy(new Error("i/o timeout")), CONNECT_TIMEOUT_MS);
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(serviceUnavailable(`error dialing backend: ${error.message}`));
    });
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      socket.write(`${lines.join("\r\n")}\r\n\r\n`);
      resolve(socket);
    });
  });
}

function optionsFor(engine: Engine, { cert, key }: FrontProxy, { spec, user, method, path, headers = {} }: RemoteCall): RequestOptions {
  const { service } = spec;
  if (!service) throw new Error(`${spec.version}.${spec.group ?? ""} is served here`);
  const target = { type: "resource", verb: "get", group: "", version: "v1", plural: "services", namespace: service.namespace, name: `https:${service.name}:${service.port ?? 443}`, subresource: "proxy", rest: "" } as const;
  const found = locate(engine, target, new URLSearchParams());
  if (!found) throw serviceUnavailable("service unavailable");
  const serverName = `${service.name}.${service.namespace}.svc`;
  const trust = spec.insecureSkipTLSVerify ? { rejectUnauthorized: false } : { ...(spec.caBundle && { ca: Buffer.from(spec.caBundle, "base64").toString() }), rejectUnauthorized: true };
  return { host: found.host, port: found.port, method, path, cert, key, servername: serverName, ...trust, headers: { ...forwarded(headers), ...identity(user), host: serverName } };
}

function forwarded(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  return Object.fromEntries(Object.entries(headers).filter(([name, value]) => value !== undefined && !DROPPED.test(name))) as Record<string, string | string[]>;
}

function identity({ name, uid, groups, extra = {} }: UserInfo): Record<string, string | string[]> {
  const extras = Object.entries(extra).map(([key, values]) => [`X-Remote-Extra-${encodeURIComponent(key)}`, [...values]]);
  return { "X-Remote-User": name, ...(uid && { "X-Remote-Uid": uid }), "X-Remote-Group": [...groups], ...(Object.fromEntries(extras) as Record<string, string[]>) };
}

/** Reads a whole reply as text, up to a limit. */
export async function textOf(answer: IncomingMessage, maxBytes = 16 * 1024 * 1024): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer) {
    size += (chunk as Buffer).length;
    if (size > maxBytes) throw new Error("the reply is too large");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

// An API server for tests: memory store and the real schema, optionally over HTTPS on a free port.
// The X.509 library needs its polyfill before it is loaded.
// oxlint-disable-next-line import/no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Client } from "../../api/client/client.ts";
import type { AnyObject } from "../../api/types.ts";
import { ProtobufDecoder } from "../../api/protobuf/decode.ts";
import { SchemaCodec } from "../../api/schema/codec.ts";
import { SchemaEngine } from "../../api/schema/engine.ts";
import { openMemoryStore } from "../store/memory.ts";
import type { Authenticator, Authorizer } from "./auth/auth.ts";
import { sharing } from "./cache/entry.ts";
import type { UserInfo } from "./request.ts";
import { createApiServer, type ApiServer, type ApiServerDeps, type HttpOptions } from "./server.ts";
import type { ServingCertificate } from "./http/server.ts";

/** A running server; `stop` also closes its store. */
export interface TestServer {
  readonly server: ApiServer;
  readonly client: Client;
  readonly url: string;
  stop(): Promise<void>;
}

export const ADMIN: UserInfo = { name: "admin", groups: ["system:masters", "system:authenticated"] };

/** Knows one token, `admin`. */
export const adminToken: Authenticator = { authenticate: ({ bearerToken }) => (bearerToken === "admin" ? ADMIN : undefined) };
/** Allows whatever a member of system:masters does. */
export const mastersOnly: Authorizer = { authorize: ({ user }) => ({ allowed: user.groups.includes("system:masters") }) };

export interface TestOptions extends Partial<Omit<ApiServerDeps, "http">> {
  /** Listen on 127.0.0.1; clients authenticate with the bearer token `admin`. */
  readonly http?: boolean | Partial<HttpOptions>;
}

/** Starts a server that nothing else shares. */
export async function startTestServer(options: TestOptions = {}): Promise<TestServer> {
  const { http, ...deps } = options;
  // Whoever changes an object of the cache must fail here, not puzzle somebody in production.
  sharing.freeze = true;
  const store = deps.store ?? (await openMemoryStore());
  const given = typeof http === "object" ? http : {};
  const server = createApiServer({ codec: new SchemaCodec(new SchemaEngine()), protobuf: new ProtobufDecoder(), ...deps, store, ...(http && { http: { host: "127.0.0.1", port: 0, certificate: await selfSigned(), authenticators: [adminToken], authorizer: mastersOnly, ...given } }) });
  await server.start();
  const stop = async (): Promise<void> => {
    await server.stop();
    await store.close();
  };
  return { server, client: server.localClient(), url: `https://127.0.0.1:${server.port}`, stop };
}

let made: Promise<ServingCertificate> | undefined;

/** A self-signed certificate for 127.0.0.1 and localhost, the same for the whole process. */
export function selfSigned(): Promise<ServingCertificate> {
  return (made ??= makeCertificate("test"));
}

/** A new self-signed certificate. */
export async function makeCertificate(commonName: string): Promise<ServingCertificate> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${commonName}`, keys, signingAlgorithm: algorithm, notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 86_400_000),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }, { type: "dns", value: "localhost" }])],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  return { cert: certificate.toString("pem"), key };
}


/** One call over HTTPS as `admin` (or with the headers given), its body parsed when it is JSON. */
export async function call(server: TestServer, method: string, path: string, options: CallOptions = {}): Promise<{ status: number; headers: Headers; body: AnyObject; text: string }> {
  const { body, headers } = options;
  const isText = typeof body === "string";
  const response = await fetch(`${server.url}${path}`, {
    method, tls: { rejectUnauthorized: false }, redirect: "manual",
    headers: { authorization: "Bearer admin", ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: isText ? body : body instanceof Uint8Array ? body : JSON.stringify(body) }),
  } as RequestInit);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: (text.startsWith("{") ? JSON.parse(text) : {}) as AnyObject };
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session, type ServerHttp2Stream, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { TLSSocket } from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, DAY_MS, issue, type KeyPair } from "../../control/pki/certificates.ts";
import { modifiedConflict, tooManyRequests } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import type { Pod } from "../types.ts";
import { HttpClient, type HttpClientOptions } from "./http.ts";
import { loadKubeconfig } from "./kubeconfig.ts";

const POD = builtinKind("", "v1", "Pod");
interface Request { readonly headers: IncomingHttpHeaders; readonly body: string; readonly stream: ServerHttp2Stream }

let authority: KeyPair;
let serving: KeyPair;
let client1: KeyPair;
let client2: KeyPair;
let server: Http2SecureServer;
let port = 0;
let answer: (request: Request) => void = () => undefined;
const sessions = new Set<ServerHttp2Session>();
const clients: HttpClient[] = [];

beforeAll(async () => {
  authority = await createAuthority("test-ca", DAY_MS);
  serving = await issue(authority, { commonName: "server", ipAddresses: ["127.0.0.1"], usages: ["server auth"], lifetimeMs: DAY_MS });
  client1 = await issue(authority, { commonName: "one", usages: ["client auth"], lifetimeMs: DAY_MS });
  client2 = await issue(authority, { commonName: "two", usages: ["client auth"], lifetimeMs: DAY_MS });
  await listen(0);
});
afterEach(() => clients.splice(0).forEach((client) => client.close()));
afterAll(() => close());

async function listen(at: number): Promise<void> {
  server = createSecureServer({ cert: serving.certPem, key: serving.keyPem, ca: authority.certPem, requestCert: true, rejectUnauthorized: false });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    let body = "";
    stream.on("error", () => undefined);
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => (body += chunk));
    stream.on("end", () => answer({ headers, body, stream }));
  });
  await new Promise<void>((resolve) => server.listen(at, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
}
async function close(): Promise<void> {
  for (const session of sessions) session.destroy();
  await new Promise((resolve) => server.close(resolve));
}
function aClient(options: Partial<HttpClientOptions> = {}): HttpClient {
  const client = new HttpClient({ server: `https://127.0.0.1:${port}`, caPem: authority.certPem, ...options });
  clients.push(client);
  return client;
}
const reply = (stream: ServerHttp2Stream, status: number, body: unknown, headers: Record<string, string> = {}): void => {
  stream.respond({ ":status": status, "content-type": "application/json", ...headers });
  stream.end(JSON.stringify(body));
};
async function watchPods(signal: AbortSignal): Promise<string> {
  for await (const _ of aClient().watch(POD, { signal })) return "event";
  return "ended";
}
const thrown = (promise: Promise<unknown>): Promise<Error & { code?: number }> => promise.then(() => { throw new Error("nothing was thrown"); }, (error: Error) => error);

describe("the HTTP client", () => {
  test("asks for paths as the API spells them", async () => {
    const asked: string[] = [];
    answer = ({ headers, stream, body }) => {
      asked.push(`${headers[":method"]} ${headers[":path"]} ${headers["content-type"] ?? ""} ${body}`.trim());
      reply(stream, 200, { items: [], metadata: {} });
    };
    const client = aClient();
    await client.get(builtinKind("apps", "v1", "Deployment"), { namespace: "a", name: "b" });
    await client.list(POD, { labelSelector: "a=b" });
    await client.update(builtinKind("", "v1", "Node"), { metadata: { name: "n" } }, { subresource: "status" });
    await client.patch(POD, { namespace: "a", name: "b" }, { x: 1 }, { type: "apply", force: true, fieldManager: "me" });
    await client.delete(POD, { namespace: "a", name: "b" }, { gracePeriodSeconds: 0 });
    await client.post(POD, { namespace: "a", name: "b" }, "binding", { target: {} });
    expect(asked).toEqual([
      "GET /apis/apps/v1/namespaces/a/deployments/b",
      "GET /api/v1/pods?labelSelector=a%3Db",
      'PUT /api/v1/nodes/n/status application/json {"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}',
      'PATCH /api/v1/namespaces/a/pods/b?fieldManager=me&force=true application/apply-patch+yaml {"x":1}',
      'DELETE /api/v1/namespaces/a/pods/b application/json {"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}',
      'POST /api/v1/namespaces/a/pods/b/binding application/json {"target":{}}',
    ]);
  });

  test("turns a refusal into the error it was", async () => {
    answer = ({ stream }) => reply(stream, 409, modifiedConflict(POD, "p").toStatus());
    const error = await thrown(aClient().get(POD, { namespace: "a", name: "p" }));
    expect(error.message).toContain("the object has been modified");
    expect(error.code).toBe(409);
  });

  test("gives list items the kind the server leaves out", async () => {
    answer = ({ stream }) => reply(stream, 200, { apiVersion: "v1", kind: "PodList", metadata: {}, items: [{ metadata: { name: "p" } }] });
    expect((await aClient().list<Pod>(POD)).items[0]).toMatchObject({ apiVersion: "v1", kind: "Pod" });
  });

  test("waits when told to try later", async () => {
    let asked = 0;
    answer = ({ stream }) => (++asked === 1 ? reply(stream, 429, tooManyRequests("slow down", 0).toStatus(), { "retry-after": "0" }) : reply(stream, 200, { metadata: { name: "p" } }));
    expect((await aClient().get(POD, { namespace: "a", name: "p" })).metadata.name).toBe("p");
    expect(asked).toBe(2);
  });

  test("finds the server again after it was restarted", async () => {
    answer = ({ stream }) => reply(stream, 200, { metadata: { name: "p" } });
    const client = aClient();
    await client.get(POD, { namespace: "a", name: "p" });
    await close();
    const error = await thrown(client.get(POD, { namespace: "a", name: "p" }));
    expect(error.name).toBe("TransportError");
    await listen(port);
    expect((await client.get(POD, { namespace: "a", name: "p" })).metadata.name).toBe("p");
  });

  test("streams a watch, whatever way its lines are cut, and reports the server's error", async () => {
    answer = ({ stream }) => {
      stream.respond({ ":status": 200 });
      stream.write('{"type":"ADDED","object":{"metadata":{"name":"é');
      setTimeout(() => {
        stream.write('1"}}}\n{"type":"MODIFIED","object":{"metadata":{"name":"2"}}}\n');
        stream.end('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}}\n');
      }, 5);
    };
    const seen: string[] = [];
    const watching = async (): Promise<void> => {
      for await (const event of aClient().watch(POD, { signal: AbortSignal.timeout(5000) })) seen.push(`${event.type} ${event.object.metadata.name}`);
    };
    const error = await thrown(watching());
    expect(seen).toEqual(["ADDED é1", "MODIFIED 2"]);
    expect(error.code).toBe(410);
  });

  test("a watch ends quietly when aborted and loudly when the connection breaks", async () => {
    answer = ({ stream }) => stream.respond({ ":status": 200 });
    const stop = new AbortController();
    const aborted = watchPods(stop.signal);
    await Bun.sleep(30);
    stop.abort();
    expect(await aborted).toBe("ended");
    const broken = watchPods(AbortSignal.timeout(5000)).catch(() => "threw");
    await Bun.sleep(30);
    for (const session of sessions) session.destroy();
    expect(["threw", "ended"]).toContain(await broken);
  });

  test("gives up on a server that never answers", async () => {
    answer = () => undefined;
    const error = await thrown(aClient({ requestTimeoutMs: 30 }).create(POD, { metadata: { name: "p", namespace: "a" } }));
    expect(error.message).toContain("no answer within 30 ms");
  });

  test("refuses a server its authority did not sign", async () => {
    const other = await createAuthority("other", DAY_MS);
    const error = await thrown(aClient({ caPem: other.certPem }).get(POD, { namespace: "a", name: "p" }));
    expect(error.message).toContain("cannot reach");
  });

  test("shows its certificate, and another one as soon as it has one", async () => {
    answer = ({ stream }) => {
      const socket = stream.session?.socket as unknown as TLSSocket;
      reply(stream, 200, { metadata: { name: socket.getPeerCertificate().subject.CN } });
    };
    let current = client1;
    const client = aClient({ clientCertificate: () => current });
    expect((await client.get(POD, { namespace: "a", name: "p" })).metadata.name).toBe("one");
    current = client2;
    expect((await client.get(POD, { namespace: "a", name: "p" })).metadata.name).toBe("two");
  });

  test("is configured by a kubeconfig, files beside it included", async () => {
    const directory = mkdtempSync(join(tmpdir(), "controllers-kubeconfig-"));
    try {
      writeFileSync(join(directory, "token"), "secret\n");
      writeFileSync(join(directory, "ca.crt"), authority.certPem);
      writeFileSync(join(directory, "config"), JSON.stringify({
        "current-context": "c", contexts: [{ name: "c", context: { cluster: "k", user: "u", namespace: "ns" } }],
        clusters: [{ name: "k", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority": "ca.crt" } }],
        users: [{ name: "u", user: { tokenFile: "token" } }],
      }));
      answer = ({ stream, headers }) => reply(stream, 200, { metadata: { name: headers.authorization } });
      const options = loadKubeconfig(join(directory, "config"));
      expect(options.namespace).toBe("ns");
      expect((await aClient(options).get(POD, { namespace: "a", name: "p" })).metadata.name).toBe("Bearer secret");
      expect(() => loadKubeconfig(join(directory, "config"), "other")).toThrow('no context named "other"');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

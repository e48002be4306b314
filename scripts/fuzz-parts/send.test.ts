import { expect, test } from "bun:test";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { createAuthority, DAY_MS, issue } from "../../control/pki/certificates.ts";
import { Sender, type Protocol } from "./send.ts";

test.each<Protocol>(["h1", "h2"])("what a DELETE carries arrives as its body (%s)", async (protocol) => {
  const authority = await createAuthority("fuzz", DAY_MS);
  const { certPem, keyPem } = await issue(authority, { commonName: "localhost", usages: ["server auth"], lifetimeMs: DAY_MS });
  const server = createSecureServer({ cert: certPem, key: keyPem, allowHTTP1: true, ALPNProtocols: ["h2", "http/1.1"] });
  server.on("request", (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => response.end(Buffer.concat(chunks)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const sender = new Sender({ url: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`), certificate: undefined, token: undefined });
  try {
    const { status, body } = await sender.send({ method: "DELETE", path: "/", headers: { "content-type": "application/json" }, body: Buffer.from('{"kind":"DeleteOptions"}') }, protocol);
    expect([status, body.toString()]).toEqual([200, '{"kind":"DeleteOptions"}']);
  } finally {
    sender.close();
    server.close();
  }
});

import { expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { ADMIN, makeCertificate, startTestServer } from "../testing.ts";

/** A TLS 1.2 greeting: up to that version a server asks for certificates in the clear. */
const GREETING = Buffer.from([
  "1603010056", "01000052", "0303", "00".repeat(32), "00", "0004c02bc02f", "0100", "0025",
  "000a00060004001d0017", "000b00020100", "000d00080006040308040401", "00170000", "ff01000100",
].join(""), "hex");

/** Everything the server says in the clear. */
function greeted(port: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => socket.write(GREETING));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      // ServerHelloDone ends what it has to say.
      if (!Buffer.concat(chunks).includes(Buffer.from("0e000000", "hex"))) return;
      socket.destroy();
      resolve(Buffer.concat(chunks));
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks)));
  });
}

test("clients are told whose certificates are of use, with a renewed certificate too, and others' are still handed on to be judged", async () => {
  const authority = await makeCertificate("who-signs-clients");
  const other = await makeCertificate("somebody-else");
  const own = await startTestServer({ http: { clientAuthorities: [authority.cert], authenticators: [{ authenticate: ({ peerCertificate }) => (peerCertificate ? ADMIN : undefined) }] } });
  try {
    expect((await greeted(own.server.port)).includes("who-signs-clients")).toBe(true);
    own.server.replaceCertificate(await makeCertificate("renewed"));
    const renewed = await greeted(own.server.port);
    expect([renewed.includes("renewed"), renewed.includes("who-signs-clients")]).toEqual([true, true]);
    const session = connectHttp2(own.url, { ...other, rejectUnauthorized: false });
    const status = await new Promise<number>((resolve, reject) => session.request({ ":path": "/api/v1/namespaces" }).on("response", (headers) => resolve(Number(headers[":status"]))).on("error", reject).end());
    session.destroy();
    expect(status).toBe(200);
  } finally {
    await own.stop();
  }
});

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, encode, RECURSION_DESIRED, type Answer, type DecodedPacket, type RecordType } from "dns-packet";
import { builtinKind } from "../../api/registry.ts";
import { FakeClock } from "../../lib/clock.ts";
import type { Exec } from "../../lib/exec.ts";
import { aService, aSlice, FakeInformers } from "../testing.ts";
import { createDns } from "./dns.ts";
import { serveDns, type DnsServer } from "./server.ts";
import { exchange, framed } from "./upstream.ts";

const SERVICE = builtinKind("", "v1", "Service");
const SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");
const NAMESPACE = builtinKind("", "v1", "Namespace");
const exec: Exec = async () => ({ exitCode: 0, stdout: "", stderr: "" });

type Reply = DecodedPacket & { rcode: string };

let scope: AsyncDisposableStack;
let informers: FakeInformers;
let clock: FakeClock;
let port: number;
/** Questions the resolver outside was asked, and what it says. */
let asked: string[];
let outside: (name: string) => Promise<readonly Answer[]>;

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  informers = new FakeInformers();
  informers.put(NAMESPACE, { metadata: { name: "ns" } });
  informers.put(SERVICE, aService());
  clock = new FakeClock(1_000_000);
  asked = [];
  outside = async (name) => [{ type: "A", name, ttl: 60, data: "198.51.100.1" }];
  const resolver = await startResolver();
  port = await startDns(resolver.port);
});
afterEach(() => scope.disposeAsync());

async function startResolver(): Promise<DnsServer> {
  const resolver = await serveDns({
    hostname: "127.0.0.1", port: 0,
    answer: async (message) => {
      const query = decode(message);
      const question = query.questions?.[0];
      if (!question || question.name.endsWith(".minik8s-loop")) return undefined;
      asked.push(question.name);
      return encode({ type: "response", id: query.id, questions: [question], answers: [...(await outside(question.name))] });
    },
  });
  scope.defer(() => resolver.stop());
  return resolver;
}

async function startDns(upstreamPort: number, nameserver = "127.0.0.1"): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "m8net-dns-"));
  scope.defer(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "resolv.conf"), `# none\nsearch example.com\nnameserver ${nameserver}\n`);
  const dns = createDns({ informers, clusterDomain: "cluster.local", dnsIp: "127.0.0.1", exec, clock, resolvConf: join(dir, "resolv.conf"), port: 0, upstreamPort });
  await dns.start();
  scope.defer(() => dns.stop());
  return dns.port;
}

async function ask(name: string, type: RecordType = "A", more: { additionals?: Answer[] } = {}): Promise<Reply> {
  const query = encode({ type: "query", flags: RECURSION_DESIRED, questions: [{ name, type, class: "IN" }], ...more });
  return decode(await exchange(query, { address: "127.0.0.1", port }, 2000)) as Reply;
}
const data = (reply: Reply): unknown[] => (reply.answers ?? []).map((answer) => ("data" in answer ? answer.data : undefined));

describe("cluster names", () => {
  test("are answered with authority, whatever their case", async () => {
    const reply = await ask("WEB.ns.svc.cluster.local");
    expect(reply).toMatchObject({ rcode: "NOERROR", flag_aa: true, flag_ra: true, answers: [{ name: "WEB.ns.svc.cluster.local", data: "10.96.0.80" }] });
    expect(asked).toEqual([]);
  });

  test("that do not exist say so with a SOA, and never leave the node", async () => {
    const reply = await ask("web.ns.svc.cluster.local.ns.svc.cluster.local");
    expect(reply).toMatchObject({ rcode: "NXDOMAIN", answers: [], authorities: [{ type: "SOA", name: "cluster.local", ttl: 5 }] });
    expect(asked).toEqual([]);
  });

  test("with no record of a type exist all the same", async () => {
    expect(await ask("web.ns.svc.cluster.local", "AAAA")).toMatchObject({ rcode: "NOERROR", answers: [], authorities: [{ type: "SOA" }] });
  });

  test("appear as soon as their Service does", async () => {
    informers.put(SERVICE, aService({ clusterIP: "10.96.0.81" }, { name: "new" }));
    expect(data(await ask("new.ns.svc.cluster.local"))).toEqual(["10.96.0.81"]);
  });

  test("of an ExternalName come with what their target resolves to", async () => {
    informers.put(SERVICE, aService({ type: "ExternalName", externalName: "example.com", clusterIP: "", clusterIPs: [] }));
    expect(data(await ask("web.ns.svc.cluster.local"))).toEqual(["example.com", "198.51.100.1"]);
  });

  test("too many for UDP arrive over TCP", async () => {
    informers.put(SERVICE, aService({ clusterIP: "None", clusterIPs: ["None"] }));
    informers.put(SLICE, aSlice(Array.from({ length: 200 }, (_, index) => `10.244.1.${index + 1}`)));
    expect(data(await ask("web.ns.svc.cluster.local"))).toHaveLength(200);
  });
});

describe("other names", () => {
  test("are asked of the node's resolver once, and kept for their TTL", async () => {
    expect(data(await ask("example.com"))).toEqual(["198.51.100.1"]);
    await clock.advance(20_000);
    expect((await ask("EXAMPLE.com")).answers?.[0]).toMatchObject({ ttl: 40 });
    expect(asked).toEqual(["example.com"]);
    await clock.advance(41_000);
    await ask("example.com");
    expect(asked).toHaveLength(2);
  });

  test("asked by many at once are asked outside once", async () => {
    const gate = Promise.withResolvers<void>();
    outside = async (name) => { await gate.promise; return [{ type: "A", name, ttl: 0, data: "198.51.100.1" }]; };
    const replies = Array.from({ length: 20 }, () => ask("example.com"));
    await Bun.sleep(50);
    gate.resolve();
    expect((await Promise.all(replies)).every((reply) => data(reply)[0] === "198.51.100.1")).toBe(true);
    expect(asked).toEqual(["example.com"]);
  });

  test("too long for UDP are fetched over TCP", async () => {
    outside = async (name) => Array.from({ length: 100 }, (_, index) => ({ type: "A" as const, name, ttl: 60, data: `198.51.100.${index}` }));
    expect(data(await ask("many.example.com"))).toHaveLength(100);
  });

  test("nobody can answer fail, and soon", async () => {
    port = await startDns(1, "127.0.0.1");
    expect((await ask("example.com")).rcode).toBe("SERVFAIL");
  });

  test("are not forwarded to a resolver that forwards to us", async () => {
    let us = 0;
    const looping = await serveDns({ hostname: "127.0.0.1", port: 0, answer: (message) => exchange(message, { address: "127.0.0.1", port: us }, 1000) });
    scope.defer(() => looping.stop());
    // The probe of a component that starts before `us` is known finds nobody: give it the address, then let it look again.
    const dns = await serveLooping(looping.port, (value) => (us = value));
    const query = encode({ type: "query", questions: [{ name: "example.com", type: "A", class: "IN" }] });
    const reply = decode(await exchange(query, { address: "127.0.0.1", port: dns }, 2000)) as Reply;
    expect(reply.rcode).toBe("SERVFAIL");
  });
});

/** Starts a server whose resolver leads back to it, told its port before its probe arrives. */
async function serveLooping(resolverPort: number, tell: (port: number) => void): Promise<number> {
  const own = await startDns(resolverPort);
  tell(own);
  await Bun.sleep(100);
  return own;
}

describe("broken messages", () => {
  test("get a format error or nothing, and the server lives on", async () => {
    for (const bytes of [Buffer.alloc(3), Buffer.from("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c", "latin1")]) {
      const socket = await Bun.udpSocket({ connect: { hostname: "127.0.0.1", port } });
      socket.send(bytes);
      socket.close();
    }
    expect(data(await ask("web.ns.svc.cluster.local"))).toEqual(["10.96.0.80"]);
  });

  test("an update is not implemented", async () => {
    const query = Buffer.from(encode({ type: "query", flags: 5 << 11, questions: [{ name: "cluster.local", type: "SOA", class: "IN" }] }));
    expect((decode(await exchange(query, { address: "127.0.0.1", port }, 2000)) as Reply).rcode).toBe("NOTIMP");
  });

  test("many questions on one connection are all answered", async () => {
    const socket = connect(port, "127.0.0.1");
    const queries = Array.from({ length: 200 }, (_, id) => framed(encode({ type: "query", id, questions: [{ name: "web.ns.svc.cluster.local", type: "A", class: "IN" }] })));
    const received = await new Promise<number>((resolve) => {
      let buffered = Buffer.alloc(0);
      let count = 0;
      socket.on("data", (chunk) => {
        buffered = Buffer.concat([buffered, chunk as Buffer]);
        for (; buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0); count++) buffered = buffered.subarray(2 + buffered.readUInt16BE(0));
        if (count === queries.length) resolve(count);
      });
      socket.write(Buffer.concat(queries));
    });
    socket.destroy();
    expect(received).toBe(200);
  });
});

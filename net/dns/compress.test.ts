import { describe, expect, test } from "bun:test";
import { decode, encode, type Answer, type Packet } from "dns-packet";
import { compress, fit } from "./compress.ts";

const name = "web.ns.svc.cluster.local";
const address = (index: number): Answer => ({ type: "A", name, ttl: 5, data: `10.244.1.${index}` });
const message = (packet: Partial<Packet>): Buffer => Buffer.from(encode({ type: "response", id: 7, flags: 0x0480, questions: [{ name, type: "A", class: "IN" }], ...packet }));

describe("compressed messages", () => {
  test("read back the same, and an address takes sixteen bytes", () => {
    const plain = message({
      answers: [address(1), address(2)],
      authorities: [{ type: "SOA", name: "cluster.local", ttl: 5, data: { mname: "ns.dns.cluster.local", rname: "hostmaster.cluster.local", serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 } }],
      additionals: [{ type: "A", name: "web-0.web.ns.svc.cluster.local", ttl: 5, data: "10.244.1.1" }, { type: "A", name: "web-0.web.ns.svc.cluster.local", ttl: 5, data: "10.244.1.2" }],
    });
    expect(decode(compress(plain))).toEqual(decode(plain));
    expect(compress(message({ answers: [address(1), address(2)] })).length - compress(message({ answers: [address(1)] })).length).toBe(16);
  });

  test("compressed already stay as they are", () => {
    const once = compress(message({ answers: [address(1)] }));
    expect(compress(once)).toEqual(once);
  });
});

describe("messages too long for a client", () => {
  const answers = Array.from({ length: 25 }, (_, index) => address(index));

  test("lose what nobody asked for before they lose answers", () => {
    const long = compress(message({ answers, additionals: answers }));
    const short = decode(fit(long, 512));
    expect(short).toMatchObject({ flag_tc: false, additionals: [] });
    expect(short.answers).toHaveLength(25);
  });

  test("are marked as truncated, with as many answers as there is room for", () => {
    const short = fit(compress(message({ answers: [...answers, ...answers] })), 512);
    expect(short.length).toBeLessThanOrEqual(512);
    expect(decode(short)).toMatchObject({ id: 7, flag_tc: true, flag_aa: true });
    expect(decode(short).answers?.length).toBeGreaterThan(25);
  });
});

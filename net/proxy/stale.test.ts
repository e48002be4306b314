import { expect, test } from "bun:test";
import { staleFlows } from "./stale.ts";

const line = (destination: string, port: number, reply: string): string => `udp      17 29 src=10.244.1.9 dst=${destination} sport=5000 dport=${port} [UNREPLIED] src=${reply} dst=10.244.1.9 sport=53 dport=5000 mark=0 use=1`;
const listing = [line("10.96.0.10", 53, "10.244.1.2"), line("10.96.0.10", 53, "10.244.1.3"), line("192.0.2.1", 30053, "10.244.1.2"), line("10.96.0.99", 53, "10.244.1.2"), ""].join("\n");
const port = { frontends: ["10.96.0.10:53"], nodePort: 30053, serving: new Set(["10.244.1.3:53"]) };

test("flows to an endpoint that is gone are forgotten, others kept", () => {
  expect(staleFlows(listing, [port])).toEqual([
    { protocol: "udp", destination: "10.96.0.10", destinationPort: 53, replySource: "10.244.1.2" },
    { protocol: "udp", destination: "192.0.2.1", destinationPort: 30053, replySource: "10.244.1.2" },
  ]);
});

test("a flow that never reached an endpoint is forgotten once there is one", () => {
  expect(staleFlows(line("10.96.0.10", 53, "10.96.0.10"), [port])).toHaveLength(1);
});

test("without endpoints nothing is forgotten", () => {
  expect(staleFlows(listing, [{ ...port, serving: new Set() }])).toEqual([]);
});

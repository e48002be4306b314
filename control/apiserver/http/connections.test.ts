import { describe, expect, test } from "bun:test";
import type { Duplex } from "node:stream";
import { Connection } from "./connections.ts";

const aConnection = (): { connection: Connection; said: string[] } => {
  const said: string[] = [];
  const session = { destroyed: false, goaway: (code: number) => said.push(`goaway ${code}`), close: () => said.push("close"), destroy: () => said.push("destroy") };
  return { connection: new Connection(session as unknown as Duplex, 0), said };
};

describe("a connection", () => {
  test("that never asks anything is stale after 32 seconds, one that has asked after 90, one that waits for an answer never", () => {
    const { connection } = aConnection();
    expect([connection.isStale(32_000), connection.isStale(32_001)]).toEqual([false, true]);
    connection.begin();
    expect(connection.isStale(1e9)).toBe(false);
    connection.finish(10_000);
    expect([connection.isStale(100_000), connection.isStale(100_001)]).toEqual([false, true]);
  });

  test("is told to go, and ended once nothing is under way", () => {
    const { connection, said } = aConnection();
    connection.begin();
    connection.leave();
    expect(said).toEqual(["goaway 0"]);
    connection.finish(1);
    connection.leave();
    expect(said).toEqual(["goaway 0", "goaway 0", "close"]);
  });

  test("may take back requests, but not thousands within seconds", () => {
    const { connection, said } = aConnection();
    for (let second = 0; second < 100; second++) for (let count = 0; count < 400; count++) connection.reset(second * 1000);
    expect(said).toEqual([]);
    for (let count = 0; count < 5_000; count++) connection.reset(200_000);
    expect(said).toEqual(["goaway 11", "destroy"]);
  });
});

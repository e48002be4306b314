// The plain health port of a node.
import { expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { createHealthServer } from "./health.ts";

const PORT = 20_000 + (process.pid % 20_000);

async function get(path: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      const response = await fetch(`http://127.0.0.1:${PORT}${path}`);
      return `${response.status} ${await response.text()}`;
    } catch (error) {
      if (tries > 200) throw error;
      await Bun.sleep(25);
    }
  }
}

test("healthz and its checks answer, whatever else does not exist", async () => {
  const server = createHealthServer({ address: "127.0.0.1", port: PORT, clock: systemClock });
  await server.start();
  try {
    expect(await get("/healthz")).toBe("200 ok");
    expect(await get("/healthz/syncloop")).toBe("200 ok");
    expect(await get("/healthz/nonsense")).toStartWith("404");
    expect(await get("/metrics")).toStartWith("404");
  } finally {
    await server.stop();
  }
});

test("a port that is taken is served once it is free", async () => {
  const other = Bun.serve({ hostname: "127.0.0.1", port: PORT, fetch: () => new Response("taken") });
  const server = createHealthServer({ address: "127.0.0.1", port: PORT, clock: { ...systemClock, sleep: () => Bun.sleep(10) } });
  await server.start();
  try {
    expect(await get("/healthz")).toBe("200 taken");
    await other.stop(true);
    expect(await get("/healthz")).toBe("200 ok");
  } finally {
    await server.stop();
  }
});

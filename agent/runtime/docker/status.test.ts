import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../../lib/clock.ts";
import { DockerRuntime } from "./runtime.ts";

let directory: string;
let engine: { stop: () => void };
let asked: string[];
let version: string | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "minik8s-engine-"));
  [asked, version] = [[], "20.10.24"];
  const answers: Record<string, () => unknown> = {
    "/_ping": () => "OK",
    "/info": () => ({ DockerRootDir: directory, CgroupDriver: "systemd" }),
    "/version": () => ({ Version: version, ApiVersion: "1.41", KernelVersion: "6.1.0" }),
    "/containers/json": () => [],
    "/events": () => new Promise(() => undefined),
  };
  const server = Bun.serve({
    unix: join(directory, "docker.sock"),
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      if (version === undefined) return new Response("{}", { status: 500 });
      const answer = await (answers[pathname] ?? ((): object => ({ Id: "sha256:0", Size: 1 })))();
      return typeof answer === "string" ? new Response(answer) : Response.json(answer);
    },
  });
  engine = { stop: () => void server.stop(true) };
});
afterEach(() => {
  engine.stop();
  rmSync(directory, { recursive: true, force: true });
});

test("an engine is asked what it is now and then, and anew after it did not answer; whether it answers, every time", async () => {
  const clock = new FakeClock();
  const network = { attach: () => Promise.resolve({ ips: [] }), detach: () => Promise.resolve() };
  const runtime = await DockerRuntime.connect({ socketPath: join(directory, "docker.sock"), dataDir: directory, network, clock });
  const told = (): Promise<string> => runtime.status().then((status) => `${status.version} ${status.cgroupDriver}`, () => "nothing");
  const expensive = (): number => asked.filter((path) => path === "/version" || path === "/info").length;
  asked = [];
  expect([await told(), await told(), await told()]).toEqual(["docker://20.10.24 systemd", "docker://20.10.24 systemd", "docker://20.10.24 systemd"]);
  expect([expensive(), asked.filter((path) => path === "/_ping").length]).toEqual([2, 3]);
  version = undefined;
  expect(await told()).toBe("nothing");
  version = "28.0.1";
  expect(await told()).toBe("docker://28.0.1 systemd");
  version = "28.0.2";
  await clock.advance(301_000);
  expect(await told()).toBe("docker://28.0.2 systemd");
  await runtime.close();
});

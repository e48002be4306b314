import { expect, test } from "bun:test";
import { PassThrough } from "node:stream";
import type Docker from "dockerode";
import { FakeClock } from "../../../lib/clock.ts";
import type { RuntimeEvent } from "../runtime.ts";
import { DockerEvents } from "./events.ts";
import { RECORD_LABEL } from "./record.ts";

test("everything is hinted at once the stream of events is open, as soon as the engine lists it", async () => {
  const stop = new AbortController();
  const clock = new FakeClock();
  const did: string[] = [];
  const docker = {
    getEvents: () => Promise.resolve(new PassThrough()).finally(() => void did.push("stream")),
    listContainers: () => {
      did.push("list");
      if (did.length < 3) return Promise.reject(new Error("starting"));
      return Promise.resolve([{ Id: "s", State: "exited", Labels: { [RECORD_LABEL]: JSON.stringify({ type: "sandbox", uid: "u" }) } }]);
    },
  };
  const events = new DockerEvents(docker as unknown as Docker, clock);
  const heard: RuntimeEvent[] = [];
  void (async () => {
    for await (const event of events.subscribe(stop.signal)) heard.push(event);
  })();
  void events.run(stop.signal);
  for (let tenth = 0; tenth < 20; tenth++) await clock.advance(100);
  expect(did).toEqual(["stream", "list", "list"]);
  expect(heard).toEqual([{ type: "stopped", id: "s", sandboxId: "s", podUid: "u" }]);
  stop.abort();
});

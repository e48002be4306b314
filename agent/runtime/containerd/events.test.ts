import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeClock } from "../../../lib/clock.ts";
import { RuntimeError, type RuntimeEvent } from "../runtime.ts";
import type { CriClient } from "./cri.ts";
import { CriEvents } from "./events.ts";
import { MessageTypes } from "./grpc.ts";
import { Ownership } from "./ownership.ts";
import { CONTAINERD_EVENTS_PROTO } from "./proto.ts";

const types = new MessageTypes(CONTAINERD_EVENTS_PROTO);
const containers = [{ id: "c", podSandboxId: "s", state: "CONTAINER_RUNNING" }];
const sandboxes = [{ id: "s", metadata: { uid: "u" }, state: "SANDBOX_READY" }];

/** Answers of CRI by method, and containerd's event stream. */
class FakeCri {
  readonly answers: Record<string, () => unknown> = { listContainers: () => ({ containers }), listPodSandbox: () => ({ items: sandboxes }) };
  readonly asked: string[] = [];
  streams: { tell: (message: unknown) => void; end: () => void }[] = [];
  readonly connection = {
    stream: (_types: unknown, _method: unknown, _request: unknown, { onMessage }: { onMessage: (message: unknown) => void }) => new Promise<void>((end) => void this.streams.push({ tell: onMessage, end })),
  };

  call(method: string): Promise<unknown> {
    this.asked.push(method);
    return Promise.resolve().then(() => {
      const answer = this.answers[method];
      if (!answer) throw new RuntimeError("Unavailable", method);
      return answer();
    });
  }

  callIfPresent(method: string): Promise<unknown> {
    return this.call(method);
  }

  tell(topic: "/containers/create" | "/tasks/start", id: string): void {
    this.streams.at(-1)?.tell({ topic, event: { value: topic === "/tasks/start" ? types.encode("TaskEvent", { containerId: id }) : types.encode("ContainerEvent", { id }) } });
  }

  exit(containerId: string): void {
    this.streams.at(-1)?.tell({ topic: "/tasks/exit", event: { value: types.encode("TaskExit", { containerId, id: containerId }) } });
  }
}

const stop = { controller: new AbortController() };
let cri: FakeCri;
let clock: FakeClock;
let ownership: Ownership;
let heard: RuntimeEvent[];

beforeEach(() => {
  stop.controller = new AbortController();
  [cri, clock, heard] = [new FakeCri(), new FakeClock(), []];
  const client = cri as unknown as CriClient;
  ownership = new Ownership(client);
  const events = new CriEvents({ cri: client, ownership, clock, isContainerd: true });
  void (async () => {
    for await (const event of events.subscribe(stop.controller.signal)) heard.push(event);
  })();
  void events.run(stop.controller.signal);
});

afterEach(() => stop.controller.abort());

const stopped: RuntimeEvent = { type: "stopped", id: "c", sandboxId: "s", podUid: "u" };
const pass = async (seconds: number): Promise<void> => {
  for (let tenth = 0; tenth < seconds * 10; tenth++) {
    await clock.advance(100);
    await new Promise(setImmediate);
  }
};

test("an exit that CRI is slow to learn of is told once CRI knows it, not while it still says running", async () => {
  let state = "CONTAINER_RUNNING";
  cri.answers["containerStatus"] = () => ({ status: { state } });
  cri.exit("c");
  await pass(20);
  expect(heard).toEqual([]);
  state = "CONTAINER_EXITED";
  await pass(2);
  expect(heard).toEqual([stopped]);
});

test("an exit is told although CRI did not answer at first", async () => {
  const { listContainers = () => undefined } = cri.answers;
  delete cri.answers["listContainers"];
  cri.exit("c");
  await pass(3);
  cri.answers["listContainers"] = listContainers;
  await pass(3);
  cri.answers["containerStatus"] = () => ({ status: { state: "CONTAINER_EXITED" } });
  await pass(3);
  expect(heard).toEqual([stopped]);
});

test("after a gap everything is hinted at, as soon as the runtime answers, and never before it is subscribed to again", async () => {
  delete cri.answers["listPodSandbox"];
  let subscribedAtList = 0;
  cri.streams[0]?.end();
  await pass(5);
  expect(heard).toEqual([]);
  cri.answers["listPodSandbox"] = () => {
    subscribedAtList = cri.streams.length;
    return { items: sandboxes };
  };
  await pass(2);
  expect(heard.map(({ id, type }) => `${id} ${type}`)).toEqual(["s started", "c started"]);
  expect(subscribedAtList).toBe(2);
});

test("what this process made and started is asked about by nobody, and its start is told once the call has answered", async () => {
  const [made, begun] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()];
  const sandbox = ownership.makeSandbox(() => made.promise, "mine");
  cri.tell("/containers/create", "n");
  cri.tell("/tasks/start", "n");
  await pass(5);
  expect(heard).toEqual([]);
  made.resolve("n");
  await sandbox;
  await ownership.makeContainer(() => Promise.resolve("d"), "n");
  cri.tell("/containers/create", "d");
  const start = ownership.start("d", () => begun.promise);
  cri.tell("/tasks/start", "d");
  await pass(5);
  expect(heard.map(({ id, type }) => `${id} ${type}`)).toEqual(["n started"]);
  begun.resolve();
  await start;
  await pass(1);
  expect(heard.at(-1)).toEqual({ type: "started", id: "d", sandboxId: "n", podUid: "mine" });
  expect(cri.asked).toEqual([]);
});

test("what an earlier process began is looked up, and told although a call of this one hangs", async () => {
  let state = "CONTAINER_CREATED";
  cri.answers["containerStatus"] = () => ({ status: { state } });
  void ownership.makeSandbox(() => new Promise<string>(() => undefined), "mine");
  cri.tell("/tasks/start", "c");
  await pass(12);
  expect(heard).toEqual([]);
  state = "CONTAINER_RUNNING";
  await pass(2);
  expect(heard).toEqual([{ ...stopped, type: "started" }]);
});

test("a start that failed is not taken for one that worked", async () => {
  await ownership.makeSandbox(() => Promise.resolve("s"), "u");
  await ownership.makeContainer(() => Promise.resolve("c"), "s");
  await ownership.start("c", () => Promise.reject(new Error("timeout"))).catch(() => undefined);
  cri.answers["containerStatus"] = () => ({ status: { state: "CONTAINER_RUNNING" } });
  cri.tell("/tasks/start", "c");
  await pass(1);
  expect(heard).toEqual([{ ...stopped, type: "started" }]);
  expect(cri.asked).toContain("containerStatus");
});

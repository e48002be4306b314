// Probes against a clock that stands still: what they decide, when, and what they say.
import { expect, test } from "bun:test";
import type { Container, Probe } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { aContainer, aPod } from "./builders.ts";
import { DueQueue } from "./heap.ts";
import { observedPod } from "./observed.ts";
import { runProbe, type ProbeOutcome } from "./probehandlers.ts";
import { Prober } from "./probes.ts";

const probe = (overrides: Partial<Probe> = {}): Probe => ({ exec: { command: ["check"] }, periodSeconds: 10, failureThreshold: 3, successThreshold: 1, timeoutSeconds: 1, ...overrides });

function setup(container: Container, options: { ready?: boolean } = {}): { clock: FakeClock; prober: Prober; events: string[]; changes: string[]; answers: ProbeOutcome["result"][]; asked: () => number; stop: () => void } {
  const clock = new FakeClock(1_000_000);
  const events: string[] = [];
  const changes: string[] = [];
  const answers: ProbeOutcome["result"][] = [];
  let asked = 0;
  const prober = new Prober({
    streaming: new FakeRuntime().streaming, clock, nodeIp: "10.0.0.1", onChange: (uid) => void changes.push(uid),
    recorder: { event: (_about, _type, reason, message) => void events.push(`${reason}: ${message}`) },
    run: async () => {
      asked++;
      return { result: answers.shift() ?? "success", output: "said so" };
    },
  });
  const stopper = new AbortController();
  void prober.run(stopper.signal);
  const record: ContainerRecord = { id: "c1", sandboxId: "s", name: "app", attempt: 0, state: "running", image: "i", imageId: "i", createdAt: clock.now(), startedAt: clock.now(), labels: {}, annotations: {}, logPath: "" };
  const pod = aPod({ spec: { containers: [container] }, ...(options.ready && { status: { containerStatuses: [{ name: "app", containerID: "fake://c1", ready: true, started: true, image: "i", imageID: "i", restartCount: 0 }] } }) });
  prober.track(pod, observedPod({ uid: "uid-1", name: "p", namespace: "default" }, [], [record]));
  return { clock, prober, events, changes, answers, asked: () => asked, stop: () => stopper.abort() };
}

test("without probes a running container is started and ready", () => {
  const { prober } = setup(aContainer());
  expect(prober.health("c1")).toEqual({ started: true, ready: true });
});

test("readiness is asked at once, decides after its thresholds and tells the pod", async () => {
  const { clock, prober, answers, changes, events } = setup(aContainer({ readinessProbe: probe({ failureThreshold: 2 }) }));
  expect(prober.health("c1").ready).toBe(false);
  await clock.advance(0);
  expect(prober.health("c1").ready).toBe(true);
  expect(changes).toEqual(["uid-1"]);
  answers.push("failure", "failure");
  await clock.advance(10_000);
  expect(prober.health("c1").ready).toBe(true);
  await clock.advance(10_000);
  expect(prober.health("c1").ready).toBe(false);
  expect(events).toEqual(["Unhealthy: Readiness probe failed: said so", "Unhealthy: Readiness probe failed: said so"]);
});

test("liveness fails a container once its threshold is reached, and then asks no more", async () => {
  const { clock, prober, answers, asked } = setup(aContainer({ livenessProbe: probe({ initialDelaySeconds: 5, failureThreshold: 2 }) }));
  answers.push("failure", "failure");
  await clock.advance(4_000);
  expect(asked()).toBe(0);
  await clock.advance(1_000);
  expect(prober.verdicts("uid-1").get("c1")?.liveness).toBe("success");
  await clock.advance(10_000);
  expect(prober.verdicts("uid-1").get("c1")?.liveness).toBe("failure");
  await clock.advance(60_000);
  expect(asked()).toBe(2);
});

test("a startup probe keeps the others waiting until it succeeds, then readiness is asked at once", async () => {
  const { clock, prober, answers } = setup(aContainer({ startupProbe: probe(), readinessProbe: probe() }));
  answers.push("failure");
  await clock.advance(0);
  expect(prober.health("c1")).toEqual({ started: false, ready: false });
  await clock.advance(10_000);
  expect(prober.health("c1")).toEqual({ started: true, ready: true });
});

test("what was ready before a restart of the agent stays ready until a probe says otherwise", async () => {
  const { clock, prober, answers } = setup(aContainer({ startupProbe: probe(), readinessProbe: probe({ failureThreshold: 1 }) }), { ready: true });
  expect(prober.health("c1")).toEqual({ started: true, ready: true });
  answers.push("failure");
  await clock.advance(10_000);
  expect(prober.health("c1")).toEqual({ started: true, ready: false });
});

test("a pod that terminates is not restarted by its probes", async () => {
  const { clock, prober, answers } = setup(aContainer({ livenessProbe: probe({ failureThreshold: 1 }) }));
  answers.push("success", "failure");
  await clock.advance(0);
  prober.terminating("uid-1");
  await clock.advance(60_000);
  expect(prober.verdicts("uid-1").get("c1")?.liveness).toBe("success");
});

test("things come out of the queue in the order they are due", () => {
  const queue = new DueQueue<number>();
  const times = [5, 3, 9, 1, 7, 3, 8, 2];
  for (const at of times) queue.push(at, at);
  const out: number[] = [];
  for (let item = queue.popDue(8); item !== undefined; item = queue.popDue(8)) out.push(item);
  expect(out).toEqual([1, 2, 3, 3, 5, 7, 8]);
  expect(queue.size).toBe(1);
});

test("HTTP and TCP probes say what went wrong in upstream's words", async () => {
  const { streaming } = new FakeRuntime();
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/to-ok") return new Response("", { status: 302, headers: { Location: "/ok" } });
    if (pathname === "/away") return new Response("", { status: 302, headers: { Location: "http://elsewhere.test/" } });
    if (pathname === "/slow") return Bun.sleep(3_000).then(() => new Response(""));
    return new Response(request.headers.get("X-Custom") ?? "", { status: pathname === "/ok" ? 200 : 503 });
  } });
  const closed = 1;
  const ask = (spec: Partial<Probe>): Promise<ProbeOutcome> => runProbe(streaming, { probe: spec as Probe, container: aContainer({ ports: [{ name: "web", containerPort: server.port ?? 0 }] }), containerId: "c", podIp: "127.0.0.1" });
  const http = (path: string): Promise<ProbeOutcome> => ask({ httpGet: { path, port: "web" }, timeoutSeconds: 1 });
  try {
    expect(await http("/ok")).toMatchObject({ result: "success" });
    expect(await http("/to-ok")).toMatchObject({ result: "success" });
    expect(await http("/away")).toMatchObject({ result: "warning" });
    expect(await http("/no")).toEqual({ result: "failure", output: "HTTP probe failed with statuscode: 503" });
    expect((await http("/slow")).output).toContain("context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    expect((await ask({ httpGet: { path: "/", port: closed } })).output).toBe(`Get "http://127.0.0.1:${closed}/": dial tcp 127.0.0.1:${closed}: connect: connection refused`);
    expect(await ask({ tcpSocket: { port: "web" } })).toMatchObject({ result: "success" });
    expect(await ask({ tcpSocket: { port: closed } })).toEqual({ result: "failure", output: `dial tcp 127.0.0.1:${closed}: connect: connection refused` });
    expect((await ask({ grpc: { port: closed }, timeoutSeconds: 1 })).result).toBe("failure");
    await expect(ask({ tcpSocket: { port: "none" } })).rejects.toThrow("couldn't find port: none");
  } finally {
    await server.stop(true);
  }
});

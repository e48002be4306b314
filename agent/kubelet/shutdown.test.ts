// The machine goes down: pods end in order and in upstream's words, and nothing new is taken.
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { aPod, conditionOf, Rig } from "./builders.ts";
import { DEFAULT_CONFIGURATION } from "./configuration.ts";
import { followLogind, type Running } from "./logind.ts";
import { settingsOf } from "./settings.ts";
import { groupByPriority, Shutdown } from "./shutdown.ts";

const periods = [{ priority: 0, seconds: 3 }, { priority: 1_000, seconds: 2 }];
const settings = settingsOf({ ...DEFAULT_CONFIGURATION, shutdownGracePeriodByPodPriority: periods.map(({ priority, seconds }) => ({ priority, shutdownGracePeriodSeconds: seconds })) });
let rig: Rig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

test("a pod is in the group of the highest priority that is not above its own, the lowest when all are", () => {
  const pods = [-5, 0, 999, 1_000, 5_000].map((priority) => ({ pod: aPod({ spec: { priority } }) }));
  expect(groupByPriority(periods, pods).map(({ workers }) => workers.map(({ pod }) => pod.spec?.priority))).toEqual([[-5, 0, 999], [1_000, 5_000]]);
});

test("pods end least important first, told why, and new ones are refused", async () => {
  rig = await new Rig({ deps: { settings } }).start();
  await rig.create(aPod({ name: "small", uid: "u1", spec: { priority: 0 } }));
  await rig.create(aPod({ name: "important", uid: "u2", spec: { priority: 2_000 } }));
  for (const name of ["small", "important"]) await rig.until((p) => conditionOf(p, "Ready") === "True", name);
  await rig.kubelet.shutdown.begin();
  const small = await rig.until((p) => p?.status?.phase === "Failed", "small");
  expect(small.status).toMatchObject({ reason: "Terminated", message: "Pod was terminated in response to imminent node shutdown." });
  expect(small.status?.conditions?.find(({ type }) => type === "DisruptionTarget")).toMatchObject({ status: "True", reason: "TerminationByKubelet" });
  await rig.until((p) => p?.status?.phase === "Failed", "important");
  const killed = rig.events.filter(({ reason }) => reason === "Killing").map(({ about }) => about.name);
  expect(killed).toEqual(["small", "important"]);
  await rig.create(aPod({ name: "late", uid: "u3" }));
  const late = await rig.until((p) => p?.status?.phase === "Failed", "late");
  expect(late.status).toMatchObject({ reason: "NodeShutdown", message: "Pod was rejected: Pod was rejected as the node is shutting down." });
});

test("logind's announcement ends pods before the shutdown is let go on; calling it off takes the lock again", async () => {
  const lines = new TransformStream<string, string>();
  const writer = lines.writable.getWriter();
  const begun = Promise.withResolvers<void>();
  const log: string[] = [];
  const shutdown = new Shutdown({ periods, clock: systemClock, workers: () => [], flush: () => Promise.resolve(), onChange: (isOn) => {
    log.push(isOn ? "on" : "off");
    if (!isOn) begun.resolve();
  } });
  const start = (command: readonly string[]): Running => {
    log.push(`start ${command[0]}`);
    return { lines: lines.readable, end: () => void log.push(`end ${command[0]}`) };
  };
  const directory = mkdtempSync("/tmp/mk8s-logind-");
  let delayUs = 5_000_000;
  const exec = (command: readonly string[]) => {
    if (command[0] === "systemctl") delayUs = 30_000_000;
    return Promise.resolve({ exitCode: 0, stdout: command[0] === "busctl" ? `t ${delayUs}\n` : "", stderr: "" });
  };
  const stop = new AbortController();
  const following = followLogind({ exec, start, clock: systemClock, shutdown, totalMs: 30_000, dropIn: join(directory, "99.conf") }, stop.signal);
  for (const line of ["signal time=1 sender=:1.4 path=/org/freedesktop/login1; member=PrepareForShutdown", "   boolean true", "   boolean false"]) await writer.write(line);
  await begun.promise;
  expect(readFileSync(join(directory, "99.conf"), "utf8")).toContain("InhibitDelayMaxSec=30");
  stop.abort();
  await writer.close();
  await following;
  expect(log).toEqual(["start dbus-monitor", "start systemd-inhibit", "on", "end systemd-inhibit", "off", "start systemd-inhibit", "end dbus-monitor", "end systemd-inhibit", "end dbus-monitor", "end systemd-inhibit"]);
  rmSync(directory, { recursive: true });
});

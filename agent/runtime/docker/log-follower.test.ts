import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFollower, type LogPaths } from "./log-follower.ts";

let directory: string;
let paths: LogPaths;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "minik8s-follower-"));
  paths = { source: join(directory, "json.log"), target: join(directory, "out", "0.log"), position: join(directory, "position") };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const json = (log: string): string => `${JSON.stringify({ log: `${log}\n`, stream: "stdout", time: "2026-01-31T12:00:01Z" })}\n`;
const read = (): string[] => readFileSync(paths.target, "utf8").split("\n").filter(Boolean).map((line) => line.split(" F ")[1] as string);

/** What the engine does when a log is large. */
function rotateSource(next: string): void {
  for (const index of [3, 2, 1, 0]) {
    try {
      renameSync(index === 0 ? paths.source : `${paths.source}.${index}`, `${paths.source}.${index + 1}`);
    } catch {
      // Not so many yet.
    }
  }
  writeFileSync(paths.source, json(next));
}

test("after an end between writing and keeping the position, nothing is written twice", async () => {
  writeFileSync(paths.source, json("one") + json("two"));
  const first = new LogFollower(paths);
  await first.start();
  await first.stop();
  // As if the agent had ended before it kept where it was.
  rmSync(paths.position);
  appendFileSync(paths.source, json("three"));
  const second = new LogFollower(paths);
  await second.start();
  expect(read()).toEqual(["one", "two", "three"]);

  renameSync(paths.target, `${paths.target}.1`);
  await second.reopen();
  appendFileSync(paths.source, json("four"));
  rotateSource("five");
  await second.stop();
  expect(read()).toEqual(["four", "five"]);
});

test("one that is slower than several of the engine's rotations skips no file", async () => {
  writeFileSync(paths.source, json("one"));
  const follower = new LogFollower(paths);
  await follower.start();
  appendFileSync(paths.source, json("late in one"));
  for (const next of ["two", "three", "four"]) rotateSource(next);
  await follower.stop();
  expect(read()).toEqual(["one", "late in one", "two", "three", "four"]);
});

test("a new agent goes on in the file the old one was in, however often it was renamed, and in the oldest when it is gone", async () => {
  writeFileSync(paths.source, json("one"));
  const first = new LogFollower(paths);
  await first.start();
  await first.stop();
  for (const next of ["two", "three"]) rotateSource(next);
  const second = new LogFollower(paths);
  await second.start();
  await second.stop();
  expect(read()).toEqual(["one", "two", "three"]);

  for (const next of ["four", "five"]) rotateSource(next);
  for (const index of [2, 3, 4]) rmSync(`${paths.source}.${index}`, { force: true });
  const third = new LogFollower(paths);
  await third.start();
  await third.stop();
  expect(read()).toEqual(["one", "two", "three", "four", "five"]);
});

test("what a full disk did not take is written when there is room", async () => {
  mkdirSync(join(directory, "out"));
  symlinkSync("/dev/full", paths.target);
  writeFileSync(paths.source, json("one"));
  const follower = new LogFollower(paths);
  await follower.start();
  appendFileSync(paths.source, json("two"));
  rmSync(paths.target);
  await follower.reopen();
  await follower.stop();
  expect(read()).toEqual(["one", "two"]);
});

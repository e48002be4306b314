import { expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFollower, rewrite } from "./log-follower.ts";

const json = (log: string, time: string, stream = "stdout"): string => `${JSON.stringify({ log, stream, time: `2026-01-31T12:00:${time}Z` })}\n`;

test("Docker's lines become CRI's, partial ones and short fractions included", () => {
  const lines = rewrite(Buffer.from(json("one\n", "01.5") + json("half", "02.123456789", "stderr") + "torn{\n"));
  expect(lines.map(String)).toEqual(["2026-01-31T12:00:01.500000000Z stdout F one\n", "2026-01-31T12:00:02.123456789Z stderr P half\n"]);
});

test("after an end between writing and keeping the position, nothing is written twice", async () => {
  const directory = mkdtempSync(join(tmpdir(), "minik8s-follower-"));
  const paths = { source: join(directory, "json.log"), target: join(directory, "out", "0.log"), position: join(directory, "position") };
  const read = (): string[] => readFileSync(paths.target, "utf8").split("\n").filter(Boolean).map((line) => line.split(" F ")[1] as string);
  try {
    writeFileSync(paths.source, json("one\n", "01") + json("two\n", "02"));
    const first = new LogFollower(paths);
    await first.start();
    await first.stop();
    // As if the agent had ended before it kept where it was.
    rmSync(paths.position);
    appendFileSync(paths.source, json("three\n", "03"));
    const second = new LogFollower(paths);
    await second.start();
    expect(read()).toEqual(["one", "two", "three"]);

    renameSync(paths.target, `${paths.target}.1`);
    await second.reopen();
    // Docker's own rotation.
    appendFileSync(paths.source, json("four\n", "04"));
    renameSync(paths.source, `${paths.source}.1`);
    writeFileSync(paths.source, json("five\n", "05"));
    await second.stop();
    expect(read()).toEqual(["four", "five"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

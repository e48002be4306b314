import { expect, test } from "bun:test";
import { atOnce, inPieces, nextTurn } from "./turns.ts";

test("of several who wait for a turn each gets one of its own, in order", async () => {
  const log: string[] = [];
  const others = setImmediateLoop(() => log.push("other"));
  await Promise.all([1, 2, 3].map(async (number) => {
    await nextTurn();
    log.push(String(number));
  }));
  others.stop();
  expect(log.filter((entry) => entry !== "other")).toEqual(["1", "2", "3"]);
  for (let index = 1; index < log.length; index++) expect(`${log[index - 1]} ${log[index]}`).not.toMatch(/\d \d/);
});

test("long work lets timers run in between and ends with its result", async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const result = await inPieces(busy(60));
  clearInterval(timer);
  expect(result).toBe("done");
  expect(ticks).toBeGreaterThan(1);
  expect(atOnce(busy(1))).toBe("done");
});

test("what the work throws is thrown", async () => {
  const failing = function* (): Generator<void, void> {
    yield;
    throw new Error("no");
  };
  expect(() => atOnce(failing())).toThrow("no");
  await expect(inPieces(failing())).rejects.toThrow("no");
});

/** Yields all the time for so many milliseconds. */
function* busy(ms: number): Generator<void, string> {
  const until = performance.now() + ms;
  while (performance.now() < until) yield;
  return "done";
}

function setImmediateLoop(run: () => void): { stop(): void } {
  let running = true;
  const again = (): void => {
    if (!running) return;
    run();
    setImmediate(again);
  };
  setImmediate(again);
  return { stop: () => { running = false; } };
}

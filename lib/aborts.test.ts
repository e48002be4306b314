import { expect, test } from "bun:test";
import { onAbort } from "./aborts.ts";

test("everyone who still waits is told once, in order", () => {
  const aborter = new AbortController();
  const log: string[] = [];
  const say = (): void => void log.push("same");
  onAbort(aborter.signal, () => log.push("first"));
  const callOff = onAbort(aborter.signal, () => log.push("gone"));
  onAbort(aborter.signal, say);
  onAbort(aborter.signal, say);
  callOff();
  callOff();
  aborter.abort();
  expect(log).toEqual(["first", "same", "same"]);
});

test("who is told may call off others", () => {
  const aborter = new AbortController();
  const log: string[] = [];
  let callOff = (): void => undefined;
  onAbort(aborter.signal, () => callOff());
  callOff = onAbort(aborter.signal, () => log.push("second"));
  aborter.abort();
  expect(log).toEqual([]);
});

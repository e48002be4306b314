import { expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { Expectations } from "./expectations.ts";

test("expectations are met once every creation and every named deletion was seen", () => {
  const expectations = new Expectations();
  expect(expectations.satisfied("k")).toBe(true);
  expectations.expect("k", { creations: 2, deletions: ["u1", "u2"] });
  expectations.creationObserved("k", 2);
  expectations.deletionObserved("k", "u1");
  expectations.deletionObserved("k", "u1");
  expect(expectations.satisfied("k")).toBe(false);
  expectations.deletionObserved("k", "u2");
  expect(expectations.satisfied("k")).toBe(true);
});

test("what is never seen is given up after a minute", async () => {
  const clock = new FakeClock();
  const expectations = new Expectations(clock);
  expectations.expect("k", { creations: 1 });
  await clock.advance(59_000);
  expect(expectations.satisfied("k")).toBe(false);
  await clock.advance(2000);
  expect(expectations.satisfied("k")).toBe(true);
});

test("only what was expected and seen is fulfilled, until it is forgotten", () => {
  const expectations = new Expectations();
  expect(expectations.fulfilled("k")).toBe(false);
  expectations.expect("k", { creations: 1 });
  expect(expectations.fulfilled("k")).toBe(false);
  expectations.creationObserved("k");
  expect(expectations.fulfilled("k")).toBe(true);
  expectations.forget("k");
  expect(expectations.fulfilled("k")).toBe(false);
});

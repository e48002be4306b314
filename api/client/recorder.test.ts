import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { builtinKind } from "../registry.ts";
import type { Event, Pod } from "../types.ts";
import { BackgroundEventRecorder } from "./recorder.ts";
import { MemoryClient } from "./testing.ts";

const EVENT = builtinKind("", "v1", "Event");
const pod = (name = "p"): Pod => ({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "ns", uid: `uid-${name}`, resourceVersion: "7" } });

function recording(): { client: MemoryClient; recorder: BackgroundEventRecorder; clock: FakeClock; events: () => Promise<Event[]> } {
  const clock = new FakeClock(1_700_000_000_000);
  const client = new MemoryClient(clock);
  const recorder = new BackgroundEventRecorder({ client, component: "tester", host: "node-1", clock });
  return { client, recorder, clock, events: async () => (await recorder.flush(), (await client.list<Event>(EVENT)).items) };
}

describe("the event recorder", () => {
  test("says what happened to which object, and who says so", async () => {
    const { recorder, events } = recording();
    recorder.event(pod(), "Normal", "Pulled", "Image is there");
    const [event] = await events();
    expect(event).toMatchObject({
      metadata: { namespace: "ns" }, type: "Normal", reason: "Pulled", message: "Image is there", count: 1,
      involvedObject: { apiVersion: "v1", kind: "Pod", name: "p", namespace: "ns", uid: "uid-p", resourceVersion: "7" },
      source: { component: "tester", host: "node-1" }, reportingComponent: "tester", firstTimestamp: "2023-11-14T22:13:20Z",
    });
    expect(event?.metadata.name).toMatch(/^p\.[0-9a-f]+$/);
  });

  test("counts a repeat instead of storing it again", async () => {
    const { recorder, events, clock } = recording();
    recorder.event(pod(), "Warning", "BackOff", "again");
    await recorder.flush();
    await clock.advance(60_000);
    recorder.event(pod(), "Warning", "BackOff", "again");
    const [event, ...others] = await events();
    expect(others).toEqual([]);
    expect(event).toMatchObject({ count: 2, firstTimestamp: "2023-11-14T22:13:20Z", lastTimestamp: "2023-11-14T22:14:20Z" });
  });

  test("starts over when the event it counted on has expired", async () => {
    const { recorder, events, client } = recording();
    recorder.event(pod(), "Warning", "BackOff", "again");
    await recorder.flush();
    await client.deleteCollection(EVENT, {});
    recorder.event(pod(), "Warning", "BackOff", "again");
    expect(await events()).toHaveLength(1);
  });

  test("combines a flood of similar events and then drops the rest", async () => {
    const { recorder, events } = recording();
    for (let i = 0; i < 100; i++) recorder.event(pod(), "Normal", "Flood", `message ${i}`);
    const all = await events();
    expect(all).toHaveLength(10);
    const combined = all.find((event) => event.message?.startsWith("(combined from similar events): "));
    expect(combined?.count).toBe(16);
  });

  test("in a burst about thousands of objects every one of them is heard, however slow the server", async () => {
    const { recorder, events, client } = recording();
    const back = Promise.withResolvers<void>();
    client.intercept = () => back.promise;
    for (let round = 0; round < 25; round++) for (let i = 0; i < 900; i++) recorder.event(pod(`p${i}`), "Normal", "SuccessfulCreate", "Created");
    back.resolve();
    const all = await events();
    expect(all).toHaveLength(900);
    expect(all.every((event) => event.count === 25)).toBe(true);
  });

  test("what waits is bounded, and a date set back silences nobody", async () => {
    const { recorder, events, client, clock } = recording();
    const back = Promise.withResolvers<void>();
    client.intercept = () => back.promise;
    for (let i = 0; i < 3000; i++) recorder.event(pod(`p${i}`), "Normal", "Made", "Made");
    back.resolve();
    expect((await events()).length).toBeLessThanOrEqual(1001);
    for (let i = 0; i < 30; i++) recorder.event(pod("noisy"), "Normal", `Reason${i}`, "text");
    clock.jump(-86_400_000);
    await clock.advance(600_000);
    recorder.event(pod("noisy"), "Normal", "Later", "text");
    expect((await events()).some(({ reason }) => reason === "Later")).toBe(true);
  });

  test("one noisy object does not silence another", async () => {
    const { recorder, events } = recording();
    for (let i = 0; i < 100; i++) recorder.event(pod("noisy"), "Normal", "Flood", "same");
    recorder.event(pod("quiet"), "Normal", "Once", "heard");
    expect((await events()).some((event) => event.message === "heard")).toBe(true);
  });

  test("an event that is dropped while nothing else is under way does not silence the recorder", async () => {
    const { recorder, events } = recording();
    for (let i = 0; i < 30; i++) {
      recorder.event(pod("noisy"), "Warning", "Odd", String(i));
      await recorder.flush();
    }
    recorder.event(pod("quiet"), "Normal", "Started", "x");
    expect((await events()).some((event) => event.reason === "Started")).toBe(true);
  });

  test("a server that refuses events hurts nobody", async () => {
    const { recorder, client } = recording();
    client.intercept = () => { throw new Error("down"); };
    expect(() => recorder.event(pod(), "Normal", "Lost", "never seen")).not.toThrow();
  });
});

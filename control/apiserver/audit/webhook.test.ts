import { expect, test } from "bun:test";
import { FakeClock } from "../../../lib/clock.ts";
import { eventually } from "../../../lib/testing.ts";
import { AuditWebhook, type AuditWebhookOptions } from "./webhook.ts";

const namesIn = (body: string): unknown => (JSON.parse(body) as { kind: string; items: unknown[] }).items;

function sink(options: Partial<AuditWebhookOptions>): { webhook: AuditWebhook; clock: FakeClock; bodies: string[] } {
  const bodies: string[] = [];
  const clock = new FakeClock();
  const post = async (body: string): Promise<void> => void bodies.push(body);
  return { clock, bodies, webhook: new AuditWebhook({ post, clock, bufferSize: 5, maxBatchSize: 2, maxBatchWaitMs: 1, initialBackoffMs: 1000, ...options }) };
}

test("events are posted as lists of limited size, the last of them when the server ends", async () => {
  const { webhook, bodies } = sink({ maxBatchWaitMs: 3_600_000 });
  for (const name of ["1", "2", "3"]) webhook.add(name);
  await webhook.close();
  expect(bodies.map(namesIn)).toEqual([[1, 2], [3]]);
  expect(JSON.parse(bodies[0] as string)).toMatchObject({ kind: "EventList", apiVersion: "audit.k8s.io/v1" });
  expect(webhook.lost).toBe(0);
});

test("a batch that does not fill up goes out all the same", async () => {
  const { webhook, bodies } = sink({});
  webhook.add("1");
  await eventually("a batch", () => bodies.length > 0);
  expect(bodies.map(namesIn)).toEqual([[1]]);
  await webhook.close();
});

test("a batch that does not arrive is sent again, five times in all, and counted as lost then", async () => {
  const tried: string[] = [];
  const { webhook, clock } = sink({ maxBatchSize: 1, post: (body) => Promise.reject(new Error(`no ${tried.push(body)}`)) });
  webhook.add("1");
  for (let attempt = 0; attempt < 1000 && webhook.lost === 0; attempt++) {
    await Bun.sleep(0);
    await clock.advance(10_000);
  }
  expect([tried.length, webhook.lost]).toEqual([5, 1]);
  await webhook.close();
});

test("what the buffer has no room for is dropped and counted", async () => {
  const { webhook } = sink({ maxBatchSize: 10, maxBatchWaitMs: 3_600_000 });
  for (let number = 0; number < 7; number++) webhook.add(String(number));
  expect(webhook.lost).toBe(2);
  await webhook.close();
});

// Every kind goes through the life every client may lead it through: the same steps for all of them.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { isNotFound } from "../../../api/errors.ts";
import { KINDS, type KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { TestServer } from "../testing.ts";
import { LEAST } from "./least.ts";
import { startKindServer } from "./testing.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const stored = KINDS.filter(({ verbs }) => verbs.includes("create") && verbs.includes("list"));

for (const kind of stored) {
  test(`${kind.group}/${kind.version} ${kind.kind} is created, read, listed, patched, updated, given a status and deleted`, async () => {
    const least = LEAST[`${kind.group}/${kind.kind}`] as AnyObject;
    expect(least).toBeDefined();
    await live(kind, { ...least, metadata: { ...least.metadata, labels: { life: "whole" }, ...(kind.namespaced && { namespace: "default" }) } });
  });
}

async function live(kind: KindInfo, object: AnyObject): Promise<void> {
  const { client } = server;
  const at = { name: object.metadata.name as string, ...(kind.namespaced && { namespace: "default" }) };
  const created = await client.create(kind, object);
  expect(await client.get<AnyObject>(kind, at)).toEqual(created);
  // Nothing that an unchanged object says may be refused, nor change it.
  expect((await client.update(kind, created)).metadata.resourceVersion).toBe(created.metadata.resourceVersion);
  const listed = await client.list(kind, { labelSelector: "life=whole" });
  expect(listed.items.map(({ metadata }) => metadata.uid)).toEqual([created.metadata.uid]);
  const patched = await client.patch<AnyObject>(kind, at, { metadata: { labels: { patched: "yes" } } }, { type: "merge" });
  expect(patched.metadata.labels).toMatchObject({ life: "whole", patched: "yes" });
  const updated = await client.update(kind, { ...patched, metadata: { ...patched.metadata, annotations: { ...patched.metadata.annotations, updated: "yes" } } });
  expect(updated.metadata.annotations).toMatchObject({ updated: "yes" });
  expect(updated.metadata.uid).toBe(created.metadata.uid);
  if (kind.subresources["status"]) {
    const before = await client.get<AnyObject>(kind, at);
    const after = await client.update(kind, before, { subresource: "status" });
    expect(after["spec"]).toEqual(before["spec"]);
  }
  await finish(kind, at);
}

/** Deletes, and grants what finalizers and grace periods wait for. */
async function finish(kind: KindInfo, at: { name: string; namespace?: string }): Promise<void> {
  const { client } = server;
  await client.delete(kind, at, { gracePeriodSeconds: 0 });
  const left = await client.get<AnyObject>(kind, at).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (!left) return;
  expect(left.metadata.deletionTimestamp).toBeDefined();
  if (kind.kind === "Namespace") await client.update(kind, { ...left, spec: { finalizers: [] } }, { subresource: "finalize" });
  else await client.update(kind, { ...left, metadata: { ...left.metadata, finalizers: [] } });
  await expect(client.get(kind, at)).rejects.toThrow("not found");
}

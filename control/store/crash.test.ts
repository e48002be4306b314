import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { openLevelStore } from "./level.ts";

const ROUNDS = 200;
const directory = mkdtempSync(join(tmpdir(), "minik8s-crash-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Acknowledged {
  readonly id: string;
  readonly revision: number;
}

/** Starts the writer, lets it acknowledge some writes, kills it without warning, and returns what it acknowledged. */
async function writeUntilKilled(round: number): Promise<Map<string, Acknowledged>> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "crash-writer.ts"), directory, `${round}`], { stdout: "pipe", stderr: "inherit" });
  const killAfter = 1 + ((round * 37) % 400);
  let output = "";
  let lines = 0;
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    const text = decoder.decode(chunk, { stream: true });
    output += text;
    lines += text.split("\n").length - 1;
    if (lines >= killAfter) child.kill("SIGKILL");
  }
  await child.exited;
  const last = new Map<string, Acknowledged>();
  for (const line of output.split("\n").slice(0, -1)) {
    const [key, id, revision] = line.split(" ") as [string, string, string];
    const known = last.get(key);
    if (!known || known.revision < Number(revision)) last.set(key, { id, revision: Number(revision) });
  }
  return last;
}

test(`after each of ${ROUNDS} kills in the middle of concurrent writes every acknowledged write is there, whole`, async () => {
  let highest = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const acknowledged = await writeUntilKilled(round);
    const store = await openLevelStore(directory);
    const entries = new Map((await store.list("/crash/")).entries.map((entry) => [entry.key, entry]));
    for (const [key, { id, revision }] of acknowledged) {
      const entry = entries.get(key);
      // One write more may have reached the disk than was acknowledged; never one less.
      if (entry && entry.modRevision !== revision) expect(entry.modRevision).toBeGreaterThan(revision);
      else if (entry) expect(Buffer.from(entry.value).toString()).toStartWith(`${id}|`);
      else if (id !== "-") expect(await deletedAfter(store, key, revision)).toBe(true);
      highest = Math.max(highest, revision);
    }
    for (const entry of entries.values()) {
      const [id, repeated] = Buffer.from(entry.value).toString().split("|") as [string, string];
      expect(repeated).toBe(id.repeat(40));
    }
    expect(acknowledged.size).toBeGreaterThan(0);
    expect(store.revision).toBeGreaterThanOrEqual(highest);
    await store.close();
  }
}, 4 * TEST_TIMEOUT_MS);

/** True when history shows a delete of `key` newer than `revision`: written, but killed before it was acknowledged. */
async function deletedAfter(store: Awaited<ReturnType<typeof openLevelStore>>, key: string, revision: number): Promise<boolean> {
  const controller = new AbortController();
  try {
    return await new Promise((resolve) => {
      store.watch({ prefix: key, after: revision, signal: controller.signal, onChanges: (changes) => resolve(changes.some((c) => c.key === key && c.type === "delete")) });
    });
  } finally {
    controller.abort();
  }
}

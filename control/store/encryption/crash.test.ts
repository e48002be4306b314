import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { openLevelStore } from "../level.ts";
import { KeyFile } from "./keyfile.ts";
import { openEncryption } from "./open.ts";

const ROUNDS = 12;
const directory = mkdtempSync(join(tmpdir(), "minik8s-rotation-crash-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Lets a process write and change keys, kills it without warning, and returns the last value it was sure of by key. */
async function rotateUntilKilled(round: number): Promise<Map<string, string>> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "testing-rotator.ts"), directory, `${round}`], { stdout: "pipe", stderr: "inherit" });
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    if (output.length > 500 + ((round * 377) % 9000)) child.kill("SIGKILL");
  }
  await child.exited;
  return new Map(output.split("\n").slice(0, -1).map((line) => line.split(" ") as [string, string]));
}

test(`after each of ${ROUNDS} kills while keys change every acknowledged value is there and opens, and the change goes on`, async () => {
  const running = new AbortController();
  for (let round = 0; round < ROUNDS; round++) {
    const acknowledged = await rotateUntilKilled(round);
    expect(acknowledged.size).toBeGreaterThan(0);
    const below = await openLevelStore(join(directory, "store"));
    const { store } = await openEncryption(below, { storage: new KeyFile(join(directory, "keys.json")), prefixes: ["/secrets/"], turnOn: false, signal: running.signal, onUnreadable: (error) => { throw error; } });
    const found = new Map((await store.list("/secrets/")).entries.map(({ key, value }) => [key, Buffer.from(value).toString()]));
    for (const [key, value] of acknowledged) {
      const [, count] = value.split(".");
      const [foundRound, foundCount] = (found.get(key) ?? "").split(".");
      // One write more may have reached the disk than was acknowledged.
      expect(foundRound).toBe(`${round}`);
      expect([count, `${Number(count) + 30}`]).toContain(foundCount as string);
    }
    await below.close();
  }
}, 4 * TEST_TIMEOUT_MS);

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { hostMounter } from "./mount.ts";
import { deadMount, type DeadMount } from "./deadmount.ts";
import { requireAnswer } from "./responsive.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
let directory: string;
let dead: DeadMount;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "m8-dead-"));
  dead = deadMount(join(directory, "mount"));
});
afterAll(() => {
  dead.release();
  rmSync(directory, { recursive: true, force: true });
});

test("a path on a file system whose server is gone is refused in words, and everything else on the node goes on", async () => {
  let message = "";
  await requireAnswer(join(directory, "mount", "below"), 300).catch((error: unknown) => void (message = (error as Error).message));
  expect(message).toBe(`fuse file system mounted on ${join(directory, "mount")} does not answer`);
  await requireAnswer(directory);
  expect(await hostMounter.isMountPoint(join(directory, "mount"))).toBe(true);
});

test("such a mount is taken away without waiting for its server", async () => {
  await hostMounter.unmount(join(directory, "mount"));
  expect(await hostMounter.below(directory)).toEqual([]);
});

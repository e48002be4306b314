import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMounted, mountTable } from "./mounttable.ts";

const directory = mkdtempSync(join(tmpdir(), "minik8s-mounts-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const table = join(directory, "mountinfo");
writeFileSync(table, [
  "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
  "30 21 0:25 / /var/lib/a\\040b/vol\\303\\244 rw - tmpfs tmpfs rw".replace("\\303\\244", "ä"),
  "31 21 254:0 /source /target rw,relatime shared:1 - ext4 /dev/vda rw",
  "32 21 0:26 /volume /volume rw - tmpfs tmpfs rw",
].join("\n"));

test.each([["/", true], ["/target", true], ["/source", false], ["/volume", true], ["/volum", false], ["/var/lib/a b/volä", true], ["/var/lib/a", false], ["ext4", false]])("%j is mounted: %p", async (point, expected) => {
  expect(await isMounted(point, table)).toBe(expected);
});

test("this machine's own table is read the same way", async () => {
  expect((await mountTable()).map(({ point }) => point)).toContain("/proc");
  expect(await isMounted("/proc")).toBe(true);
  expect(await isMounted("/proc/minik8s-is-not-mounted-here")).toBe(false);
});

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pauseBinary, pauseImageName } from "./image.ts";

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`pause ends at once with code 0 on ${signal}`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "minik8s-pause-"));
    try {
      const path = join(directory, "pause");
      writeFileSync(path, pauseBinary(), { mode: 0o755 });
      const child = Bun.spawn([path], { stdout: "ignore", stderr: "ignore" });
      // Before it waits, with its signals blocked, the signal's default action would end it with another code.
      while (!/Name:\tpause\n[^]*State:\tS/.test(await Bun.file(`/proc/${child.pid}/status`).text())) await Bun.sleep(5);
      child.kill(signal);
      expect(await child.exited).toBe(0);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

test("pause is a static executable for each architecture", () => {
  expect(elfMachine(pauseBinary("amd64"))).toBe(62);
  expect(elfMachine(pauseBinary("arm64"))).toBe(183);
});

test("the image is named after what is in it", () => {
  expect(pauseImageName("amd64")).not.toBe(pauseImageName("arm64"));
});

function elfMachine(bytes: Uint8Array): number {
  return Buffer.from(bytes).readUInt16LE(18);
}

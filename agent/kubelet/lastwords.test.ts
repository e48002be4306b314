import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { withLastWords } from "./lastwords.ts";

const directory = mkdtempSync(join(tmpdir(), "kubelet-words-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const line = (text: string): string => `2026-01-31T12:00:00.000000000Z stdout F ${text}\n`;
const words = async (log: string): Promise<string | undefined> => {
  const logPath = join(directory, "0.log");
  writeFileSync(logPath, log);
  return (await withLastWords({ logPath, exitCode: 1, annotations: { "io.kubernetes.container.terminationMessagePolicy": "FallbackToLogsOnError" } } as unknown as ContainerRecord)).message;
};

test("the last words of a failed container are the end of its log, however long that is", async () => {
  expect(await words(line("only"))).toBe("only\n");
  expect(await words(line("x".repeat(1000)).repeat(1000) + line("the end"))).toBe(`${`${"x".repeat(1000)}\n`.repeat(3)}the end\n`.slice(-2048));
});

import { expect, test } from "bun:test";
import { nanoid } from "nanoid";
import { findDaemons, findProcesses } from "./machine.ts";

test("a child that still has its parent's command line is no second daemon", async () => {
  const mark = nanoid();
  // A subshell is such a child for as long as it lives.
  const daemon = Bun.spawn(["sh", "-c", "(echo; read line); :", "--mark", mark], { stdin: "pipe", stdout: "pipe" });
  try {
    await daemon.stdout.getReader().read();
    expect(findProcesses(["--mark", mark])).toHaveLength(2);
    expect(findDaemons(["--mark", mark])).toEqual([daemon.pid]);
  } finally {
    // Both read the same input, and end with it.
    await daemon.stdin.end();
    await daemon.exited;
  }
}, 60_000);

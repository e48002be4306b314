import { describe, expect, test } from "bun:test";
import { ExecError, hostExec, run } from "./exec.ts";

describe("running commands", () => {
  test("finds administrators' commands without them being on the path", async () => {
    const program = `const { hostExec } = await import(${JSON.stringify(`${import.meta.dir}/exec.ts`)}); console.log((await hostExec(["sh", "-c", "echo $PATH"])).stdout);`;
    const child = Bun.spawn([process.execPath, "-e", program], { env: { PATH: "/nowhere" }, stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toStartWith("/nowhere:/usr/local/sbin:");
  });

  test("says what failed, with its output", async () => {
    await expect(run(hostExec, ["sh", "-c", "echo wrong >&2; exit 3"])).rejects.toThrow(new ExecError(["sh", "-c", "echo wrong >&2; exit 3"], { exitCode: 3, stdout: "", stderr: "wrong" }).message);
  });

  test("a command that does not exist exits 127, and one that takes too long is killed", async () => {
    expect((await hostExec(["m8-no-such-command"])).exitCode).toBe(127);
    expect((await hostExec(["sleep", "60"], { timeoutMs: 50 })).exitCode).not.toBe(0);
  });

  test("stdin and environment arrive", async () => {
    expect(await run(hostExec, ["sh", "-c", "cat; echo $WORD"], { stdin: "in ", env: { WORD: "env" } })).toBe("in env\n");
  });
});

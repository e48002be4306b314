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

  test("a command that takes too long is killed with all it started, and nobody waits for what holds its output", async () => {
    const marker = `m8-${process.pid}-${Date.now()}`;
    const others = (): string[] => Bun.spawnSync(["pgrep", "-f", marker]).stdout.toString().split("\n").filter(Boolean);
    const result = await hostExec(["sh", "-c", `sh -c 'sleep 3600; echo ${marker}' & wait`], { timeoutMs: 500 });
    expect(result).toEqual({ exitCode: 137, stdout: "", stderr: "did not end within 0.5 seconds" });
    while (others().length > 0) await Bun.sleep(20);
  });

  test("a command nobody wants any more is ended, and one that was not wanted to begin with", async () => {
    const stop = new AbortController();
    const running = hostExec(["sleep", "3600"], { timeoutMs: 3_600_000, signal: stop.signal });
    stop.abort();
    expect((await running).exitCode).toBe(137);
    expect(await hostExec(["sleep", "3600"], { timeoutMs: 3_600_000, signal: stop.signal })).toEqual({ exitCode: 137, stdout: "", stderr: "is not wanted any more" });
  });

  test("stdin and environment arrive", async () => {
    expect(await run(hostExec, ["sh", "-c", "cat; echo $WORD"], { stdin: "in ", env: { WORD: "env" } })).toBe("in env\n");
  });
});

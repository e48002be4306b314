import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../../lib/clock.ts";
import { descendantsOf, isAlive } from "../containerd/machine.ts";
import { Shims } from "./shims.ts";

// Every look goes through all processes of the machine.
setDefaultTimeout(60_000);
const dir = mkdtempSync(join(tmpdir(), "shims-"));
const file = join(dir, "shims");
const started: Bun.Subprocess[] = [];
beforeEach(() => mkdirSync(dir, { recursive: true }));
afterEach(() => {
  for (const { pid } of started.splice(0)) for (const each of [...descendantsOf(pid), pid]) if (isAlive(each)) process.kill(each, "SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

/** A process with a shim's command line; one that is busy has a child. */
async function aShim(id: string, isBusy = false): Promise<number> {
  const shim = Bun.spawn(["sh", "-c", isBusy ? "echo; cat; :" : "echo; read line", "-namespace", "moby", "-id", id], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  started.push(shim);
  // Once it speaks it has its own command line.
  await shim.stdout.getReader().read();
  return shim.pid;
}

const agent = (clock: FakeClock, stop = new AbortController()): Shims => new Shims({ file, clock, signal: stop.signal, isRunning: (id) => Promise.resolve(id === `${dir}-runs`) });

test("an idle shim of a container of ours that does not run is ended, and no other", async () => {
  const others = [await aShim(`${dir}-runs`), await aShim(`${dir}-busy`, true), await aShim(`${dir}-anothers`)];
  const idle = await aShim(`${dir}-idle`);
  const clock = new FakeClock();
  const tidied = agent(clock).tidy(["idle", "busy", "runs"].map((id) => `${dir}-${id}`));
  await clock.advance(60_000);
  await tidied;
  await Promise.race(started.filter(({ pid }) => pid === idle).map(({ exited }) => exited));
  expect(others.map(isAlive)).toEqual([true, true, true]);
  expect(existsSync(file)).toBe(false);
});

test("an agent that ends before it has ended them leaves that to the next one", async () => {
  const idle = await aShim(`${dir}-idle`);
  const stop = new AbortController();
  const first = agent(new FakeClock(), stop).tidy([`${dir}-idle`]);
  stop.abort();
  await first;
  expect(isAlive(idle)).toBe(true);
  const clock = new FakeClock();
  const next = agent(clock).tidy([]);
  await clock.advance(60_000);
  await next;
  await started[0]?.exited;
});
